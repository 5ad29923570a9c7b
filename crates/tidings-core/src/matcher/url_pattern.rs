//! One compiled URL pattern, kept small. The crate `urlpattern` parses the text. Its result,
//! sixteen regular expressions per pattern, is replaced by one small test per component; literals
//! and plain wildcards need no regular expression.
//!
//! Every component of a parsed URL is ASCII.

use std::cell::OnceCell;

use regex_syntax::hir::{Hir, HirKind, Look};
use urlpattern::matcher::InnerMatcher;
use urlpattern::regexp::RegExp;
use urlpattern::{RegexSyntax, UrlPatternInit, UrlPatternOptions};

use crate::hub_url::HubUrl;
use crate::limits::{PATTERN_GROUPS_MAX, PATTERN_REGEX_BYTES_MAX};
use crate::matcher::expression::{self, Expression};
use crate::matcher::{ANCHORS_MAX, PatternError};
use crate::subject::{Component, Parts};

/// A compiled URL pattern. WHATWG URL Pattern; `ignoreCase` is always off.
#[derive(Debug)]
pub(crate) struct UrlPattern {
    /// In the order of [`Component::ALL`].
    tests: [ComponentTest; Component::ALL.len()],
    /// What every matching path begins with, up to and including the last slash.
    directory: Box<str>,
    /// Whole path segments that every matching path contains; without those of the directory, if
    /// the pattern is looked up by its directory.
    anchors: Box<[Box<str>]>,
}

impl UrlPattern {
    /// Parses a constructor string, relative to the hub's URL. Mercure, "URL Pattern".
    pub(crate) fn parse(pattern: &str, hub: &HubUrl) -> Result<Self, PatternError> {
        let count = groups(pattern);
        if count > PATTERN_GROUPS_MAX {
            return Err(PatternError::TooManyGroups { count });
        }
        let Some(plain) = plain_characters(pattern) else {
            return Err(PatternError::Syntax);
        };
        if closes_unopened_bracket(&plain) {
            return Err(PatternError::Url(url::ParseError::InvalidIpv6Address));
        }
        // Only relative patterns need the base. With a base, the standard would put the base's
        // directory before the path of `urn\:isbn\:*`, and no topic could match.
        let absolute = UrlPatternInit::parse_constructor_string::<Source>(pattern, None);
        let init = match absolute {
            Err(urlpattern::Error::BaseUrlRequired) => {
                let base = Some(hub.url().clone());
                UrlPatternInit::parse_constructor_string::<Source>(pattern, base)
            }
            other => other,
        };
        Self::from_init(init.map_err(|error| reason(&error))?)
    }

    /// Compiles a pattern from its parsed components.
    fn from_init(init: UrlPatternInit) -> Result<Self, PatternError> {
        let parsed = urlpattern::UrlPattern::<Source>::parse(init, UrlPatternOptions::default())
            .map_err(|error| reason(&error))?;
        let pathname = parsed.pathname.regexp.as_ref().ok();
        let pathname = pathname.map(|source| source.text.clone());
        let mut bytes_left = PATTERN_REGEX_BYTES_MAX;
        let mut compile = |component| ComponentTest::new(component, &mut bytes_left);
        let tests = [
            compile(parsed.protocol)?,
            compile(parsed.username)?,
            compile(parsed.password)?,
            compile(parsed.hostname)?,
            compile(parsed.port)?,
            compile(parsed.pathname)?,
            compile(parsed.search)?,
            compile(parsed.hash)?,
        ];
        let mut pattern = Self {
            tests,
            directory: Box::default(),
            anchors: Box::default(),
        };
        if let Some(source) = pathname {
            pattern.read_path(&source);
        }
        Ok(pattern)
    }

    /// Finds the literals that every matching path contains, in `source`, the regular expression of
    /// the whole path.
    fn read_path(&mut self, source: &str) {
        let mut parser = regex_syntax::ParserBuilder::new().utf8(false).build();
        let Ok(path) = parser.parse(source) else {
            return;
        };
        self.directory = directory(&path).into();
        // Patterns that are looked up by directory or by whole path need no segments from these.
        self.anchors = if !self.has_literal_origin() {
            anchors(&path, 0)
        } else if self.literal(Component::Pathname).is_none() {
            anchors(&path, self.directory.len())
        } else {
            Box::default()
        };
    }

