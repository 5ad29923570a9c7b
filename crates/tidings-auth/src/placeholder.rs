//! Texts that ask another system for a value: `{env.NAME}` (Caddy), `${NAME}` (shells, Compose),
//! `%env(NAME)%` (Symfony), `{{ .Values.name }}` (Helm), and their kin.
//!
//! The hub looks none of them up. One that gets here was meant to be filled in by a system that did
//! not run, and as a key it would be a text that everybody can read in that system's documentation.
//! Caddy's placeholders in a Caddyfile are filled in by `config/mercure`, before anything is judged
//! here.

/// Returns the first part of `text` that asks for a value, in one of the forms that mean nothing else.
pub fn find(text: &str) -> Option<&str> {
    text.char_indices().find_map(|(start, _)| {
        let rest = text.get(start..)?;
        let length = length_at_start(rest)?;
        rest.get(..length)
    })
}

/// Says whether a text that begins like a path, an address or a URL begins with a variable instead:
/// `$HOME/data`, `%APPDATA%\data`.
pub fn begins_with_variable(text: &str) -> bool {
    let dollar = text.strip_prefix('$').is_some_and(begins_with_name);
    let percent = text.strip_prefix('%').and_then(|rest| rest.split_once('%'));
    dollar || percent.is_some_and(|(name, _)| is_name(name))
}

/// Says whether a whole text, taken for a secret, asks for a value. A secret may hold any character,
/// so that a lone brace or dollar in it means nothing.
pub fn is_unfilled_secret(text: &str) -> bool {
    let text = text.trim();
    let braces = text.starts_with('{') && text.ends_with('}');
    let dollar = text
        .strip_prefix('$')
        .is_some_and(|name| is_name(name) && !name.bytes().any(|byte| byte.is_ascii_lowercase()));
    let percent = text
        .strip_prefix('%')
        .and_then(|rest| rest.strip_suffix('%'))
        .is_some_and(is_name);
    // One that was cut off at a space counts too.
    let closed = format!("{text}}}");
    braces || dollar || percent || text.starts_with("file://") || find(&closed).is_some()
}

/// Says whether a text stands in quotation marks, which a shell or a reader of YAML would have
/// removed.
pub fn is_quoted(text: &str) -> bool {
    let text = text.trim();
    QUOTES.iter().any(|(open, close)| {
        let inner = text
            .strip_prefix(*open)
            .and_then(|rest| rest.strip_suffix(*close));
        inner.is_some()
    })
}

/// Returns how long the placeholder is that `text` begins with, if it begins with one.
fn length_at_start(text: &str) -> Option<usize> {
    let (before, inner, close) = if let Some(inner) = text.strip_prefix("{{") {
        ("{{", inner, "}}")
    } else if let Some(inner) = text.strip_prefix("${") {
        ("${", inner, "}")
    } else if let Some(inner) = text.strip_prefix("$(") {
        ("$(", inner, ")")
    } else if let Some(inner) = text.strip_prefix("{$") {
        ("{$", inner, "}")
    } else if let Some(inner) = text.strip_prefix("%env(") {
        ("%env(", inner, ")%")
    } else if let Some(inner) = text.strip_prefix("<%=") {
        ("<%=", inner, "%>")
    } else {
        ("{", text.strip_prefix('{')?, "}")
    };
    let (inner, _) = inner.split_once(close)?;
    let asks = match before {
        // `${{ secrets.NAME }}` is GitHub's, `${NAME:-default}` a shell's.
        "${" => inner.starts_with('{') || begins_with_name(inner),
        "$(" => is_name(inner),
        "{" => {
            let name = inner.strip_prefix('!').unwrap_or(inner);
            let namespace = name.split_once('.').map(|(namespace, _)| namespace);
            namespace.is_some_and(|namespace| NAMESPACES.contains(&namespace))
        }
        _ => !inner.trim().is_empty(),
    };
    asks.then_some(before.len() + inner.len() + close.len())
}

/// Says whether a text is the name of a variable.
fn is_name(text: &str) -> bool {
    let rest = text.strip_prefix(|first: char| first.is_ascii_alphabetic() || first == '_');
    rest.is_some_and(|rest| {
        rest.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

fn begins_with_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
}

/// What Caddy's placeholders with a dot begin with, and those of systems that follow it.
const NAMESPACES: [&str; 8] = [
    "env", "file", "vars", "http", "system", "args", "secret", "secrets",
];

const QUOTES: [(char, char); 5] = [
    ('"', '"'),
    ('\'', '\''),
    ('`', '`'),
    ('\u{201c}', '\u{201d}'),
    ('\u{2018}', '\u{2019}'),
];

#[cfg(test)]
mod tests;
