//! The only reader of the environment for the configuration.
//!
//! A key's variable is `TIDINGS_` and the key's path in upper case, its parts joined by two
//! underscores. `settings.rs` interprets the variables; `mercure.rs` knows the variable names of
//! other Mercure hubs. A few variables belong to the command line, which reads them through clap;
//! they are listed here so that they do not count as unknown.

use std::ffi::OsString;

use super::keys::VARIABLE_PREFIX;

/// One variable. `Debug` hides the value, because it may be a secret.
pub struct Variable {
    /// The whole name.
    pub name: String,
    /// The value; `None` if it is not UTF-8.
    pub value: Option<String>,
}

impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variable")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Returns the process's variables that have names in UTF-8, sorted by name.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one reader of the environment"
)]
pub fn variables() -> Vec<Variable> {
    sorted(std::env::vars_os())
}

fn sorted(all: impl Iterator<Item = (OsString, OsString)>) -> Vec<Variable> {
    let mut variables: Vec<Variable> = all
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .map(|(name, value)| Variable {
            name,
            value: value.into_string().ok(),
        })
        .collect();
    variables.sort_by(|a, b| a.name.cmp(&b.name));
    variables
}

/// Returns whether a variable belongs to the configuration.
pub fn is_own(name: &str) -> bool {
    name.starts_with(VARIABLE_PREFIX) && !COMMAND_LINE_VARIABLES.contains(&name)
}

/// Variables of the command line.
pub const COMMAND_LINE_VARIABLES: [&str; 8] = [
    "TIDINGS_ADMIN",
    "TIDINGS_ADMIN_TOKEN",
    "TIDINGS_BROKER_PASSWORD",
    "TIDINGS_CONFIG",
    "TIDINGS_CONTEXT",
    "TIDINGS_HUB",
    "TIDINGS_TOKEN",
    "TIDINGS_TOKEN_KEY",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configurations_own_variables_are_known() {
        let all = [
            "PATH",
            "TIDINGS_TOKEN",
            "TIDINGS_LOG__LEVEL",
            "TIDINGS_HUB",
            "TIDINGS_DATA__DIR",
        ];
        let variables = sorted(all.into_iter().map(|name| (name.into(), "value".into())));
        let names: Vec<_> = variables
            .iter()
            .map(|variable| variable.name.as_str())
            .filter(|name| is_own(name))
            .collect();
        assert_eq!(names, ["TIDINGS_DATA__DIR", "TIDINGS_LOG__LEVEL"]);
        assert!(!format!("{variables:?}").contains("value"));
    }
}
