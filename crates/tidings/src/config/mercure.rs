//! Settings of another Mercure hub, translated to ours.
//!
//! There are three sources: the environment of that hub since 0.8 ([`variables`]), its environment
//! of 2019 ([`variables_2019`]), and the directives of a `mercure` block ([`directives`]) in a
//! Caddyfile ([`caddyfile`]) or in `MERCURE_EXTRA_DIRECTIVES`. Each yields a [`Translation`].
//! `settings.rs` uses its values only where none of our own settings is set.

use std::sync::Arc;

use toml::Value;

use super::env::Variable;
use super::error::ConfigError;
use super::kubernetes;

pub mod caddyfile;
pub mod directives;
pub mod import;
pub mod placeholders;
pub mod site;
pub mod units;
pub mod variables;
pub mod variables_2019;

/// Settings of another hub in terms of ours.
#[derive(Debug, Default)]
pub struct Translation {
    /// The values, each path once.
    pub values: Vec<Translated>,
    /// Settings without a counterpart in this hub.
    pub unread: Vec<Unread>,
    /// Invalid settings.
    pub errors: Vec<ConfigError>,
    issuers: usize,
    /// Which issuer has the publishers' only key, and which has the subscribers'.
    role_keys: [Option<usize>; 2],
    listens: usize,
}

/// One value in terms of our keys.
pub struct Translated {
    /// The key, with numbers for entries of arrays.
    pub path: String,
    /// The value, in the form that the key asks for.
    pub value: Value,
    /// The variable or directive that it comes from.
    pub source: Arc<str>,
}

/// A setting for the other hub that has no counterpart here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// The variable or directive.
    pub name: String,
    /// Why it is not needed, or what to do instead.
    pub why: &'static str,
}

/// A key of the tokens' issuer, as the other hub configures it.
#[derive(Debug, Clone, Copy)]
pub struct TokenKey<'a> {
    /// The `iss` of the tokens.
    pub issuer: &'a str,
    /// The configuration key that holds or names it, such as `key` or `jwks_url`.
    pub field: &'static str,
    /// The value of that configuration key.
    pub text: &'a str,
    /// The algorithm. `None` is our default.
    pub algorithm: Option<&'a str>,
    /// Whether it verifies publishers' tokens.
    pub publish: bool,
    /// Whether it verifies subscribers' tokens.
    pub subscribe: bool,
    /// Dialects before 1.0 whose tokens it verifies. It also verifies tokens of 1.0 if it is strong enough.
    pub old_dialects: &'static [&'static str],
}

