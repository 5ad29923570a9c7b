//! The types of values, and how each is parsed from a value of the right form.
//!
//! `settings.rs` has already checked the form (a number is a number).

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use tidings_auth::key::Algorithm;
use tidings_core::hub_url::HubUrlError;
use tidings_core::topic::{Topic, TopicError};
use tidings_core::{Dialect, HubUrl};
use tidings_wire::authority::{Authority, AuthorityError};
use tidings_wire::flash_policy::{Access, AccessError};
use tidings_wire::origin::{OriginError, OriginList};
use tidings_wire::redact;
use toml::Value;

use super::addresses::{AddressError, AddressList};
use super::keys::{Bounds, Unit};
use super::log_filter::{LogFilter, LogFilterError};

/// A type that a key's value can have.
pub trait FromValue: Sized {
    /// Reads a value that has the form of its key.
    ///
    /// # Errors
    ///
    /// The rule that it breaks, with what to write.
    fn from_value(value: &Value, bounds: &Bounds) -> Result<Self, ValueError>;

    /// Returns what it means that nothing is written, for types that have a word for it.
    fn unset() -> Option<Self> {
        None
    }
}

/// A type whose values are words.
pub trait Words: Copy + 'static {
    /// The words, as they are written.
    const WORDS: &'static [&'static str];
    /// What they stand for, in the same order.
    const VALUES: &'static [Self];
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

/// A URL or a path from which pages load a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptUrl(String);

/// A name of a WebSocket subprotocol: a token of RFC 9110, 5.6.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subprotocol(String);

/// Why a value is of no use although it has the form of its key.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// It has not the form of its key, which was checked before.
    #[error("the value has the wrong type")]
    Form,
    /// A number is too small.
    #[error("{number} is too small: write at least {min}")]
    TooSmall {
        /// The number.
        number: u64,
        /// The smallest that is allowed.
        min: u64,
    },
    /// A number does not fit into its type.
    #[error("{number} is too large")]
    TooLarge {
        /// The number.
        number: u64,
    },
    /// A number is above its bound.
    #[error("{number} is more than {max}")]
    More {
        /// The number.
        number: u64,
        /// The largest that is allowed.
        max: u64,
    },
    /// A time is too long.
    #[error("{secs} is more than ten years: write at most {max}")]
    TooLong {
        /// Its seconds.
        secs: u64,
        /// The most that are allowed.
        max: u64,
    },
    /// An address is none.
    #[error(
        "{text:?} is not an IP address with a port: write it like \"127.0.0.1:4400\" or \"[::]:443\""
    )]
    Address {
        /// What is written.
        text: String,
    },
    /// The hub cannot have this URL.
    #[error("{error} ({shown:?}): write it like \"https://example.com/.well-known/mercure\"")]
    Hub {
        /// Why not.
        error: HubUrlError,
        /// The URL without what is secret in it.
        shown: String,
    },
    /// A host is none.
    #[error(
        "{0}: write the host without scheme or path, like \"hub.example.com\" or \"hub.example.com:8443\""
    )]
    Host(#[from] AuthorityError),
    /// What is written as a host is a URL.
    #[error("{text:?} is a URL, and a host has no scheme and no path: write it like {host:?}")]
    HostWithScheme {
        /// What is written.
        text: String,
        /// The host in it.
        host: String,
    },
    /// An origin is none.
    #[error("{0}: write it like https://example.com")]
    Origin(#[from] OriginError),
    /// A name of a field is none.
    #[error("{text:?} is not a field name: write it like \"X-Requested-With\"")]
    Field {
        /// What is written.
        text: String,
    },
    /// A topic is none.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A dialect is none.
    #[error("{text:?} is not a dialect: write 1.0, 0.x or 2019")]
    Dialect {
        /// What is written.
        text: String,
    },
    /// A challenge is none that the hub can answer.
    #[error("{text:?} is not a challenge: write tls-alpn-01 or http-01")]
    Challenge {
        /// What is written.
        text: String,
    },
    /// An entry of the Flash policy is none.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A URL of a script is none.
    #[error("{shown:?} is not a URL: write https://… or a path")]
    Script {
        /// The URL without what is secret in it.
        shown: String,
    },
    /// A subprotocol is none.
    #[error("{text:?} is not a token: write letters, digits, - and .")]
    Subprotocol {
        /// What is written.
        text: String,
    },
    /// A network is none.
    #[error(transparent)]
    Network(#[from] AddressError),
    /// A log filter is none.
    #[error(transparent)]
    Log(#[from] LogFilterError),
}

impl FromValue for bool {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        value.as_bool().ok_or(ValueError::Form)
    }
}

impl FromValue for u64 {
    fn from_value(value: &Value, bounds: &Bounds) -> Result<Self, ValueError> {
        let number = value.as_integer().and_then(|number| number.try_into().ok());
        let number: Self = number.ok_or(ValueError::Form)?;
        let Bounds { unit, min, max, .. } = *bounds;
        if number > max && unit == Unit::Secs {
            return Err(ValueError::TooLong { secs: number, max });
        }
        if number > max {
            return Err(ValueError::More { number, max });
        }
        if number < min {
            return Err(ValueError::TooSmall { number, min });
        }
        Ok(number)
    }
}

impl FromValue for u32 {
    fn from_value(value: &Value, bounds: &Bounds) -> Result<Self, ValueError> {
        fitting(value, bounds)
    }
}

impl FromValue for usize {
    fn from_value(value: &Value, bounds: &Bounds) -> Result<Self, ValueError> {
        fitting(value, bounds)
    }
}

impl FromValue for Duration {
    fn from_value(value: &Value, bounds: &Bounds) -> Result<Self, ValueError> {
        let number = u64::from_value(value, bounds)?;
        Ok(match bounds.unit {
            Unit::Millis => Self::from_millis(number),
            Unit::One | Unit::Secs => Self::from_secs(number),
            Unit::Minutes => Self::from_secs(number.saturating_mul(60)),
            Unit::Hours => Self::from_secs(number.saturating_mul(3600)),
        })
    }
}

impl FromValue for String {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        text(value).map(str::to_owned)
    }
}

impl FromValue for Secret {
    fn from_value(value: &Value, bounds: &Bounds) -> Result<Self, ValueError> {
        String::from_value(value, bounds).map(Self)
    }
}

impl FromValue for PathBuf {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        text(value).map(Self::from)
    }
}

