//! Errors in a configuration. Every variant names the key and says how to fix it.

use std::path::PathBuf;
use std::sync::Arc;

use super::keys::variable_of;

/// One error in the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML. The line is not shown, because it may contain a secret.
    #[error("{}: line {line}, column {column}: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The character of the line, from 1.
        column: usize,
        /// The broken rule.
        reason: String,
    },
    /// The file has a key that does not exist.
    #[error("{key}: unknown key; the nearest one is {nearest}")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// An existing key.
        nearest: String,
    },
    /// The environment has a variable without a key.
    #[error("{variable}: no key has this variable; the nearest one is {nearest}")]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// An existing variable.
        nearest: String,
    },
    /// The environment has a variable whose value is not UTF-8.
    #[error("{variable}: the value is not UTF-8; write it as UTF-8 text")]
    VariableNotUtf8 {
        /// The variable.
        variable: String,
    },
    /// A value has the wrong form.
    #[error("{name}: write {expected}")]
    WrongForm {
        /// The key, or the variable when the value came from the environment.
        name: String,
        /// What to write.
        expected: String,
    },
    /// The entries of an array of tables are not numbered 0, 1, 2, …
    #[error(
        "{array}.{index}: there is no {array}.{missing}; number the entries from 0 without gaps"
    )]
    Gap {
        /// The array.
        array: String,
        /// The number that is present.
        index: usize,
        /// The number that is missing.
        missing: usize,
    },
    /// A required key is missing.
    #[error("{key} is missing: {advice} (or set {})", variable_of(key))]
    Missing {
        /// The key.
        key: String,
        /// What to write.
        advice: &'static str,
    },
    /// A value breaks a rule.
    #[error("{key}: {reason}")]
    Invalid {
        /// The key.
        key: String,
        /// The rule, with what to write.
        reason: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two settings contradict each other.
    #[error("{key}: {advice}")]
    Contradiction {
        /// The key to change.
        key: String,
        /// The contradiction, with what to write.
        advice: &'static str,
    },
}

impl ConfigError {
    /// Returns whether the file could not be read at all, so that nothing is known of its keys.
    pub fn is_about_the_file(&self) -> bool {
        matches!(self, Self::Unreadable { .. } | Self::Syntax { .. })
    }

    /// Adds the name of the foreign setting that a wrong value comes from, because its author may
    /// not know our key.
    pub fn with_source(mut self, source: impl Fn(&str) -> Option<Arc<str>>) -> Self {
        if let Self::Invalid { key, .. } | Self::Contradiction { key, .. } = &mut self
            && let Some(source) = source(key)
        {
            *key = format!("{source} ({key})");
        }
        self
    }

    /// Returns whether this error already covers `other`: a value with the wrong form or a misspelt
    /// key is not also missing.
    pub fn covers(&self, other: &Self) -> bool {
        let key = match other {
            Self::Missing { key, .. } | Self::Invalid { key, .. } => key,
            Self::Contradiction { key, .. } => key,
            Self::Unreadable { .. }
            | Self::Syntax { .. }
            | Self::UnknownKey { .. }
            | Self::UnknownVariable { .. }
            | Self::VariableNotUtf8 { .. }
            | Self::WrongForm { .. }
            | Self::Gap { .. } => return false,
        };
        let means = |name: &str| name == key || name == variable_of(key);
        match self {
            Self::WrongForm { name, .. } => means(name),
            Self::VariableNotUtf8 { variable } => means(variable),
            Self::UnknownKey { nearest, .. } | Self::UnknownVariable { nearest, .. } => {
                matches!(other, Self::Missing { .. }) && means(nearest)
            }
            Self::Gap { array, .. } => key.starts_with(&format!("{array}.")),
            Self::Unreadable { .. }
            | Self::Syntax { .. }
            | Self::Missing { .. }
            | Self::Invalid { .. }
            | Self::Contradiction { .. } => false,
        }
    }
}

/// All errors in a configuration, one per line.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl std::fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the configuration is not usable:")?;
        for error in &self.0 {
            write!(f, "\n  {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
