//! Resolves Caddy's placeholders in a Caddyfile: `{env.NAME}` and `{file.PATH}`.
//!
//! As in Caddy, an unset variable is an empty string, a placeholder may be anywhere in a word, and
//! the result is not resolved again. `{$NAME}` is replaced earlier, by
//! [`caddyfile`](super::caddyfile).
//!
//! Caddy's documentation, "Conventions", "Placeholders".

use super::caddyfile::Lookup;
use crate::text_file;

/// Resolves known placeholders. Others stay as they are, including files that cannot be read, so that the check of the
/// value refuses them. `{env.NAME:default}` stays too: Caddy has no default there.
pub fn fill(word: &str, lookup: Lookup<'_>) -> String {
    let mut filled = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((inner, after)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        match value(inner, lookup) {
            Some(value) => filled.push_str(&value),
            None => {
                filled.push('{');
                filled.push_str(inner);
                filled.push('}');
            }
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn value(inner: &str, lookup: Lookup<'_>) -> Option<String> {
    match inner.split_once('.')? {
        ("env", name) if !name.contains(':') => Some(lookup(name).unwrap_or_default()),
        ("file", path) => {
            let text = text_file::read(path).ok()?;
            Some(text_file::without_line_break(&text).to_owned())
        }
        _ => None,
    }
}
