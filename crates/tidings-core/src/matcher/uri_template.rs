//! One URI template, which matches the topics it could expand to. RFC 6570, levels 1 to 4.
//!
//! The result follows the hubs of Mercure 0.x. An expression matches any text that some values of
//! its variables could expand to. A prefix modifier (`{id:3}`) is ignored: the whole value matches.
//! A missing value leaves nothing, not even the operator's first character.
//!
//! The literal text before the first expression and after the last one is compared directly; one
//! regular expression tests the text in between.

use crate::limits::{PATTERN_GROUPS_MAX, PATTERN_REGEX_BYTES_MAX};
use crate::matcher::expression::{self, Expression as Table};
use crate::matcher::{ANCHORS_MAX, PatternError};

/// A URI template with at least one expression, compiled.
#[derive(Debug)]
pub(crate) struct UriTemplate {
    prefix: Box<str>,
    suffix: Box<str>,
    /// The text between prefix and suffix.
    middle: Box<Table>,
    /// The length of the prefix up to and including its last slash.
    directory_len: usize,
    /// Whole path segments after the directory that every matching topic contains.
    anchors: Box<[Box<str>]>,
}

impl UriTemplate {
    /// Parses a template. `None` if the text is not a template or has no expression: such a text
    /// matches only itself.
    ///
    /// # Errors
    ///
    /// [`PatternError`] if testing it would cost too much.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, PatternError> {
        let Some(pieces) = pieces(text) else {
            return Ok(None);
        };
        let variables = |piece: &Piece<'_>| match piece {
            Piece::Literal(_) => 0,
            Piece::Expression(expression) => expression.variables.len(),
        };
        let count = pieces.iter().map(variables).sum();
        if count > PATTERN_GROUPS_MAX {
            return Err(PatternError::TooManyGroups { count });
        }
        if count == 0 {
            return Ok(None);
        }
        let (prefix, rest) = match pieces.split_first() {
            Some((Piece::Literal(literal), rest)) if literal.is_ascii() => (*literal, rest),
            _ => ("", pieces.as_slice()),
        };
        let (suffix, middle) = match rest.split_last() {
            Some((Piece::Literal(literal), rest)) if literal.is_ascii() => (*literal, rest),
            _ => ("", rest),
        };
        let mut source = String::from("^");
        for piece in middle {
            piece.write_regex(&mut source);
        }
        source.push('$');
        let source = expression::parse(&source)?;
        let middle = Table::compile(&source, PATTERN_REGEX_BYTES_MAX)?;
        Ok(Some(Self {
            prefix: prefix.into(),
            suffix: suffix.into(),
            middle: Box::new(middle),
            directory_len: prefix.rfind('/').map_or(0, |slash| slash + 1),
            anchors: anchors(&pieces),
        }))
    }

    /// Returns whether the template can expand to `topic`. Takes time linear in the topic's length.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        topic
            .strip_prefix(&*self.prefix)
            .and_then(|rest| rest.strip_suffix(&*self.suffix))
            .is_some_and(|middle| self.middle.matches(middle.as_bytes()))
    }

    /// Returns what every matching topic begins with, up to and including the last slash.
    pub(crate) fn directory(&self) -> &str {
        self.prefix.get(..self.directory_len).unwrap_or_default()
    }

    /// Returns whole path segments after the directory that every matching topic contains, longest
    /// first.
    pub(crate) fn anchors(&self) -> &[Box<str>] {
        &self.anchors
    }

    /// Returns the bytes of memory that it takes, without its own size.
    pub(crate) fn bytes(&self) -> usize {
        let anchors = self
            .anchors
            .iter()
            .map(|anchor| size_of_val(anchor) + anchor.len());
        let literals = self.prefix.len() + self.suffix.len();
        literals + self.middle.bytes() + anchors.sum::<usize>()
    }
}

/// A part of a template.
enum Piece<'a> {
    Literal(&'a str),
    Expression(Expression<'a>),
}

struct Expression<'a> {
    operator: Operator,
    variables: Vec<&'a str>,
    /// Whether a variable has the modifier `*`, so that each entry of its value is expanded
    /// separately.
    explodes: bool,
}

/// RFC 6570, appendix A.
#[derive(Clone, Copy)]
struct Operator {
    first: &'static str,
    separator: char,
    named: bool,
    reserved: bool,
}

impl Operator {
    const SIMPLE: Self = Self {
        first: "",
        separator: ',',
        named: false,
        reserved: false,
    };

    fn of(character: char) -> Option<Self> {
        let (first, separator, named, reserved) = match character {
            '+' => ("", ',', false, true),
            '#' => ("#", ',', false, true),
            '.' => (".", '.', false, false),
            '/' => ("/", '/', false, false),
            ';' => (";", ';', true, false),
            '?' => ("?", '&', true, false),
            '&' => ("&", '&', true, false),
            _ => return None,
        };
        Some(Self {
            first,
            separator,
            named,
            reserved,
        })
    }
}

