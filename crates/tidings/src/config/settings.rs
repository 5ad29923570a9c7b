//! All values with their origins. In increasing precedence: defaults, the environment of another
//! Mercure hub, the file, our own variables.
//!
//! Checks forms only (a number is a number); `check.rs` checks their meaning.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tidings_auth::placeholder;
use toml::{Table, Value};

use super::env::{self, Variable};
use super::error::ConfigError;
use super::keys::{self, Fallback, Form, Key};
use super::kubernetes;
use super::mercure::{self, Translation, Unread};
use super::otel;

/// The effective values.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    entries: BTreeMap<Place, Entry>,
    unread: Vec<Unread>,
    service_variables: Vec<String>,
}

/// One effective value.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The value. It has the form that its key asks for.
    pub value: Value,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table of keys.
    Default,
    /// A setting that was written for another Mercure hub, or for all programs with OpenTelemetry, by this name.
    Mercure(Arc<str>),
    /// The file.
    File,
    /// The environment.
    Environment,
}

/// The path of a value, such as `listen.0.address`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(Vec<Part>);

/// One step of a [`Place`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Name(String),
    Index(usize),
}

impl Settings {
    /// Reads the file's text (if there is a file) and the environment's variables, and fills in the
    /// defaults. Appends all errors to `errors`; the result is then unusable.
    pub fn read(
        file: Option<(&Path, &str)>,
        variables: &[Variable],
        errors: &mut Vec<ConfigError>,
    ) -> Self {
        let mut settings = Self::default();
        if let Some((path, text)) = file {
            match text.parse::<Table>() {
                Ok(table) => settings.add_table(&Place(Vec::new()), &table, errors),
                Err(error) => errors.push(syntax_error(path, text, &error)),
            }
        }
        for variable in variables.iter().filter(|own| env::is_own(&own.name)) {
            settings.add_variable(variable, errors);
        }
        let mut translation = mercure::of_environment(variables);
        otel::read(&mercure::Environment(variables), &mut translation);
        settings.add_translation(translation, errors);
        settings.check_gaps(errors);
        settings.add_defaults();
        settings
    }

    /// Returns settings with other values, from the same sources.
    pub(super) fn with_entries(&self, entries: Vec<(Place, Entry)>) -> Self {
        Self {
            entries: entries.into_iter().collect(),
            unread: self.unread.clone(),
            service_variables: self.service_variables.clone(),
        }
    }

    /// Returns the value at `path` (with numbers for entries of arrays).
    pub fn find(&self, path: &str) -> Option<&Entry> {
        self.entries.get(&Place::parse(path))
    }

    /// Returns all values, sorted by place.
    pub fn entries(&self) -> impl Iterator<Item = (&Place, &Entry)> {
        self.entries.iter()
    }

    /// Returns the numbers of an array's entries, such as of `listen`.
    pub fn indexes(&self, array: &str) -> Vec<usize> {
        let array = Place::parse(array);
        let mut indexes: Vec<usize> = self
            .entries
            .keys()
            .filter_map(|place| place.index_in(&array))
            .collect();
        indexes.dedup();
        indexes
    }

    /// Returns the environment's settings for another hub that are not read.
    pub fn unread(&self) -> &[Unread] {
        &self.unread
    }

    /// Returns the setting of another hub that the value at `path` comes from.
    pub fn inherited_from(&self, path: &str) -> Option<Arc<str>> {
        match &self.find(path)?.origin {
            Origin::Mercure(name) => Some(Arc::clone(name)),
            Origin::Default | Origin::File | Origin::Environment => None,
        }
    }

    /// Returns the variables that Kubernetes sets for Services and that mean nothing to the hub.
    pub fn service_variables(&self) -> &[String] {
        &self.service_variables
    }

