//! Rust source as text: without comments and strings, and split into tokens.
//!
//! Knows just enough of the language for the checks of `tidy`: what is code, and which names a file
//! defines. It is not a parser and never refuses a file.

/// Returns `source` in which spaces replace each comment and the content of each string. Line
/// breaks stay, so line numbers are unchanged.
pub fn code_of(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest, code.chars().next_back());
        let (taken, after) = rest.split_at(length.unwrap_or_else(|| first.len_utf8()));
        match length {
            Some(_) => code.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => code.push(first),
        }
        rest = after;
    }
    code
}

/// Returns the length of the comment, string or character literal at the beginning of `rest`.
fn blank_length(rest: &str, before: Option<char>) -> Option<usize> {
    let inside_name = before.is_some_and(is_name_character);
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment_length(rest));
    }
    if let Some(opening) = raw_string_opening(rest).filter(|_| !inside_name) {
        let closing = format!("\"{}", "#".repeat(opening.matches('#').count()));
        let body = rest.strip_prefix(opening)?;
        let end = body
            .find(&closing)
            .map_or(body.len(), |at| at + closing.len());
        return Some(opening.len() + end);
    }
    if rest.starts_with('"') {
        return Some(quoted_length(rest, '"'));
    }
    let quoted = rest.strip_prefix('\'')?;
    // `'a'` and `'\n'` are character literals, `'a` is a lifetime.
    let is_character = quoted.starts_with('\\') || quoted.chars().nth(1) == Some('\'');
    is_character.then(|| quoted_length(rest, '\''))
}

/// Returns the length of a quoted text including its quotes. A backslash escapes the next
/// character.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut hidden = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(here) = rest.get(at..).filter(|here| !here.is_empty()) {
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Returns `r#"`, `br"` or similar, if `rest` begins with one.
fn raw_string_opening(rest: &str) -> Option<&str> {
    let name_length = rest
        .find(|c: char| !matches!(c, 'r' | 'b' | 'c'))
        .filter(|&at| at > 0)?;
    let name = rest.get(..name_length).filter(|name| name.ends_with('r'))?;
    let hashes = rest.get(name.len()..)?.find(|c| c != '#')?;
    let opening = rest.get(..=name.len() + hashes)?;
    opening.ends_with('"').then_some(opening)
}

/// A name that a file defines.
#[derive(Debug, PartialEq, Eq)]
pub struct Definition<'a> {
    /// The word before the name (`fn`, `struct`, `let` …), or `:` for a field or parameter.
    pub kind: &'a str,
    /// The name itself.
    pub name: &'a str,
    /// Its line, counted from 1.
    pub line: usize,
}

/// Returns the names that `code` defines: items, variables, fields and parameters, but not names
/// inside patterns.
pub fn definitions(code: &str) -> Vec<Definition<'_>> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, &(word, line)) in tokens.iter().enumerate() {
        let next = |step: usize| tokens.get(at + step).map_or("", |&(word, _)| word);
        match word {
            "fn" | "struct" | "enum" | "trait" | "mod" | "type" | "const" | "static" | "let" => {
                let name = if matches!(next(1), "mut" | "ref") {
                    next(2)
                } else {
                    next(1)
                };
                found.push(Definition {
                    kind: word,
                    name,
                    line,
                });
            }
            _ if next(1) == ":" && next(2) != ":" => {
                let before = at
                    .checked_sub(1)
                    .and_then(|at| tokens.get(at))
                    .map_or("", |&(word, _)| word);
                if matches!(before, "(" | "," | "{" | "pub" | ")" | "mut") {
                    found.push(Definition {
                        kind: ":",
                        name: word,
                        line,
                    });
                }
            }
            _ => {}
        }
    }
    found.retain(|definition| definition.name.starts_with(is_name_character));
    found
}

/// Splits code into names and single other characters, each with its line.
fn tokens(code: &str) -> Vec<(&str, usize)> {
    let mut tokens = Vec::new();
    for (line, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = match rest.find(|c| !is_name_character(c)) {
                Some(0) => first.len_utf8(),
                Some(length) => length,
                None => rest.len(),
            };
            let (token, after) = rest.split_at(length);
            tokens.push((token, line + 1));
            rest = after.trim_start();
        }
    }
    tokens
}

fn is_name_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the words of a name in lower case: `ringBytes`, `RingBytes` and `ring_bytes` have two
/// each.
pub fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for c in name.chars() {
        if c == '_' || (c.is_uppercase() && after_lower) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase() || c.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests;