/// The value may be a secret.
impl std::fmt::Debug for Translated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Translated")
            .field("path", &self.path)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl Translation {
    /// Sets a key; a later value of the same key replaces an earlier one.
    pub fn set(&mut self, path: &str, value: impl Into<Value>, source: &str) {
        let (value, source) = (value.into(), source.into());
        match self.values.iter_mut().find(|known| known.path == path) {
            Some(known) => (known.value, known.source) = (value, source),
            None => self.values.push(Translated {
                path: path.to_owned(),
                value,
                source,
            }),
        }
    }

    /// Returns whether a key is set.
    pub fn sets(&self, path: &str) -> bool {
        self.values.iter().any(|known| known.path == path)
    }

    /// Adds an address to listen on.
    pub fn add_listen(&mut self, address: &str, tls: bool, source: &str) {
        let index = self.listens;
        self.listens += 1;
        self.set(&format!("listen.{index}.address"), address, source);
        self.set(&format!("listen.{index}.tls"), tls, source);
    }

    /// Adds a key that verifies tokens.
    pub fn add_key(&mut self, key: &TokenKey<'_>, source: &str) {
        let index = self.issuers;
        self.issuers += 1;
        self.set_key(index, key, source);
    }

    /// Sets the only key that verifies the tokens of a role. As in the other hub, a later one replaces an earlier one,
    /// so that an old key becomes invalid; but a key set takes precedence over a key.
    pub fn set_role_key(&mut self, key: &TokenKey<'_>, source: &str) {
        let role = usize::from(key.subscribe);
        let earlier = self.role_keys.get(role).copied().flatten();
        let Some(index) = earlier else {
            if let Some(known) = self.role_keys.get_mut(role) {
                *known = Some(self.issuers);
            }
            self.add_key(key, source);
            return;
        };
        let path = format!("auth.issuers.{index}.");
        if key.field == "key" && !self.sets(&format!("{path}key")) {
            self.leave(source, "the key set for the same tokens counts before it");
            return;
        }
        self.values.retain(|value| !value.path.starts_with(&path));
        self.set_key(index, key, source);
    }

    fn set_key(&mut self, index: usize, key: &TokenKey<'_>, source: &str) {
        let mut set = |name: &str, value: Value| {
            self.set(&format!("auth.issuers.{index}.{name}"), value, source);
        };
        set("issuer", key.issuer.into());
        set(key.field, key.text.into());
        if let Some(algorithm) = key.algorithm {
            set("algorithm", algorithm.into());
        }
        set("publish", key.publish.into());
        set("subscribe", key.subscribe.into());
        let modern = key.is_strong().then_some("1.0");
        let dialects = modern.into_iter().chain(key.old_dialects.iter().copied());
        set("dialects", list(dialects));
        for (name, flag) in [("0.x", "dialects.v0"), ("2019", "dialects.v2019")] {
            if key.old_dialects.contains(&name) {
                self.set(flag, true, source);
            }
        }
    }

    /// Notes a setting that is not read.
    pub fn leave(&mut self, name: &str, why: &'static str) {
        self.unread.push(Unread {
            name: name.to_owned(),
            why,
        });
    }

    /// Notes an invalid setting.
    pub fn refuse(&mut self, name: &str, expected: impl Into<String>) {
        self.errors.push(ConfigError::WrongForm {
            name: name.to_owned(),
            expected: expected.into(),
        });
    }
}

impl TokenKey<'_> {
    /// Returns whether 1.0 allows the key. The other hubs accepted secrets of any length.
    fn is_strong(&self) -> bool {
        let bytes_min = match self.algorithm.unwrap_or("HS256") {
            "HS256" => 32,
            "HS384" => 48,
            "HS512" => 64,
            _ => 0,
        };
        self.field != "key" || self.text.len() >= bytes_min || self.old_dialects.is_empty()
    }
}

/// Reads the environment of another hub, if this is one. The names of 2019 have no prefix, so they are read only if
/// the name of a key is among them.
pub fn of_environment(variables: &[Variable]) -> Translation {
    let environment = Environment(variables);
    if variables::applies(&environment) {
        let mut into = variables::read(&environment);
        variables_2019::leave(&environment, &mut into);
        return into;
    }
    if variables_2019::applies(&environment) {
        return variables_2019::read(&environment);
    }
    Translation::default()
}

/// All variables of the process.
#[derive(Debug, Clone, Copy)]
pub struct Environment<'a>(pub &'a [Variable]);

impl<'a> Environment<'a> {
    /// Returns a variable's text, which may be empty.
    pub fn look_up(&self, name: &str) -> Option<String> {
        let variable = self.0.iter().find(|variable| variable.name == name)?;
        variable.value.clone()
    }

    /// Returns a variable's text. As in the other hub, an empty one counts as absent.
    pub fn find(&self, name: &str) -> Option<&'a str> {
        let variable = self.0.iter().find(|variable| variable.name == name)?;
        variable.value.as_deref().filter(|value| !value.is_empty())
    }

    /// Returns whether Kubernetes sets a variable for a Service.
    pub fn is_of_service(&self, name: &str) -> bool {
        let mut variables = self.0.iter();
        let variable = variables.find(|variable| variable.name == name);
        variable.is_some_and(kubernetes::is_of_service)
    }

    /// Returns the names of all variables that begin with `prefix`.
    pub fn beginning(&self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        let names = self.0.iter().map(|variable| variable.name.as_str());
        names.filter(move |name| name.starts_with(prefix))
    }
}

/// The issuer of the other hub's tokens if no setting names one: the default of its image.
pub const DEFAULT_ISSUER: &str = "https://localhost";

/// Returns texts as a list value.
fn list<'a>(entries: impl IntoIterator<Item = &'a str>) -> Value {
    Value::Array(entries.into_iter().map(Value::from).collect())
}

/// Returns a number of seconds or updates as a value.
fn number(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