    /// Returns the names of another hub's settings that values come from, sorted. Variables of OpenTelemetry are
    /// written for this hub too.
    pub fn inherited(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = self
            .entries
            .values()
            .filter_map(|entry| match &entry.origin {
                Origin::Mercure(name) if !name.starts_with(otel::PREFIX) => Some(Arc::clone(name)),
                Origin::Mercure(_) | Origin::Default | Origin::File | Origin::Environment => None,
            })
            .collect();
        names.sort();
        names.dedup();
        names
    }

    fn add_table(&mut self, place: &Place, table: &Table, errors: &mut Vec<ConfigError>) {
        for (name, value) in table {
            let place = place.with(Part::Name(name.clone()));
            match value {
                Value::Table(_) if is_array(&place) => errors.push(unknown_key(&place)),
                Value::Table(table) => self.add_table(&place, table, errors),
                Value::Array(entries) if is_array_of_tables(entries) && is_table(&place) => {
                    errors.push(unknown_key(&place));
                }
                Value::Array(entries) if is_array_of_tables(entries) => {
                    for (index, table) in entries.iter().filter_map(Value::as_table).enumerate() {
                        self.add_table(&place.with(Part::Index(index)), table, errors);
                    }
                }
                Value::String(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Boolean(_)
                | Value::Datetime(_)
                | Value::Array(_) => self.add_value(place, value, errors),
            }
        }
    }

    fn add_value(&mut self, place: Place, value: &Value, errors: &mut Vec<ConfigError>) {
        let Some(key) = keys::find(&place.general()) else {
            errors.push(unknown_key(&place));
            return;
        };
        if !has_form(key.form, value) {
            let (name, expected) = (place.to_string(), key.form.expected());
            errors.push(ConfigError::WrongForm { name, expected });
            return;
        }
        if let Some(expected) = unfilled(key.form, value) {
            let name = place.to_string();
            errors.push(ConfigError::WrongForm { name, expected });
            return;
        }
        self.entries.insert(
            place,
            Entry {
                value: value.clone(),
                origin: Origin::File,
            },
        );
    }

    fn add_variable(&mut self, variable: &Variable, errors: &mut Vec<ConfigError>) {
        let Variable { name, value } = variable;
        let path = name
            .trim_start_matches(keys::VARIABLE_PREFIX)
            .to_lowercase();
        let place = Place::parse(&path.replace("__", "."));
        let Some(key) = keys::find(&place.general()) else {
            if kubernetes::is_of_service(variable) {
                self.service_variables.push(name.clone());
                return;
            }
            let names = keys::all().map(|key| numbered(&key.variable(), &place));
            let nearest = keys::nearest(name, names);
            errors.push(ConfigError::UnknownVariable {
                variable: name.clone(),
                nearest,
            });
            return;
        };
        let Some(value) = value else {
            errors.push(ConfigError::VariableNotUtf8 {
                variable: name.clone(),
            });
            return;
        };
        let read = match from_text(key.form, value) {
            Some(value) => match unfilled(key.form, &value) {
                None => Ok(value),
                Some(expected) => Err(expected),
            },
            None => Err(key.form.expected()),
        };
        match read {
            Ok(value) => {
                let origin = Origin::Environment;
                self.entries.insert(place, Entry { value, origin });
            }
            Err(expected) => errors.push(ConfigError::WrongForm {
                name: name.clone(),
                expected,
            }),
        }
    }

    /// Adds another hub's settings where our own are not set. The entries of an array are ours or theirs, never
    /// mixed.
    fn add_translation(&mut self, translation: Translation, errors: &mut Vec<ConfigError>) {
        errors.extend(translation.errors);
        self.unread = translation.unread;
        let ours: Vec<String> = self.entries.keys().map(Place::to_string).collect();
        let is_ours = |path: &str| {
            let below = format!("{path}.");
            ours.iter()
                .any(|own| own == path || own.starts_with(&below))
        };
        for translated in translation.values {
            let place = Place::parse(&translated.path);
            let in_array = |array: &&str| translated.path.starts_with(&format!("{array}."));
            let array = keys::arrays().find(in_array);
            let companion = companion(&translated.path).filter(|path| is_ours(path));
            if is_ours(array.unwrap_or(&translated.path)) || companion.is_some() {
                self.unread.push(Unread {
                    name: format!("{} ({})", translated.source, translated.path),
                    why: match companion {
                        Some(_) => "it goes with a setting that our own replace",
                        None => "a setting of our own says it",
                    },
                });
                continue;
            }
            let key = keys::find(&place.general());
            let expected = key.and_then(|key| match has_form(key.form, &translated.value) {
                // Whoever reads a key reports what is wrong with it.
                true if key.form == Form::Secret => None,
                true => unfilled(key.form, &translated.value),
                false => Some(key.form.expected()),
            });
            if let Some(expected) = expected {
                let name = translated.source.to_string();
                errors.push(ConfigError::WrongForm { name, expected });
                continue;
            }
            self.entries.insert(
                place,
                Entry {
                    value: translated.value,
                    origin: Origin::Mercure(translated.source),
                },
            );
        }
    }

    fn check_gaps(&self, errors: &mut Vec<ConfigError>) {
        for array in keys::arrays() {
            for (missing, index) in self.indexes(array).into_iter().enumerate() {
                if index != missing {
                    errors.push(ConfigError::Gap {
                        array: array.to_string(),
                        index,
                        missing,
                    });
                    break;
                }
            }
        }
    }

    fn add_defaults(&mut self) {
        for key in keys::all() {
            for place in self.places(key) {
                if let Fallback::Fixed(fixed) = key.fallback {
                    self.entries.entry(place).or_insert_with(|| Entry {
                        value: fixed.value(),
                        origin: Origin::Default,
                    });
                }
            }
        }
    }

    /// Returns the places of `key`: one, or one per entry of its array.
    fn places(&self, key: &Key) -> Vec<Place> {
        match key.path.split_once(".N.") {
            None => vec![Place::parse(key.path)],
            Some((array, name)) => {
                let indexes = self.indexes(array).into_iter();
                indexes
                    .map(|index| Place::parse(&format!("{array}.{index}.{name}")))
                    .collect()
            }
        }
    }
}

impl Place {
    fn parse(path: &str) -> Self {
        let part = |text: &str| match text.parse() {
            Ok(index) => Part::Index(index),
            Err(_) => Part::Name(text.to_owned()),
        };
        Self(path.split('.').map(part).collect())
    }

