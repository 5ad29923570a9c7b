//! Configuration keys, and finding them by path.
//!
//! The keys themselves are defined in `tables/`. The file, the environment, `config show` and
//! `config docs` access keys only through this file.

use toml::Value;

use super::tables;

mod nearest;
pub mod rule;

pub use nearest::nearest;

/// One configuration key and its manual entry.
#[derive(Debug)]
pub struct Key {
    /// The path of the key in the file, its parts joined by dots. `N` is the index in an array of
    /// tables, from 0.
    pub path: &'static str,
    /// The meaning: the comment of the key's row, as the compiler passes it.
    text: &'static str,
    /// The form of a value.
    pub form: Form,
    /// The value if the key is not set.
    pub fallback: Fallback,
    /// The permitted numbers and their unit.
    pub bounds: Bounds,
    /// When a new value takes effect.
    pub change: Change,
    /// The first version that knows the key.
    pub since: &'static str,
}

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Any text.
    Text,
    /// A text that is never shown.
    Secret,
    /// A file or folder, relative to the working directory.
    Path,
    /// An IP address with a port, such as `0.0.0.0:443` or `[::]:443`.
    Address,
    /// An absolute URL.
    Url,
    /// `true` or `false`.
    Flag,
    /// A whole number, not negative.
    Number,
    /// Texts: an array in the file, separated by commas in the environment.
    List,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// The value if a key is not set.
#[derive(Debug, Clone, Copy)]
pub enum Fallback {
    /// This value.
    Fixed(Fixed),
    /// A number that depends on the machine. The text says what it is.
    Computed(&'static str, fn() -> u64),
    /// None; the text says what that means.
    Unset(&'static str),
    /// The key is required. The text says what to write; without it, a check does.
    Required(Option<&'static str>),
}

/// A default value.
#[derive(Debug, Clone, Copy)]
pub enum Fixed {
    /// `true` or `false`.
    Flag(bool),
    /// A number.
    Number(u64),
    /// A text, a path or a word.
    Text(&'static str),
    /// Texts.
    List(&'static [&'static str]),
}

/// The permitted numbers and their unit.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The unit of a number.
    pub unit: Unit,
    /// The smallest number.
    pub min: u64,
    /// The largest number.
    pub max: u64,
    /// Whether 0 means that there is no limit.
    pub zero_is_none: bool,
}

/// The unit of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Things, or bytes.
    One,
    /// Milliseconds.
    Millis,
    /// Seconds.
    Secs,
    /// Minutes.
    Minutes,
    /// Hours.
    Hours,
}

/// When a new value of a key takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// On a reload: the value is read again for each request, connection or turn, or is stored where
    /// it can be replaced.
    Live,
    /// Only at startup: a listener, thread, file or name that exists as long as the hub runs
    /// depends on it.
    Start,
}

impl Form {
    /// Returns what to write, for error texts and the manual.
    pub fn expected(self) -> String {
        match self {
            Self::Text | Self::Secret => "a text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Address => "an IP address with a port, such as \"127.0.0.1:4400\"".to_owned(),
            Self::Url => "an absolute URL".to_owned(),
            Self::Flag => "true or false".to_owned(),
            Self::Number => "a whole number, not negative".to_owned(),
            Self::List => "a list of texts".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
        }
    }
}

impl Fixed {
    /// Returns the value as in the file.
    pub fn value(self) -> Value {
        match self {
            Self::Flag(flag) => Value::Boolean(flag),
            Self::Number(number) => Value::Integer(i64::try_from(number).unwrap_or(i64::MAX)),
            Self::Text(text) => Value::from(text),
            Self::List(texts) => {
                Value::Array(texts.iter().map(|text| Value::from(*text)).collect())
            }
        }
    }
}

impl Key {
    /// Makes a key from its row. `path` and `text` are as the macro `table!` joins them.
    pub const fn new(path: &'static str, text: &'static str, row: rule::Row) -> Self {
        Self {
            path,
            text,
            form: row.rule.form,
            fallback: row.rule.fallback,
            bounds: row.rule.bounds,
            change: row.change,
            since: SINCE,
        }
    }

    /// Returns the meaning, in whole sentences.
    pub fn text(&self) -> &'static str {
        // The space that follows `///`.
        self.text.trim()
    }

    /// Returns the default value; `None` if there is none.
    pub fn fallback_value(&self) -> Option<Value> {
        match self.fallback {
            Fallback::Fixed(fixed) => Some(fixed.value()),
            Fallback::Computed(_, number) => Some(Fixed::Number(number()).value()),
            Fallback::Unset(_) | Fallback::Required(_) => None,
        }
    }

    /// Returns the last part of the path.
    pub fn name(&self) -> &'static str {
        self.path
            .rsplit_once('.')
            .map_or(self.path, |(_table, name)| name)
    }

    /// Returns the name of the key's environment variable.
    pub fn variable(&self) -> String {
        variable_of(self.path)
    }
}

/// Returns the environment variable of a path: `history.retain_bytes` is
/// `TIDINGS_HISTORY__RETAIN_BYTES`.
pub fn variable_of(path: &str) -> String {
    format!(
        "{VARIABLE_PREFIX}{}",
        path.replace('.', "__").to_uppercase()
    )
}

/// Returns all keys, in the order of the manual.
pub fn all() -> impl Iterator<Item = &'static Key> {
    tables::ALL.iter().copied().flatten()
}

/// Returns the arrays of tables, such as `listen`.
pub fn arrays() -> impl Iterator<Item = &'static str> {
    let first_keys = tables::ALL.iter().filter_map(|table| table.first());
    first_keys.filter_map(|key| Some(key.path.split_once(".N.")?.0))
}

/// Finds the key at `path`, which has `N` for array indexes.
pub fn find(path: &str) -> Option<&'static Key> {
    all().find(|key| key.path == path)
}

/// The prefix of every environment variable of the configuration.
pub const VARIABLE_PREFIX: &str = "TIDINGS_";

/// The version of all keys so far.
const SINCE: &str = "0.1";