/// Splits a template into pieces; `None` if it breaks the grammar.
///
/// RFC 6570, 2.
fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (literal, after) = match rest.split_once('{') {
            Some((literal, after)) => (literal, Some(after)),
            None => (rest, None),
        };
        if !is_literal(literal) {
            return None;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        let Some(after) = after else { break };
        let (inside, after) = after.split_once('}')?;
        pieces.push(Piece::Expression(expression(inside)?));
        rest = after;
    }
    Some(pieces)
}

/// RFC 6570, 2.1.
fn is_literal(text: &str) -> bool {
    let forbidden = |character: char| {
        character.is_control()
            || " \"'<>\\^`|}".contains(character)
            || ('\u{fdd0}'..='\u{fdef}').contains(&character)
    };
    !text.contains(forbidden) && escapes_are_whole(text)
}

/// Returns whether two hex digits follow each `%`.
fn escapes_are_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|after| {
        let digits = after.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// RFC 6570, 2.2 to 2.4.
fn expression(inside: &str) -> Option<Expression<'_>> {
    let first = inside.chars().next()?;
    let (operator, list) = match Operator::of(first) {
        Some(operator) => (operator, inside.get(first.len_utf8()..)?),
        None => (Operator::SIMPLE, inside),
    };
    let mut expression = Expression {
        operator,
        variables: Vec::new(),
        explodes: false,
    };
    for specification in list.split(',') {
        let name = if let Some(name) = specification.strip_suffix('*') {
            expression.explodes = true;
            name
        } else if let Some((name, length)) = specification.split_once(':') {
            let digits = length.bytes().all(|byte| byte.is_ascii_digit());
            if !digits || length.starts_with('0') || !(1..=4).contains(&length.len()) {
                return None;
            }
            name
        } else {
            specification
        };
        if !is_variable_name(name) {
            return None;
        }
        expression.variables.push(name);
    }
    Some(expression)
}

fn is_variable_name(name: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && escapes_are_whole(part)
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'%')
    };
    name.split('.').all(part)
}

impl Piece<'_> {
    fn write_regex(&self, source: &mut String) {
        match self {
            Self::Literal(literal) => {
                for character in literal.chars() {
                    write_literal(source, character);
                }
            }
            Self::Expression(expression) => expression.write_regex(source),
        }
    }
}

/// Writes a literal character. A character that a URL cannot contain also matches its
/// percent-encoding, because expanding encodes it. RFC 6570, 3.1.
fn write_literal(source: &mut String, character: char) {
    let mut buffer = [0; 4];
    let plain = character.encode_utf8(&mut buffer);
    if character.is_ascii() {
        source.push_str(&regex_syntax::escape(plain));
        return;
    }
    let bytes = |format: fn(u8) -> String| plain.bytes().map(format).collect::<String>();
    source.push_str("(?:");
    source.push_str(&bytes(|byte| format!("\\x{byte:02X}")));
    source.push_str("|(?i:");
    source.push_str(&bytes(|byte| format!("%{byte:02X}")));
    source.push_str("))");
}

impl Expression<'_> {
    fn write_regex(&self, source: &mut String) {
        let Operator {
            first,
            separator,
            named,
            reserved,
        } = self.operator;
        let value = value(reserved, named || self.explodes);
        // A value may contain these separators, so several values with separators between them
        // match as one.
        let is_one = reserved || matches!(separator, ',' | '.');
        let separator = regex_syntax::escape(separator.encode_utf8(&mut [0; 4]));
        source.push_str("(?:");
        source.push_str(&regex_syntax::escape(first));
        source.push_str(&value);
        if self.explodes && !is_one {
            source.push_str(&format!("(?:{separator}{value})*"));
        } else if self.variables.len() > 1 && !is_one {
            let more = self.variables.len() - 1;
            source.push_str(&format!("(?:{separator}{value}){{0,{more}}}"));
        }
        source.push_str(")?");
    }
}

/// Returns the expression for one value: its percent-encoded characters, and the separators of its
/// entries.
fn value(reserved: bool, pairs: bool) -> String {
    let joins = match (reserved, pairs) {
        (true, _) => "",
        (false, true) => ",=",
        (false, false) => ",",
    };
    let more = if reserved {
        ":/?#\\[\\]@!$&'()*+,;="
    } else {
        ""
    };
    format!("(?:[A-Za-z0-9._~{joins}{more}\\-]|%[0-9A-Fa-f][0-9A-Fa-f])*")
}

/// Returns the path segments that are whole between slashes in the literals after the first one.
/// The last segment of the template counts too.
fn anchors(pieces: &[Piece<'_>]) -> Box<[Box<str>]> {
    let mut anchors: Vec<Box<str>> = Vec::new();
    for (index, piece) in pieces.iter().enumerate().skip(1) {
        let Piece::Literal(literal) = piece else {
            continue;
        };
        if !literal.is_ascii() {
            continue;
        }
        let mut segments: Vec<&str> = literal.split('/').skip(1).collect();
        if index + 1 < pieces.len() {
            segments.pop();
        }
        anchors.extend(
            segments
                .into_iter()
                .filter(|segment| !segment.is_empty())
                .map(Into::into),
        );
    }
    anchors.sort_by_key(|anchor| std::cmp::Reverse(anchor.len()));
    anchors.truncate(ANCHORS_MAX);
    anchors.into()
}

#[cfg(test)]
mod tests;