    fn with(&self, part: Part) -> Self {
        let mut parts = self.0.clone();
        parts.push(part);
        Self(parts)
    }

    /// Returns the path as the table of keys has it, with `N` for numbers.
    pub fn general(&self) -> String {
        let part = |part: &Part| match part {
            Part::Name(name) => name.clone(),
            Part::Index(_) => "N".to_owned(),
        };
        self.0.iter().map(part).collect::<Vec<_>>().join(".")
    }

    fn index_in(&self, array: &Self) -> Option<usize> {
        match self.0.strip_prefix(array.0.as_slice())?.first()? {
            Part::Index(index) => Some(*index),
            Part::Name(_) => None,
        }
    }

    fn first_index(&self) -> usize {
        let index = |part: &Part| match part {
            Part::Index(index) => Some(*index),
            Part::Name(_) => None,
        };
        self.0.iter().find_map(index).unwrap_or(0)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, part) in self.0.iter().enumerate() {
            let dot = if number == 0 { "" } else { "." };
            match part {
                Part::Name(name) => write!(f, "{dot}{name}")?,
                Part::Index(index) => write!(f, "{dot}{index}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Mercure(name) => name,
            Self::File => "file",
            Self::Environment => "environment",
        })
    }
}

/// Returns the setting without which an inherited one makes no sense. If our own setting replaces that one, the
/// inherited one is ignored: an old dialect without a key, host names of another public URL, or a certificate without
/// a listener would keep the hub from starting.
fn companion(path: &str) -> Option<&'static str> {
    match path {
        "dialects.v0" | "dialects.v2019" | "dialects.demo" => Some("auth.issuers"),
        "hub.hosts" | "hub.allow_plaintext" => Some("hub.public_url"),
        "tls.certificate" | "tls.key" => Some("listen"),
        _ => None,
    }
}

