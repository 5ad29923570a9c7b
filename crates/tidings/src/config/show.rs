//! The effective configuration as TOML, with the origin of each value. Secrets are not shown. The
//! unread settings of another Mercure hub are listed at the end.

use tidings_wire::redact;
use toml::Value;

use super::docs::header;
use super::keys::{Fallback, Form, Key};
use super::settings::Settings;
use super::tables;

/// Returns the effective values as TOML. A key without a value is a comment that says what counts.
pub fn toml(settings: &Settings) -> String {
    let mut text = String::new();
    for table in tables::ALL {
        let Some(first) = table.first() else { continue };
        let array = first.path.split_once(".N.").map(|(array, _)| array);
        let indexes = match array {
            Some(array) => settings.indexes(array).into_iter().map(Some).collect(),
            None => vec![None],
        };
        for index in indexes {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&header(first));
            text.push('\n');
            for key in *table {
                text.push_str(&line(settings, key, index));
            }
        }
    }
    if !settings.unread().is_empty() {
        text.push_str("\n# not read:\n");
    }
    for unread in settings.unread() {
        text.push_str(&format!("# {}: {}\n", unread.name, unread.why));
    }
    for name in settings.service_variables() {
        text.push_str(&format!(
            "# {name}: not read, it is of a Kubernetes Service\n"
        ));
    }
    text
}

/// Returns the effective values as JSON: for each key that has one, the value and its origin.
pub fn json(settings: &Settings) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    for key in super::keys::all() {
        let array = key.path.split_once(".N.").map(|(array, _)| array);
        let indexes = match array {
            Some(array) => settings.indexes(array).into_iter().map(Some).collect(),
            None => vec![None],
        };
        for index in indexes {
            let path = place(key, index);
            let Some(entry) = settings.find(&path) else {
                continue;
            };
            let value = if key.form == Form::Secret {
                Value::from("(hidden)")
            } else {
                shown(&entry.value)
            };
            let value = serde_json::to_value(value).unwrap_or_default();
            let origin = entry.origin.to_string();
            object.insert(path, serde_json::json!({"value": value, "origin": origin}));
        }
    }
    object.into()
}

fn place(key: &Key, index: Option<usize>) -> String {
    match index {
        Some(index) => key.path.replace(".N.", &format!(".{index}.")),
        None => key.path.to_owned(),
    }
}

fn line(settings: &Settings, key: &Key, index: Option<usize>) -> String {
    let name = key.name();
    let path = place(key, index);
    match (settings.find(&path), key.fallback) {
        (Some(entry), _) if key.form == Form::Secret => {
            format!("{name} = \"(hidden)\" # {}\n", entry.origin)
        }
        (Some(entry), _) => format!("{name} = {} # {}\n", shown(&entry.value), entry.origin),
        (None, Fallback::Computed(text, _) | Fallback::Unset(text)) => {
            format!("# {name}: {text}\n")
        }
        (None, Fallback::Fixed(_) | Fallback::Required(_)) => format!("# {name}: not set\n"),
    }
}

/// Returns a value without what is secret in it, such as a key in the query of an address.
pub(super) fn shown(value: &Value) -> Value {
    match value {
        Value::String(text) if text.contains("://") => Value::String(redact::url(text)),
        Value::String(text) => Value::String(redact::text(text).into_owned()),
        Value::Array(entries) => Value::Array(entries.iter().map(shown).collect()),
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Table(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests;
