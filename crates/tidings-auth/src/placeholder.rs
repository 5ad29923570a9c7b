//! Texts that ask another system for a value: `{env.NAME}` (Caddy), `${NAME}` (shells, Compose),
//! `%env(NAME)%` (Symfony), `{{ .Values.name }}` (Helm), and their kin.
//!
//! The hub fills in none of them. A placeholder that gets here should have been filled in by a system that did not
//! run. As a key, it would be a text that everybody can read in that system's documentation. `config/mercure`
//! fills in Caddy's placeholders in a Caddyfile before it calls this module.

/// Returns the first placeholder in `text`, in one of the forms that can mean nothing else.
pub fn find(text: &str) -> Option<&str> {
    text.char_indices().find_map(|(start, _)| {
        let rest = text.get(start..)?;
        let length = length_at_start(rest)?;
        rest.get(..length)
    })
}

/// Returns whether a path, an address or a URL begins with a variable: `$HOME/data`, `%APPDATA%\data`.
pub fn begins_with_variable(text: &str) -> bool {
    let dollar = text.strip_prefix('$').is_some_and(begins_with_name);
    let percent = text.strip_prefix('%').and_then(|rest| rest.split_once('%'));
    dollar || percent.is_some_and(|(name, _)| is_name(name))
}

/// Returns whether a whole text, meant as a secret, is a placeholder. A secret may contain any character, so a lone
/// brace or dollar sign in it means nothing.
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
    // A placeholder that was cut off at a space counts too.
    let closed = format!("{text}}}");
    braces || dollar || percent || text.starts_with("file://") || find(&closed).is_some()
}

/// Returns whether a text is in quotation marks, which a shell or a YAML parser would have removed.
pub fn is_quoted(text: &str) -> bool {
    let text = text.trim();
    QUOTES.iter().any(|(open, close)| {
        let inner = text
            .strip_prefix(*open)
            .and_then(|rest| rest.strip_suffix(*close));
        inner.is_some()
    })
}

/// Returns the length of the placeholder at the start of `text`, if there is one.
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

/// Returns whether a text is the name of a variable.
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

/// The starts of dotted placeholders, in Caddy and in systems that follow it.
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