    /// Returns whether every component matches.
    pub(crate) fn matches(&self, url: &Parts) -> bool {
        // The path differs most often, so it is tested first.
        self.test(Component::Pathname)
            .matches(url.get(Component::Pathname))
            && Component::ALL
                .into_iter()
                .zip(&self.tests)
                .all(|(component, test)| test.matches(url.get(component)))
    }

    /// Returns whether a URL at or below `path` on `base`'s host may match.
    pub(crate) fn may_match_below(&self, path: &str, base: &url::Url) -> bool {
        let host = self.literal(Component::Hostname);
        if host.is_some_and(|host| Some(host) != base.host_str()) {
            return false;
        }
        match self.literal(Component::Pathname) {
            Some(literal) => literal.starts_with(path),
            None => self.directory.starts_with(path) || path.starts_with(&*self.directory),
        }
    }

    /// Returns the text that `component` must be equal to, if it is a literal.
    pub(crate) fn literal(&self, component: Component) -> Option<&str> {
        match self.test(component) {
            ComponentTest::Literal(literal) => Some(literal),
            ComponentTest::Any | ComponentTest::Capture { .. } | ComponentTest::Regex { .. } => {
                None
            }
        }
    }

    /// Returns the literal beginning of the path, up to and including its last slash.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// Returns whole path segments that every matching path contains, longest first. If the pattern
    /// is looked up by its directory, those of the directory are left out.
    pub(crate) fn anchors(&self) -> &[Box<str>] {
        &self.anchors
    }

    /// Returns whether protocol, host and port are literals, so that the pattern can be looked up
    /// by them.
    pub(crate) fn has_literal_origin(&self) -> bool {
        [Component::Protocol, Component::Hostname, Component::Port]
            .into_iter()
            .all(|component| self.literal(component).is_some())
    }

    /// Returns the bytes of memory that it takes, without its own size.
    pub(crate) fn bytes(&self) -> usize {
        let tests = self.tests.iter().map(ComponentTest::bytes);
        let anchors = self
            .anchors
            .iter()
            .map(|anchor| size_of_val(anchor) + anchor.len());
        tests.sum::<usize>() + anchors.sum::<usize>() + self.directory.len()
    }

    fn test(&self, component: Component) -> &ComponentTest {
        let [
            protocol,
            username,
            password,
            hostname,
            port,
            pathname,
            search,
            hash,
        ] = &self.tests;
        match component {
            Component::Protocol => protocol,
            Component::Username => username,
            Component::Password => password,
            Component::Hostname => hostname,
            Component::Port => port,
            Component::Pathname => pathname,
            Component::Search => search,
            Component::Hash => hash,
        }
    }
}

/// The test of one component.
#[derive(Debug)]
enum ComponentTest {
    /// Any text.
    Any,
    /// Exactly this text.
    Literal(Box<str>),
    /// Any text between two literals that does not contain the character `without`.
    Capture {
        prefix: Box<str>,
        suffix: Box<str>,
        without: Option<char>,
        may_be_empty: bool,
    },
    /// A text between two literals that the expression matches.
    Regex {
        prefix: Box<str>,
        suffix: Box<str>,
        regex: Box<Expression>,
    },
}

impl ComponentTest {
    /// Compiles the test of a component. The memory of its expression is deducted from
    /// `bytes_left`.
    fn new(
        component: urlpattern::component::Component<Source>,
        bytes_left: &mut usize,
    ) -> Result<Self, PatternError> {
        let matcher = component.matcher;
        let (prefix, suffix) = (
            matcher.prefix.into_boxed_str(),
            matcher.suffix.into_boxed_str(),
        );
        Ok(match matcher.inner {
            InnerMatcher::Literal { literal } => Self::Literal(literal.into()),
            InnerMatcher::SingleCapture {
                filter: None,
                allow_empty: true,
            } if prefix.is_empty() && suffix.is_empty() => Self::Any,
            InnerMatcher::SingleCapture {
                filter,
                allow_empty,
            } => Self::Capture {
                prefix,
                suffix,
                without: filter,
                may_be_empty: allow_empty,
            },
            InnerMatcher::RegExp { regexp } => {
                let source = regexp.map_err(|error| reason(&error))?;
                let regex = Expression::compile(&expression::parse(&source.text)?, *bytes_left)?;
                *bytes_left = bytes_left.saturating_sub(regex.bytes());
                Self::Regex {
                    prefix,
                    suffix,
                    regex: Box::new(regex),
                }
            }
        })
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Literal(literal) => **literal == *text,
            Self::Capture {
                prefix,
                suffix,
                without,
                may_be_empty,
            } => between(text, prefix, suffix).is_some_and(|middle| {
                (*may_be_empty || !middle.is_empty())
                    && !without.is_some_and(|character| middle.contains(character))
            }),
            Self::Regex {
                prefix,
                suffix,
                regex,
            } => {
                between(text, prefix, suffix).is_some_and(|middle| regex.matches(middle.as_bytes()))
            }
        }
    }

    /// Returns the bytes that it takes, without its own size.
    fn bytes(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Literal(literal) => literal.len(),
            Self::Capture { prefix, suffix, .. } => prefix.len() + suffix.len(),
            Self::Regex {
                prefix,
                suffix,
                regex,
            } => prefix.len() + suffix.len() + regex.bytes(),
        }
    }
}

