//! A matcher: in a subscription, or in the grant of a token. [`index`](crate::index) tests many
//! matchers at once; `matcher/url_pattern.rs` and `matcher/uri_template.rs` parse and test URL
//! patterns and URI templates.

mod expression;
mod uri_template;
mod url_pattern;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::hub_url::HubUrl;
use crate::limits::{PATTERN_BYTES_MAX, PATTERN_CLASSES_MAX, PATTERN_GROUPS_MAX};
use crate::subject::{Parts, Subject};
use crate::text::forbidden_character;

pub(crate) use uri_template::UriTemplate;
pub(crate) use url_pattern::UrlPattern;

/// How the text of a matcher is interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatcherType {
    /// Byte for byte. Mercure, "Exact Matching".
    Exact,
    /// A URL pattern, relative to the hub's URL. Mercure, "URL Pattern".
    UrlPattern,
    /// A topic selector of Mercure 0.x: the topic itself, or a URI template (RFC 6570) that can be
    /// expanded to it. No request or token of 1.0 can name it.
    UriTemplate,
}

impl MatcherType {
    /// The types of Mercure 1.0, in the order in which they are advertised.
    pub const ALL: [Self; 2] = [Self::Exact, Self::UrlPattern];

    /// Returns the canonical name, as used in `match_…` parameters and in tokens.
    ///
    /// Mercure, "Summary of Matcher Types".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::UrlPattern => "urlpattern",
            Self::UriTemplate => "uritemplate",
        }
    }

    /// Returns the type of Mercure 1.0 with this name. Case matters.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the type with this name in a document that a hub made: also one that no request of
    /// 1.0 can name.
    #[must_use]
    pub fn from_hubs_name(name: &str) -> Option<Self> {
        let all = [Self::Exact, Self::UrlPattern, Self::UriTemplate];
        all.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for MatcherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An expression that is tested against topics. Parsed and compiled once; cloning shares it.
///
/// Two matchers are equal if their types and texts are. The text is never normalised, because
/// subscriptions are shown as they were requested.
#[derive(Clone)]
pub struct Matcher(Arc<Inner>);

struct Inner {
    kind: MatcherType,
    pattern: Box<str>,
    test: Test,
}

/// How a matcher is tested.
#[derive(Debug)]
pub(crate) enum Test {
    /// Every topic matches. Mercure, "Matcher Types": `*` means this for every type.
    Any,
    /// The topic is equal to the text.
    Exact,
    /// The topic's URL matches.
    UrlPattern(Box<UrlPattern>),
    /// The topic is equal to the text, or the text can expand to it.
    UriTemplate(Box<UriTemplate>),
}

impl Matcher {
    /// Parses a matcher from a subscription or a token.
    ///
    /// A URL pattern takes about ten microseconds to compile, and more with groups.
    ///
    /// # Errors
    ///
    /// [`MatcherError`] names the rule that `pattern` breaks. Mercure, "Subscription" and "Matcher
    /// Types".
    pub fn parse(kind: MatcherType, pattern: &str, hub: &HubUrl) -> Result<Self, MatcherError> {
        if pattern.is_empty() {
            return Err(MatcherError::Empty);
        }
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(MatcherError::TooLong {
                bytes: pattern.len(),
                max: PATTERN_BYTES_MAX,
            });
        }
        if let Some(character) = forbidden_character(pattern) {
            return Err(MatcherError::ForbiddenCharacter { character });
        }
        let test = match kind {
            _ if pattern == WILDCARD => Test::Any,
            MatcherType::Exact => Test::Exact,
            MatcherType::UrlPattern => Test::UrlPattern(Box::new(UrlPattern::parse(pattern, hub)?)),
            MatcherType::UriTemplate => {
                match UriTemplate::parse(pattern).map_err(MatcherError::Template)? {
                    Some(template) => Test::UriTemplate(Box::new(template)),
                    None => Test::Exact,
                }
            }
        };
        Ok(Self(Arc::new(Inner {
            kind,
            pattern: pattern.into(),
            test,
        })))
    }

    /// Returns the bytes of memory that the matcher takes, however many clones share it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let compiled = match &self.0.test {
            Test::Any | Test::Exact => 0,
            Test::UrlPattern(pattern) => size_of::<UrlPattern>() + pattern.bytes(),
            Test::UriTemplate(template) => size_of::<UriTemplate>() + template.bytes(),
        };
        size_of::<Inner>() + self.0.pattern.len() + compiled
    }

    /// Returns the type, as requested.
    #[must_use]
    pub fn kind(&self) -> MatcherType {
        self.0.kind
    }

    /// Returns the text, as requested.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.0.pattern
    }

    /// Returns whether the matcher has a compiled form: a URL pattern or a URI template with
    /// expressions.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        matches!(self.0.test, Test::UrlPattern(_) | Test::UriTemplate(_))
    }

    /// Returns whether every topic matches because the text is `*`.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        matches!(self.0.test, Test::Any)
    }

    /// Returns whether `subject` matches. Takes time linear in the subject's length.
    #[must_use]
    pub fn matches(&self, subject: &Subject) -> bool {
        self.matches_text(subject.text()).unwrap_or_else(|| {
            let url = subject.url();
            url.is_some_and(|url| self.0.test.matches_url(url))
        })
    }

    /// Returns whether a topic matches, or `None` for a URL pattern, which needs the topic's URL.
    #[must_use]
    pub fn matches_text(&self, topic: &str) -> Option<bool> {
        match &self.0.test {
            Test::Any => Some(true),
            Test::Exact => Some(*self.0.pattern == *topic),
            Test::UriTemplate(template) => {
                Some(*self.0.pattern == *topic || template.matches(topic))
            }
            Test::UrlPattern(_) => None,
        }
    }

    /// Returns whether some topic at or below `path` of the hub's own origin may match. The answer
    /// `false` is certain. `true` may be wrong where only the beginning of a pattern is literal.
    #[must_use]
    pub fn may_match_below(&self, path: &str, hub: &HubUrl) -> bool {
        match &self.0.test {
            Test::Any => true,
            Test::Exact => self.0.pattern.starts_with(path),
            Test::UrlPattern(pattern) => pattern.may_match_below(path, hub.url()),
            Test::UriTemplate(_) => true,
        }
    }

    /// Returns whether `subject`, or a topic that differs from it only after the last slash, may
    /// match. The answer `false` is certain: `subject` is also tested with the text after the
    /// pattern's own last slash in place of its own. A text with a regular expression or an escape
    /// does not match itself, so there only the beginning is compared.
    #[must_use]
    pub fn may_match_beside(&self, subject: &Subject) -> bool {
        if self.matches(subject) {
            return true;
        }
        let Some((parent, _)) = subject.text().rsplit_once('/') else {
            return false;
        };
        let Some((_, own)) = self.pattern().rsplit_once('/') else {
            return false;
        };
        if own.contains(['(', '\\']) {
            return self.may_match_below(&format!("{parent}/"), subject.hub());
        }
        let beside = format!("{parent}/{own}");
        self.matches(&Subject::from_text(&beside, subject.hub()))
    }

    pub(crate) fn test(&self) -> &Test {
        &self.0.test
    }
}