impl FromValue for SocketAddr {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        let text = text(value)?;
        text.parse().map_err(|_no_address| ValueError::Address {
            text: text.to_owned(),
        })
    }
}

impl FromValue for HubUrl {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        let text = text(value)?;
        Self::parse(text).map_err(|error| ValueError::Hub {
            error,
            shown: redact::url(text),
        })
    }
}

impl FromValue for Topic {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        Ok(Self::parse(text(value)?)?)
    }
}

impl FromValue for ScriptUrl {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        Self::parse(text(value)?)
    }
}

impl FromValue for Algorithm {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        Self::from_name(text(value)?).ok_or(ValueError::Form)
    }
}

impl FromValue for LogFilter {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        Ok(Self::parse(text(value)?)?)
    }
}

impl FromValue for Vec<String> {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        Ok(texts(value)?.into_iter().map(str::to_owned).collect())
    }
}

impl FromValue for Vec<Dialect> {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        let mut dialects = Self::new();
        for text in texts(value)? {
            let mut all = [Dialect::V1, Dialect::V0, Dialect::V2019].into_iter();
            let dialect = all.find(|dialect| dialect.name() == text);
            let dialect = dialect.ok_or_else(|| ValueError::Dialect {
                text: text.to_owned(),
            })?;
            if !dialects.contains(&dialect) {
                dialects.push(dialect);
            }
        }
        Ok(dialects)
    }
}

impl FromValue for Vec<Access> {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        let rules = texts(value)?.into_iter().map(Access::parse);
        Ok(rules.collect::<Result<_, _>>()?)
    }
}

impl FromValue for Vec<Subprotocol> {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        let is_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let name = |text: &str| {
            if text.is_empty() || !text.bytes().all(is_token) {
                let text = text.to_owned();
                return Err(ValueError::Subprotocol { text });
            }
            Ok(Subprotocol(text.to_owned()))
        };
        texts(value)?.into_iter().map(name).collect()
    }
}

impl FromValue for Vec<Authority> {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        let host = |text: &str| match text.split_once("://") {
            None => Ok(Authority::parse(text)?),
            Some((_, rest)) => {
                let host = rest.split(['/', '?', '#']).next().unwrap_or(rest);
                Err(ValueError::HostWithScheme {
                    text: text.to_owned(),
                    host: Authority::parse(host)?.to_string(),
                })
            }
        };
        texts(value)?.into_iter().map(host).collect()
    }
}

impl FromValue for Vec<HeaderName> {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        let name = |text: &str| {
            HeaderName::from_bytes(text.as_bytes()).map_err(|_no_name| ValueError::Field {
                text: text.to_owned(),
            })
        };
        texts(value)?.into_iter().map(name).collect()
    }
}

impl FromValue for OriginList {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        Ok(Self::parse(texts(value)?)?)
    }
}

impl FromValue for AddressList {
    fn from_value(value: &Value, bounds: &Bounds) -> Result<Self, ValueError> {
        Ok(Self::parse(&Vec::<String>::from_value(value, bounds)?)?)
    }
}

impl<W: Words> FromValue for W {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        let word = text(value)?;
        let mut pairs = W::WORDS.iter().zip(W::VALUES);
        let (_, value) = pairs
            .find(|(known, _)| **known == word)
            .ok_or(ValueError::Form)?;
        Ok(*value)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value, bounds: &Bounds) -> Result<Self, ValueError> {
        if bounds.zero_is_none && value.as_integer() == Some(0) {
            return Ok(None);
        }
        T::from_value(value, bounds).map(Some)
    }

    fn unset() -> Option<Self> {
        Some(None)
    }
}

impl ScriptUrl {
    /// Parses a URL or a path.
    ///
    /// # Errors
    ///
    /// If it begins like neither.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let mut starts = ["/", "https://", "http://"].iter();
        if starts.any(|start| text.starts_with(start)) {
            return Ok(Self(text.to_owned()));
        }
        let shown = redact::url(text);
        Err(ValueError::Script { shown })
    }

    /// Returns it as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Subprotocol {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

fn fitting<N: TryFrom<u64>>(value: &Value, bounds: &Bounds) -> Result<N, ValueError> {
    let number = u64::from_value(value, bounds)?;
    N::try_from(number).map_err(|_too_large| ValueError::TooLarge { number })
}

fn text(value: &Value) -> Result<&str, ValueError> {
    value.as_str().ok_or(ValueError::Form)
}

fn texts(value: &Value) -> Result<Vec<&str>, ValueError> {
    let texts = value.as_array().ok_or(ValueError::Form)?;
    texts.iter().map(text).collect()
}