/// Returns the text between `prefix` and `suffix`, if both are there and do not overlap.
fn between<'a>(text: &'a str, prefix: &str, suffix: &str) -> Option<&'a str> {
    text.strip_prefix(prefix)?.strip_suffix(suffix)
}

/// A regular expression from `urlpattern`. It is compiled only if `urlpattern` tests it during
/// parsing, which happens for the protocol only.
#[derive(Debug)]
struct Source {
    text: String,
    /// The compiled form for that test; `None` if it cannot be compiled.
    compiled: OnceCell<Option<Expression>>,
}

impl RegExp for Source {
    fn syntax() -> RegexSyntax {
        RegexSyntax::Rust
    }

    fn parse(pattern: &str, _flags: &str, _force_eval: bool) -> Result<Self, ()> {
        Ok(Self {
            text: pattern.to_owned(),
            compiled: OnceCell::new(),
        })
    }

    fn matches<'a>(&self, text: &'a str) -> Option<Vec<Option<&'a str>>> {
        let compile = || {
            let parsed = expression::parse(&self.text).ok()?;
            Expression::compile(&parsed, PATTERN_REGEX_BYTES_MAX).ok()
        };
        let compiled = self.compiled.get_or_init(compile).as_ref()?;
        compiled.matches(text.as_bytes()).then(Vec::new)
    }

    fn pattern_string(&self) -> &str {
        &self.text
    }
}

fn reason(error: &urlpattern::Error) -> PatternError {
    match error {
        urlpattern::Error::Url(error) => PatternError::Url(*error),
        urlpattern::Error::RegExp(()) => PatternError::Regexp,
        urlpattern::Error::Tokenizer(urlpattern_error, _) => {
            if urlpattern_error.to_string().starts_with("invalid regex") {
                PatternError::Regexp
            } else {
                PatternError::Syntax
            }
        }
        urlpattern::Error::Parser(_)
        | urlpattern::Error::BaseUrlRequired
        | urlpattern::Error::BaseUrlWithInit => PatternError::Syntax,
    }
}

/// Counts groups, wildcards and names.
fn groups(pattern: &str) -> usize {
    let mut count = 0;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                characters.next();
            }
            '{' | '(' | '*' | ':' => count += 1,
            _ => {}
        }
    }
    count
}

/// Returns whether the host may close a `[` that it did not open. No valid host does.
///
/// `urlpattern` 0.6.0 counts such brackets below zero, which panics where overflow is checked. So
/// the host is located here as its constructor-string parser does it. Where that would need the
/// whole parser, both readings are tried, which refuses some odd patterns too often.
fn closes_unopened_bracket(plain: &str) -> bool {
    let Some((_, after)) = plain.split_once(':') else {
        return false;
    };
    let authority = after
        .strip_prefix("//")
        .unwrap_or(after)
        .split('/')
        .next()
        .unwrap_or("");
    let host = authority.split_once('@').map_or("", |(_, host)| host);
    closes_before_it_opens(authority) || closes_before_it_opens(host)
}

fn closes_before_it_opens(text: &str) -> bool {
    let mut open = 0_usize;
    text.chars().any(|character| {
        match character {
            '[' => open += 1,
            ']' if open == 0 => return true,
            ']' => open -= 1,
            _ => {}
        }
        false
    })
}