/// Finds the key of a path that has numbers for entries of arrays.
pub fn key_at(path: &str) -> Option<&'static Key> {
    keys::find(&Place::parse(path).general())
}

/// An empty array is a list of texts, since an array of tables cannot be written empty.
fn is_array_of_tables(entries: &[Value]) -> bool {
    !entries.is_empty() && entries.iter().all(Value::is_table)
}

fn has_form(form: Form, value: &Value) -> bool {
    match form {
        Form::Text | Form::Secret | Form::Path | Form::Address | Form::Url => value.is_str(),
        Form::Flag => value.is_bool(),
        Form::Number => value.as_integer().is_some_and(|number| number >= 0),
        Form::List => value
            .as_array()
            .is_some_and(|entries| entries.iter().all(Value::is_str)),
        Form::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
    }
}

/// Returns what to write instead of a placeholder. The hub fills in none, and would use its text as it is: as a
/// folder's name or, worse, as a key.
pub fn unfilled(form: Form, value: &Value) -> Option<String> {
    let is_place = matches!(form, Form::Path | Form::Address | Form::Url);
    let found = |text: &str| {
        if form == Form::Secret {
            return placeholder::is_unfilled_secret(text).then(|| "this one".to_owned());
        }
        if is_place && placeholder::begins_with_variable(text) {
            return Some(format!("{text:?}"));
        }
        placeholder::find(text).map(str::to_owned)
    };
    let mut texts = value.as_array().into_iter().flatten().chain([value]);
    let placeholder = texts.find_map(|text| found(text.as_str()?))?;
    Some(format!(
        "the value itself: a placeholder such as {placeholder} is not filled in here"
    ))
}

/// Reads a variable's text. A list is separated by commas; spaces around its texts do not count.
fn from_text(form: Form, text: &str) -> Option<Value> {
    let value = match form {
        Form::Flag => Value::Boolean(text.parse().ok()?),
        Form::Number => Value::Integer(text.parse().ok()?),
        Form::List => {
            let entries = text
                .split(',')
                .map(str::trim)
                .filter(|entry| !entry.is_empty());
            Value::Array(
                entries
                    .map(|entry| Value::String(entry.to_owned()))
                    .collect(),
            )
        }
        Form::Text | Form::Secret | Form::Path | Form::Address | Form::Url | Form::Choice(_) => {
            Value::String(text.to_owned())
        }
    };
    has_form(form, &value).then_some(value)
}

/// Returns whether a place is that of an array of tables.
fn is_array(place: &Place) -> bool {
    keys::arrays().any(|array| array == place.general())
}

/// Returns whether a place is that of a single table.
fn is_table(place: &Place) -> bool {
    let table = format!("{}.", place.general());
    !is_array(place) && keys::all().any(|key| key.path.starts_with(&table))
}

/// Returns where and why a file is not TOML, without the text around it.
fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    ConfigError::Syntax {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: line.chars().count() + 1,
        reason: error.message().to_owned(),
    }
}

fn unknown_key(place: &Place) -> ConfigError {
    let general = place.general();
    if is_array(place) {
        let expected = format!("its entries as [[{general}]] tables, in double brackets");
        return ConfigError::WrongForm {
            name: general,
            expected,
        };
    }
    if is_table(place) {
        let expected = format!("its keys in one table [{general}]");
        return ConfigError::WrongForm {
            name: general,
            expected,
        };
    }
    let paths = keys::all().map(|key| numbered(key.path, place));
    let key = place.to_string();
    let nearest = keys::nearest(&key, paths);
    ConfigError::UnknownKey { key, nearest }
}

/// Replaces the `N` of a path or variable by the number in `place`.
fn numbered(name: &str, place: &Place) -> String {
    let index = place.first_index();
    name.replace(".N.", &format!(".{index}."))
        .replace("__N__", &format!("__{index}__"))
}

#[cfg(test)]
mod tests;
