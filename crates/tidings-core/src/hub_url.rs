//! The public URL of the hub: the base of relative topics and patterns, and the namespace in which
//! only the hub publishes.

use std::fmt;
use std::sync::Arc;

use url::{Position, Url};

use crate::limits::HUB_URL_BYTES_MAX;
use crate::topic::Topic;

/// The public URL of the hub: `http` or `https`, a host, and a path that does not end in `/`; no
/// user, query or fragment. Clients reach the hub there, whatever address it listens on.
///
/// Mercure, "Discovery".
///
/// Clones share one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubUrl(Arc<Base>);

#[derive(Debug, PartialEq, Eq)]
struct Base {
    url: Url,
    /// The path as [`normalized`] writes it.
    reserved: String,
}

impl HubUrl {
    /// Reads the URL as the configuration gives it.
    ///
    /// # Errors
    ///
    /// [`HubUrlError`] if the text cannot be the URL of a hub.
    pub fn parse(text: &str) -> Result<Self, HubUrlError> {
        check_length(text)?;
        let url = Url::parse(text)?;
        // Percent-encoding and Punycode may make the URL several times as long.
        check_length(url.as_str())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HubUrlError::Scheme {
                scheme: url.scheme().to_owned(),
            });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(HubUrlError::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(HubUrlError::QueryOrFragment);
        }
        // With "/" as the hub's path, there would be no room for the hub's own resources below it.
        if url.path().ends_with('/') {
            return Err(HubUrlError::Path {
                path: url.path().to_owned(),
            });
        }
        let reserved = normalized(url.path());
        Ok(Self(Arc::new(Base { url, reserved })))
    }

    /// Returns the whole URL, as the WHATWG parser serializes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.url.as_str()
    }

    /// Returns the path by which requests to the hub are recognized.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.url.path()
    }

    /// Returns scheme, host and port as an `Origin` header contains them.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.url.origin().ascii_serialization()
    }

    /// Returns the host, with the port unless it is the scheme's default.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.0.url[Position::BeforeHost..Position::AfterPort]
    }

    /// Resolves `reference` against the hub's URL; `None` if the result is no URL.
    ///
    /// Mercure, "URL Pattern": relative topics are relative to the hub.
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<Url> {
        self.0.url.join(reference).ok()
    }

    /// Returns whether `topic` is in the hub's reserved namespace: its path is the hub's own or
    /// below it. Scheme and authority do not matter.
    ///
    /// A topic that is no URL is not reserved. Mercure, "Publication" and "Reserved Hub Namespace".
    #[must_use]
    pub fn reserves(&self, topic: &Topic) -> bool {
        if self.is_plainly_elsewhere(topic.as_str()) {
            return false;
        }
        let Some(url) = self.resolve(topic.as_str()) else {
            return false;
        };
        let path = normalized(url.path());
        let below = path.strip_prefix(self.0.reserved.as_str());
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Returns whether a topic certainly is outside the reserved namespace. This avoids parsing
    /// most topics: an absolute URL cannot be reserved if it does not contain the last segment of
    /// the hub's path, plain or percent-encoded.
    fn is_plainly_elsewhere(&self, topic: &str) -> bool {
        let absolute = topic.starts_with("https://") || topic.starts_with("http://");
        let last = self.0.reserved.rsplit('/').next().unwrap_or_default();
        // If the hub's path has encoded characters, a topic may spell them unencoded.
        let plain = !topic.contains('%') && !last.contains('%');
        absolute && plain && !topic.contains(last)
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0.url
    }
}

impl fmt::Display for HubUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.url.as_str())
    }
}

fn check_length(text: &str) -> Result<(), HubUrlError> {
    if text.len() > HUB_URL_BYTES_MAX {
        return Err(HubUrlError::TooLong {
            bytes: text.len(),
            max: HUB_URL_BYTES_MAX,
        });
    }
    Ok(())
}

/// Why a text cannot be the URL of a hub.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubUrlError {
    /// The text is not an absolute URL.
    #[error("the hub's URL is not a valid URL")]
    Syntax(#[from] url::ParseError),
    /// The URL is longer than the limit.
    #[error("the hub's URL has {bytes} bytes, more than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Mercure is defined over HTTP only.
    #[error("the hub's URL begins with {scheme:?}, not with http or https")]
    Scheme {
        /// The scheme that it has.
        scheme: String,
    },
    /// The URL is public and must not contain credentials.
    #[error("the hub's URL contains a user name or a password")]
    Credentials,
    /// Requests have their own query.
    #[error("the hub's URL contains a query or a fragment")]
    QueryOrFragment,
    /// The hub's resources are below its path.
    #[error("the path of the hub's URL is {path:?}; it must not end in '/'")]
    Path {
        /// The path.
        path: String,
    },
}

/// Decodes percent-encoded unreserved characters, then removes dot-segments: RFC 3986, 6.2.2.2 and
/// 5.2.4.
///
/// The WHATWG parser has done part of this, but it keeps `%6D`, and it treats the paths of unknown
/// schemes differently. It has already replaced the backslashes that count as slashes.
fn normalized(path: &str) -> String {
    without_dot_segments(&decoded(path))
}

/// Decodes the percent-encoded unreserved characters in one pass, including those that another
/// decoding produces: `%%36d` becomes `%6d`, then `m`.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        bytes.push(byte);
        while let Some(character) = encoded_unreserved(&bytes) {
            bytes.truncate(bytes.len() - 3);
            bytes.push(character);
        }
    }
    // Only ASCII bytes were replaced, by ASCII bytes, so the text is still UTF-8.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the unreserved character that the last three of `bytes` encode. RFC 3986, 2.3.
fn encoded_unreserved(bytes: &[u8]) -> Option<u8> {
    let [.., b'%', high, low] = bytes else {
        return None;
    };
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let character = digit(*high)? * 16 + digit(*low)?;
    let unreserved = character.is_ascii_alphanumeric() || b"-._~".contains(&character);
    unreserved.then_some(character)
}

/// Removes dot-segments as RFC 3986, 5.2.4: drops each `.`, and each `..` together with the segment
/// before it. As in the WHATWG parser, a dot-segment at the end leaves its slash, and none climbs
/// above the root.
fn without_dot_segments(path: &str) -> String {
    let (root, segments) = path
        .strip_prefix('/')
        .map_or(("", path), |rest| ("/", rest));
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_in_dots = false;
    let mut rooted = !root.is_empty();
    for segment in segments.split('/') {
        ends_in_dots = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                // The removed segment leaves its slash: a/../b is /b.
                rooted |= kept.pop().is_some();
            }
            _ => kept.push(segment),
        }
    }
    if ends_in_dots {
        kept.push("");
    }
    let root = if rooted { "/" } else { "" };
    format!("{root}{}", kept.join("/"))
}

#[cfg(test)]
mod tests;