/// Returns `pattern` without its `{…}`, `(…)` and names: the characters that may delimit the parts
/// of a URL. `None` if no component could be read: its braces are not paired, or it has a `]`
/// together with a name that begins outside ASCII, and only `urlpattern` knows whether that is a
/// name.
///
/// An unclosed brace still counts when `urlpattern` steps back to parse the host. A `[` after the
/// brace would not count there, but the `]` that belongs to it would.
fn plain_characters(pattern: &str) -> Option<String> {
    let names_known = pattern
        .split(':')
        .skip(1)
        .all(|after| !after.starts_with(|next: char| !next.is_ascii()));
    let mut plain = String::new();
    let mut depth = 0_usize;
    let mut rest = pattern.chars();
    while let Some(character) = rest.next() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1)?,
            // `urlpattern` skips these.
            '\n' | '\r' | '\t' => {}
            '(' => match after_expression(rest.as_str()) {
                Some(after) => rest = after.chars(),
                None if depth == 0 => plain.push(character),
                None => {}
            },
            ':' if rest
                .as_str()
                .starts_with(|next: char| next.is_alphabetic() || matches!(next, '$' | '_')) => {}
            '\\' => plain.extend(rest.next().filter(|_| depth == 0)),
            _ if depth == 0 => plain.push(character),
            _ => {}
        }
    }
    let readable = depth == 0 && (names_known || !plain.contains(']'));
    readable.then_some(plain)
}

/// Returns the text after the `)` that ends an expression, if `text` begins with a valid one.
///
/// WHATWG URL Pattern, "tokenize": ASCII only, no `?` at the start, and nested groups begin with
/// `(?`.
fn after_expression(text: &str) -> Option<&str> {
    let mut depth = 1_usize;
    let mut characters = text.char_indices().peekable();
    while let Some((index, character)) = characters.next() {
        match character {
            '?' if index == 0 => return None,
            '\\' => {
                characters
                    .next()
                    .filter(|(_, escaped)| escaped.is_ascii())?;
            }
            '(' => {
                characters.peek().filter(|(_, next)| *next == '?')?;
                depth += 1;
            }
            ')' if depth > 1 => depth -= 1,
            ')' if index == 0 => return None,
            ')' => return text.get(index + 1..),
            _ if !character.is_ascii() => return None,
            _ => {}
        }
    }
    None
}

/// Returns the literal beginning of `path`, up to and including its last slash.
fn directory(path: &Hir) -> &str {
    let [first, second, ..] = items(path) else {
        return "";
    };
    let prefix = literal(second)
        .filter(|_| is_look(first, Look::Start))
        .unwrap_or("");
    prefix
        .rfind('/')
        .and_then(|slash| prefix.get(..=slash))
        .unwrap_or("")
}

/// Returns whole segments, beginning at or after byte `from`, that every match of `path` contains.
///
/// Only literals of the outermost sequence count, since every match contains them. A segment is
/// whole between two slashes of one literal, and from a slash to the end of the path.
fn anchors(path: &Hir, from: usize) -> Box<[Box<str>]> {
    let items = items(path);
    let mut found: Vec<Box<str>> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(text) = literal(item) else { continue };
        let first = index == 1 && items.first().is_some_and(|item| is_look(item, Look::Start));
        // The last slash of the directory starts the first segment after it.
        let text = if first {
            text.get(from.saturating_sub(1)..).unwrap_or("")
        } else {
            text
        };
        let mut pieces: Vec<&str> = text.split('/').collect();
        if index + 2 != items.len() || !items.last().is_some_and(|item| is_look(item, Look::End)) {
            pieces.pop();
        }
        let whole = pieces.into_iter().skip(1).filter(|piece| !piece.is_empty());
        found.extend(whole.map(Box::from));
    }
    found.sort_by_key(|segment| std::cmp::Reverse(segment.len()));
    found.truncate(ANCHORS_MAX);
    found.into()
}

fn items(hir: &Hir) -> &[Hir] {
    if let HirKind::Concat(items) = hir.kind() {
        items
    } else {
        std::slice::from_ref(hir)
    }
}

fn literal(item: &Hir) -> Option<&str> {
    let HirKind::Literal(literal) = item.kind() else {
        return None;
    };
    std::str::from_utf8(&literal.0).ok()
}

fn is_look(item: &Hir, look: Look) -> bool {
    *item.kind() == HirKind::Look(look)
}

#[cfg(test)]
mod tests;
