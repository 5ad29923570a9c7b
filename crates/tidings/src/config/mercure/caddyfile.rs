//! Parses a Caddyfile into lines and blocks, without interpreting them.
//!
//! Words are separated by white space; `"…"` and backquotes keep it together, `#` begins a comment,
//! `{` at the end of a line opens a block, a backslash at the end of a line continues it.
//! `{$NAME}` and `{$NAME:default}` stand for variables of the environment and are replaced first.
//!
//! Caddy's documentation, "Caddyfile Concepts".

/// One line: its words and, if it opens a block, the lines in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The words. Empty only for a block without a head, which is Caddy's global one.
    pub words: Vec<String>,
    /// The lines of its block.
    pub block: Vec<Self>,
    /// Whether it opens a block, even an empty one.
    pub opens: bool,
    /// Its line number, from 1.
    pub number: usize,
}

/// Why a Caddyfile cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CaddyfileError {
    /// It is too long.
    #[error("it has {bytes} bytes, more than {BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A quoted word has no end.
    #[error("line {line}: a quotation is not closed")]
    Quotation {
        /// Where it begins.
        line: usize,
    },
    /// A block has no end.
    #[error("line {line}: a block is not closed")]
    Unclosed {
        /// Where it begins.
        line: usize,
    },
    /// A block ends that did not begin.
    #[error("line {line}: unmatched }}")]
    Unopened {
        /// Where.
        line: usize,
    },
    /// Blocks are nested too deeply.
    #[error("line {line}: more than {DEPTH_MAX} nested blocks")]
    TooDeep {
        /// Where.
        line: usize,
    },
    /// A heredoc, which is not read.
    #[error("line {line}: heredocs (<<) are not supported; use quotation marks")]
    Heredoc {
        /// Where.
        line: usize,
    },
}

/// Finds the value of a variable of the environment.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a Caddyfile, or some directives.
///
/// # Errors
///
/// The first syntax error.
pub fn parse(text: &str, lookup: Lookup<'_>) -> Result<Vec<Line>, CaddyfileError> {
    if text.len() > BYTES_MAX {
        return Err(CaddyfileError::TooLong { bytes: text.len() });
    }
    let text = with_variables(text, lookup);
    if text.len() > BYTES_MAX {
        return Err(CaddyfileError::TooLong { bytes: text.len() });
    }
    blocks(&words(&text)?)
}

/// A word with its line; a line's first word begins a new one.
#[derive(Debug)]
struct Word {
    text: String,
    line: usize,
    quoted: bool,
    first: bool,
}

fn words(text: &str) -> Result<Vec<Word>, CaddyfileError> {
    let mut words: Vec<Word> = Vec::new();
    let mut characters = text.chars().peekable();
    let mut line = 1;
    let mut first = true;
    while let Some(character) = characters.next() {
        match character {
            '\n' => {
                line += 1;
                first = true;
            }
            '\\' if matches!(characters.peek(), Some('\n')) => {
                characters.next();
                line += 1;
            }
            '#' => while characters.next_if(|next| *next != '\n').is_some() {},
            character if character.is_whitespace() => {}
            quote @ ('"' | '`') => {
                let began = line;
                let mut text = String::new();
                loop {
                    match characters.next() {
                        None => return Err(CaddyfileError::Quotation { line: began }),
                        Some('\\') if quote == '"' && characters.peek() == Some(&'"') => {
                            characters.next();
                            text.push('"');
                        }
                        Some(end) if end == quote => break,
                        Some(inner) => {
                            line += usize::from(inner == '\n');
                            text.push(inner);
                        }
                    }
                }
                words.push(Word {
                    text,
                    line: began,
                    quoted: true,
                    first,
                });
                first = false;
            }
            character => {
                let mut text = String::from(character);
                while let Some(next) = characters.next_if(|next| !next.is_whitespace()) {
                    text.push(next);
                }
                if text.starts_with("<<") {
                    return Err(CaddyfileError::Heredoc { line });
                }
                words.push(Word {
                    text,
                    line,
                    quoted: false,
                    first,
                });
                first = false;
            }
        }
    }
    Ok(words)
}

fn blocks(words: &[Word]) -> Result<Vec<Line>, CaddyfileError> {
    // The innermost open block is the last; the file itself is the first.
    let mut open: Vec<(Vec<Line>, usize)> = vec![(Vec::new(), 0)];
    for word in words {
        let depth = open.len();
        let Some((lines, _)) = open.last_mut() else {
            return Err(CaddyfileError::Unopened { line: word.line });
        };
        match (word.text.as_str(), word.quoted) {
            ("{", false) => {
                if depth > DEPTH_MAX {
                    return Err(CaddyfileError::TooDeep { line: word.line });
                }
                if word.first || lines.is_empty() {
                    lines.push(Line {
                        words: Vec::new(),
                        block: Vec::new(),
                        opens: true,
                        number: word.line,
                    });
                }
                if let Some(head) = lines.last_mut() {
                    head.opens = true;
                }
                open.push((Vec::new(), word.line));
            }
            ("}", false) => {
                let closed = open.pop();
                let (Some((block, _)), Some((lines, _))) = (closed, open.last_mut()) else {
                    return Err(CaddyfileError::Unopened { line: word.line });
                };
                if let Some(head) = lines.last_mut() {
                    head.block = block;
                }
            }
            _ if word.first || lines.is_empty() => lines.push(Line {
                words: vec![word.text.clone()],
                block: Vec::new(),
                opens: false,
                number: word.line,
            }),
            _ => {
                if let Some(line) = lines.last_mut() {
                    line.words.push(word.text.clone());
                }
            }
        }
    }
    match (open.pop(), open.is_empty()) {
        (Some((lines, _)), true) => Ok(lines),
        (last, _) => Err(CaddyfileError::Unclosed {
            line: last.map_or(0, |(_, line)| line),
        }),
    }
}

/// Replaces `{$NAME}` and `{$NAME:default}`. The default applies only if the variable is not set, not if it is empty.
fn with_variables(text: &str, lookup: Lookup<'_>) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{$") {
        replaced.push_str(before);
        let Some((inner, after)) = after.split_once('}') else {
            replaced.push_str("{$");
            rest = after;
            continue;
        };
        // As in Caddy, one without a name is not a variable.
        if inner.is_empty() {
            replaced.push_str("{$}");
        }
        let (name, default) = inner.split_once(':').unwrap_or((inner, ""));
        replaced.push_str(&lookup(name).unwrap_or_else(|| default.to_owned()));
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

/// Maximum size of a Caddyfile, in bytes.
pub const BYTES_MAX: usize = 1 << 20;

/// Maximum depth of nested blocks.
const DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests;
