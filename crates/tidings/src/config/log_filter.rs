//! The log filter: a level, optionally per target, such as `info` or `info,tidings=debug`.
//!
//! The logging library's own filter accepts any word as a target, so an unknown level would
//! silently switch the log off.

use tracing_subscriber::filter::{LevelFilter, Targets};

use super::keys;

/// A checked filter.
#[derive(Debug, Clone, PartialEq)]
pub struct LogFilter(Targets);

/// Why a filter is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LogFilterError {
    /// A word is not a level.
    #[error(
        "{found:?} is not a level: write one of {}, such as {nearest}, or a level for one target as in \
         info,tidings=debug",
        LEVELS.join(", ")
    )]
    UnknownLevel {
        /// The word.
        found: String,
        /// A level that was probably meant.
        nearest: String,
    },
    /// There is nothing between two commas, or nothing at all.
    #[error("{text:?} has an empty entry: write a level such as info, or info,tidings=debug")]
    Empty {
        /// The whole filter.
        text: String,
    },
    /// The name of a target has invalid characters.
    #[error("{found:?} is not a target: write one such as tidings or tidings::access before the =")]
    Target {
        /// The name.
        found: String,
    },
    /// A filter has two levels for the same target.
    #[error("{text:?} has two levels for {what}: remove one")]
    Twice {
        /// The whole filter.
        text: String,
        /// A target, or everything.
        what: String,
    },
}

impl LogFilter {
    /// Parses a filter: entries separated by commas, each `LEVEL` or `TARGET=LEVEL`. Targets
    /// without an entry log errors only. Libraries that tell what the hub tells itself are silent
    /// unless everything logs more than `info`, or the filter names them.
    ///
    /// # Errors
    ///
    /// The first entry that is neither.
    pub fn parse(text: &str) -> Result<Self, LogFilterError> {
        let mut targets = Targets::new().with_default(LevelFilter::ERROR);
        let mut known: Vec<&str> = Vec::new();
        let mut default = LevelFilter::ERROR;
        for entry in text.split(',').map(str::trim) {
            if entry.is_empty() {
                let text = text.to_owned();
                return Err(LogFilterError::Empty { text });
            }
            let (target, word) = match entry.split_once('=') {
                Some((target, word)) => (target.trim(), word.trim()),
                None => ("", entry),
            };
            let level = level(word)?;
            if target.is_empty() && entry.contains('=') || !target.chars().all(is_of_target) {
                let found = target.to_owned();
                return Err(LogFilterError::Target { found });
            }
            if known.contains(&target) {
                let what = if target.is_empty() {
                    "everything"
                } else {
                    target
                };
                return Err(LogFilterError::Twice {
                    text: text.to_owned(),
                    what: what.to_owned(),
                });
            }
            known.push(target);
            targets = match target {
                "" => {
                    default = level;
                    targets.with_default(level)
                }
                target => targets.with_target(target, level),
            };
        }
        let narrates = |library: &&&str| default <= LevelFilter::INFO && !known.contains(library);
        for library in NARRATORS.iter().filter(narrates) {
            targets = targets.with_target(*library, LevelFilter::OFF);
        }
        Ok(Self(targets))
    }

    /// Returns the filter for the logging library.
    pub fn into_targets(self) -> Targets {
        self.0
    }
}

fn level(word: &str) -> Result<LevelFilter, LogFilterError> {
    let lower = word.to_ascii_lowercase();
    let level = match lower.as_str() {
        "error" => LevelFilter::ERROR,
        "warn" => LevelFilter::WARN,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        "off" => LevelFilter::OFF,
        other => {
            let named = ELSEWHERE.iter().find(|(name, _)| *name == other);
            let levels = || LEVELS.iter().map(ToString::to_string);
            let nearest = named.map_or_else(
                || keys::nearest(other, levels()),
                |(_, level)| (*level).to_owned(),
            );
            return Err(LogFilterError::UnknownLevel {
                found: word.to_owned(),
                nearest,
            });
        }
    };
    Ok(level)
}

fn is_of_target(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | ':' | '-' | '.')
}

/// Libraries whose lines repeat what the hub says of its engine.
const NARRATORS: [&str; 1] = ["async_nats"];

/// All levels.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Names of levels in other loggers.
const ELSEWHERE: [(&str, &str); 7] = [
    ("critical", "error"),
    ("fatal", "error"),
    ("warning", "warn"),
    ("notice", "info"),
    ("verbose", "debug"),
    ("none", "off"),
    ("silent", "off"),
];

#[cfg(test)]
mod tests;
