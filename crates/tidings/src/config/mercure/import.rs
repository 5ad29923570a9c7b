//! Turns a Caddyfile with a `mercure` block into the text of a `tidings.toml`.

use std::fmt::Write as _;

use tidings_auth::key::check_text;
use toml::Value;

use super::super::docs::header;
use super::super::error::ConfigError;
use super::super::keys::Form;
use super::super::{settings, tables};
use super::caddyfile::{self, CaddyfileError, Line, Lookup};
use super::placeholders::fill;
use super::variables::PATH;
use super::{Translation, directives, site};

/// Why a Caddyfile cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is not a Caddyfile.
    #[error(transparent)]
    Syntax(#[from] CaddyfileError),
    /// It configures no hub.
    #[error("it has no mercure block")]
    NoHub,
    /// It configures several hubs.
    #[error("it has {count} mercure blocks; import one at a time (lines {lines})")]
    SeveralHubs {
        /// How many.
        count: usize,
        /// Where they begin, joined by commas.
        lines: Box<str>,
    },
    /// It has invalid values.
    #[error("{}", joined(.0))]
    Values(Vec<ConfigError>),
}

/// The result of an import.
#[derive(Debug)]
pub struct Import {
    /// The configuration.
    pub toml: String,
    /// The settings without a counterpart, with the reasons.
    pub translation: Translation,
}

/// Reads a Caddyfile.
///
/// # Errors
///
/// It is not a Caddyfile, configures no hub or several, or has invalid values.
pub fn caddyfile(text: &str, lookup: Lookup<'_>) -> Result<Import, ImportError> {
    let lines = with_braces(caddyfile::parse(text, lookup)?);
    let mut hubs = Vec::new();
    for site in &lines {
        collect(site, site, &mut hubs);
    }
    let (site, hub) = match hubs[..] {
        [] => return Err(ImportError::NoHub),
        [(site, hub)] => (site, hub),
        [..] => {
            let lines: Vec<String> = hubs.iter().map(|(_, hub)| hub.number.to_string()).collect();
            return Err(ImportError::SeveralHubs {
                count: hubs.len(),
                lines: lines.join(", ").into(),
            });
        }
    };
    let mut into = Translation::default();
    site::translate(
        &site.words.join(" "),
        PATH,
        tls_of(site),
        &origin(site, "site"),
        &mut into,
    );
    directives::translate(&hub.block, lookup, &|line| origin(line, ""), &mut into);
    for line in lines.iter().filter(|line| line.number != site.number) {
        let name = line.words.first().map_or("global options", String::as_str);
        into.leave(&origin(line, name), OTHER_SITE);
    }
    leave_rest(site, hub, lookup, &mut into);
    check_values(&mut into);
    if into.errors.is_empty() {
        Ok(Import {
            toml: toml(&into),
            translation: into,
        })
    } else {
        Err(ImportError::Values(into.errors))
    }
}

/// Makes a block of the lines after the address of a single site: Caddy allows its braces to be omitted.
fn with_braces(lines: Vec<Line>) -> Vec<Line> {
    let mut sites = Vec::new();
    let mut rest = lines.into_iter();
    while let Some(mut line) = rest.next() {
        // After a comma, addresses may continue on the next line.
        while !line.opens
            && line.words.last().is_some_and(|word| word.ends_with(','))
            && let Some(next) = rest.next()
        {
            line.words.extend(next.words);
            line.block.extend(next.block);
            line.opens = next.opens;
        }
        // Snippets and named routes have braces. Imported files are not read.
        if !line.opens && line.words.first().is_some_and(|word| word != "import") {
            line.block.extend(rest.by_ref());
        }
        sites.push(line);
    }
    sites
}

/// Finds the hubs' blocks anywhere in a site, with their sites.
fn collect<'a>(site: &'a Line, line: &'a Line, found: &mut Vec<(&'a Line, &'a Line)>) {
    for inner in &line.block {
        if inner.words.first().is_some_and(|word| word == "mercure") {
            found.push((site, inner));
        } else {
            collect(site, inner, found);
        }
    }
}

/// Returns whether a site is served over TLS whatever its port.
fn tls_of(site: &Line) -> site::Tls {
    let is_tls = |line: &Line| line.words.first().is_some_and(|word| word == "tls");
    match site.block.iter().any(is_tls) {
        true => site::Tls::Asked,
        false => site::Tls::ByAddress,
    }
}

/// Refuses unresolved placeholders and unusable keys, because what is written to the file counts as the operator's
/// choice.
fn check_values(into: &mut Translation) {
    let wrong = into.values.iter().filter_map(|value| {
        let key = settings::key_at(&value.path)?;
        let name = value.source.to_string();
        let text = value.value.as_str().unwrap_or_default();
        if key.form == Form::Secret {
            let reason = check_text(text).err()?.into();
            return Some(ConfigError::Invalid { key: name, reason });
        }
        let expected = settings::unfilled(key.form, &value.value)?;
        Some(ConfigError::WrongForm { name, expected })
    });
    let wrong: Vec<ConfigError> = wrong.collect();
    into.errors.extend(wrong);
}

/// Reads the certificate in the hub's site, and notes the site's other lines as not read.
fn leave_rest(line: &Line, hub: &Line, lookup: Lookup<'_>, into: &mut Translation) {
    for inner in &line.block {
        if inner.number == hub.number {
            continue;
        }
        let name = inner.words.first().map(String::as_str).unwrap_or_default();
        match (name, &inner.words[..]) {
            ("tls", [_, certificate, key]) => {
                let source = origin(inner, name);
                into.set("tls.certificate", fill(certificate, lookup), &source);
                into.set("tls.key", fill(key, lookup), &source);
            }
            // If old dialects are served, the hub itself answers there.
            ("respond", [_, path, ..]) if path == "/healthz" && into.sets("dialects.v0") => {}
            _ if holds(inner, hub) => leave_rest(inner, hub, lookup, into),
            _ => into.leave(&origin(inner, name), OTHER_DIRECTIVE),
        }
    }
}

fn holds(line: &Line, hub: &Line) -> bool {
    line.block
        .iter()
        .any(|inner| inner.number == hub.number || holds(inner, hub))
}

fn origin(line: &Line, name: &str) -> String {
    let gap = if name.is_empty() { "" } else { " " };
    format!("line {}{gap}{name}", line.number)
}

/// Writes the values as a configuration file, in the order of the manual, each with its origin.
fn toml(translation: &Translation) -> String {
    let mut text = String::from("# Made by `tidings config import`.\n");
    for table in tables::ALL {
        for index in 0.. {
            let place = |path: &str| path.replace(".N.", &format!(".{index}."));
            let entries: Vec<(&str, &Value, &str)> = table
                .iter()
                .filter_map(|key| {
                    let path = place(key.path);
                    let found = translation.values.iter().find(|value| value.path == path)?;
                    Some((key.name(), &found.value, &*found.source))
                })
                .collect();
            let (Some(first), false) = (table.first(), entries.is_empty()) else {
                break;
            };
            // Writing to a String cannot fail.
            write!(text, "\n{}\n", header(first)).ok();
            for (name, value, source) in entries {
                writeln!(text, "{name} = {value} # {source}").ok();
            }
            if !first.path.contains(".N.") {
                break;
            }
        }
    }
    text
}

fn joined(errors: &[ConfigError]) -> String {
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n  ")
}

const OTHER_SITE: &str = "it is not part of the hub; keep Caddy in front if you need it";

const OTHER_DIRECTIVE: &str = "it is Caddy's; keep Caddy in front of the hub if you need it";

#[cfg(test)]
mod tests;
