//! A commented configuration to begin with, made from the table of keys: what was chosen is set, and every
//! other key is a comment with its default.

use toml::Value;

use super::docs::header;
use super::keys::{Fallback, Form, Key};
use super::tables;

/// How much of the manual stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The tables that most hubs have, with a sentence for each key.
    Usual,
    /// Every table, with the whole manual.
    Full,
}

/// Returns a configuration with the `chosen` values: paths of keys, with numbers for entries of arrays,
/// and what stands there.
pub fn toml(chosen: &[(&str, Value)], extent: Extent) -> String {
    let mut text = INTRODUCTION.to_owned();
    for table in tables::ALL {
        let Some(first) = table.first() else { continue };
        let name = first.path.rsplit_once('.').map_or("", |(table, _)| table);
        let is_chosen = |key: &&Key| value_of(key, chosen).is_some();
        if extent == Extent::Usual
            && !USUAL.contains(&name)
            && !table.iter().any(|key| is_chosen(&key))
        {
            continue;
        }
        // An empty table does nothing, but an entry of an array is one more of its things.
        let is_entry = name.ends_with(".N") && !table.iter().any(|key| is_chosen(&key));
        let mark = if is_entry { "# " } else { "" };
        text.push_str(&format!("\n{mark}{}\n", header(first)));
        for key in *table {
            text.push_str(&entry(key, chosen, extent));
        }
    }
    text
}

fn entry(key: &Key, chosen: &[(&str, Value)], extent: Extent) -> String {
    let mut text = String::new();
    let manual = match extent {
        Extent::Usual => first_sentence(key.text()),
        Extent::Full => key.text(),
    };
    for line in wrapped(manual) {
        text.push_str(&format!("# {line}\n"));
    }
    let name = key.name();
    text.push_str(&match (value_of(key, chosen), key.fallback) {
        (Some(value), _) => format!("{name} = {value}\n"),
        (None, Fallback::Fixed(fixed)) => format!("# {name} = {}\n", fixed.value()),
        (None, Fallback::Computed(said, _) | Fallback::Unset(said)) => {
            format!("# {name} = {} # default: {said}\n", example(key.form))
        }
        (None, Fallback::Required(_)) => format!("# {name} = {}\n", example(key.form)),
    });
    text
}

fn value_of<'a>(key: &Key, chosen: &'a [(&str, Value)]) -> Option<&'a Value> {
    let first = key.path.replace(".N.", ".0.");
    chosen
        .iter()
        .find_map(|(path, value)| (*path == first).then_some(value))
}

/// Returns what a value of a form looks like.
fn example(form: Form) -> String {
    match form {
        Form::Text | Form::Secret => "\"...\"".to_owned(),
        Form::Path => "\"/path/to/file\"".to_owned(),
        Form::Address => "\"127.0.0.1:4401\"".to_owned(),
        Form::Url => "\"https://example.com/\"".to_owned(),
        Form::Flag => "false".to_owned(),
        Form::Number => "0".to_owned(),
        Form::List => "[]".to_owned(),
        Form::Choice(words) => format!("{:?}", words.first().copied().unwrap_or_default()),
    }
}

fn first_sentence(text: &str) -> &str {
    match text.split_once(". ") {
        // The point stays.
        Some((first, _)) => text.get(..=first.len()).unwrap_or(text),
        None => text,
    }
}

/// Breaks a text into lines.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < LINE_MAX => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Bytes of a line, without its mark.
const LINE_MAX: usize = 96;

/// Tables that most hubs have.
const USUAL: [&str; 11] = [
    "listen.N",
    "tls",
    "hub",
    "data",
    "admin",
    "auth.issuers.N",
    "subscribe",
    "publish",
    "cors",
    "history",
    "log",
];

const INTRODUCTION: &str = "\
# Configuration of a Tidings hub, made by `tidings init`.
#
# A line that begins with # and a name shows a key and its default: remove the # to change it.
# `tidings config check` checks this file; `tidings config docs` is the manual of all keys.
";

#[cfg(test)]
mod tests;