impl Test {
    /// Returns whether this is a URL pattern that matches `url`.
    pub(crate) fn matches_url(&self, url: &Parts) -> bool {
        match self {
            Self::UrlPattern(pattern) => pattern.matches(url),
            Self::Any | Self::Exact | Self::UriTemplate(_) => false,
        }
    }

    /// Returns whether this is a URI template that can expand to `topic`.
    pub(crate) fn matches_expanded(&self, topic: &str) -> bool {
        match self {
            Self::UriTemplate(template) => template.matches(topic),
            Self::Any | Self::Exact | Self::UrlPattern(_) => false,
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || (self.kind() == other.kind() && self.pattern() == other.pattern())
    }
}

impl Eq for Matcher {}

impl Hash for Matcher {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind().hash(state);
        self.pattern().hash(state);
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:?}", self.kind(), self.pattern())
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.pattern())
    }
}

/// Why a text is not a valid matcher.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// No topic is empty, so nothing could ever match.
    #[error("a matcher is empty")]
    Empty,
    /// The text contains an invisible character.
    #[error("a matcher contains {character:?}, a control or format character")]
    ForbiddenCharacter {
        /// The first such character.
        character: char,
    },
    /// The text is longer than the limit.
    #[error("a matcher has {bytes} bytes, more than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The text is not a valid URL pattern.
    #[error("a matcher is not a usable URL pattern: {0}")]
    Pattern(#[from] PatternError),
    /// The URI template would cost too much.
    #[error("a topic selector is not a usable URI template: {0}")]
    Template(#[source] PatternError),
}

/// Why a URL pattern or URI template is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A `{`, `(`, `:name`, modifier or `\` is where none is allowed, or a name occurs twice.
    #[error("its groups are malformed")]
    Syntax,
    /// A literal part is not valid in its place in a URL.
    #[error("one of its parts cannot stand in a URL ({0})")]
    Url(#[from] url::ParseError),
    /// The expression in a `(…)` is invalid, or it needs what no linear-time engine offers.
    #[error(
        "a regular expression in it is invalid; look-around and back-references are not supported"
    )]
    Regexp,
    /// The compiled form would take too much memory.
    #[error("the regular expressions it stands for need more than {max} bytes")]
    TooComplex {
        /// The limit.
        max: usize,
    },
    /// Parsing it would take too long.
    #[error(
        "it has {count} character classes, some of them Unicode, more than {PATTERN_CLASSES_MAX}"
    )]
    TooManyClasses {
        /// How many.
        count: usize,
    },
    /// Testing it would cost too much.
    #[error("it has {count} groups, wildcards and names, more than {PATTERN_GROUPS_MAX}")]
    TooManyGroups {
        /// How many.
        count: usize,
    },
}

const WILDCARD: &str = "*";

/// The most literal path segments by which the index can find one pattern. The longest ones are
/// kept, since they distinguish patterns best.
const ANCHORS_MAX: usize = 4;

#[cfg(test)]
mod tests;
