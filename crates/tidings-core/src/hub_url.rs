//! The public URL of the hub: the base of relative topics and patterns, and the namespace in which
//! only the hub publishes.

use std::fmt;
use std::sync::Arc;

use url::{Position, Url};

use crate::limits::HUB_URL_BYTES_MAX;
use crate::topic::Topic;

/// The public URL of the hub: `http` or `https`, with a host and a path that names something, and
/// nothing else. Subscribers and publishers reach the hub there, whatever it is bound to.
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
    /// [`HubUrlError`] if it is no URL that could be a hub's.
    pub fn parse(text: &str) -> Result<Self, HubUrlError> {
        check_length(text)?;
        let url = Url::parse(text)?;
        // Written out, with percent-encoding and Punycode, it may be several times as long.
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
        // With "/" as the hub's path, no place would be left for its own resources below it.
        if url.path().ends_with('/') {
            return Err(HubUrlError::Path {
                path: url.path().to_owned(),
            });
        }
        let reserved = normalized(url.path());
        Ok(Self(Arc::new(Base { url, reserved })))
    }

    /// Returns the whole URL, as the WHATWG parser writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.url.as_str()
    }

    /// Returns the path, which requests are told apart by.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.url.path()
    }

    /// Returns scheme, host and port, as an `Origin` header says them.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.url.origin().ascii_serialization()
    }

    /// Returns the host, with its port unless that is the scheme's own.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.0.url[Position::BeforeHost..Position::AfterPort]
    }

    /// Returns what `reference` means, seen from the hub, or nothing if it is no URL.
    ///
    /// Mercure, "URL Pattern": relative topics are relative to the hub.
    #[must_use]
    pub fn resolve(&self, reference: &str) -> Option<Url> {
        self.0.url.join(reference).ok()
    }

    /// Returns whether `topic` lies in the namespace that only the hub publishes in: its path is
    /// the hub's own or below it, whatever its scheme and authority are.
    ///
    /// A topic that is no URL does not. Mercure, "Publication" and "Reserved Hub Namespace".
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

    /// Returns whether a topic cannot name a path of the hub, which most show without being parsed:
    /// an absolute URL in which the last segment of the hub's path does not occur, as it stands or
    /// encoded.
    fn is_plainly_elsewhere(&self, topic: &str) -> bool {
        let absolute = topic.starts_with("https://") || topic.starts_with("http://");
        let last = self.0.reserved.rsplit('/').next().unwrap_or_default();
        // An encoded hub's path is also meant by a topic that has the characters themselves.
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

/// Why a text is no hub's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubUrlError {
    /// The text is no absolute URL.
    #[error("the hub's URL cannot be read")]
    Syntax(#[from] url::ParseError),
    /// The URL is longer than the limit.
    #[error("the hub's URL has {bytes} bytes, more than {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The protocol is defined over HTTP.
    #[error("the hub's URL begins with {scheme:?}, not with http or https")]
    Scheme {
        /// What it begins with.
        scheme: String,
    },
    /// The URL is public; it names no one.
    #[error("the hub's URL contains a user name or a password")]
    Credentials,
    /// Requests bring their own query.
    #[error("the hub's URL contains a query or a fragment")]
    QueryOrFragment,
    /// Resources of the hub stand below its path.
    #[error("the path of the hub's URL is {path:?}; it must not end in '/'")]
    Path {
        /// The path.
        path: String,
    },
}

/// Decodes what needs no encoding, then removes dot-segments: RFC 3986, 6.2.2.2 and 5.2.4.
///
/// The WHATWG parser has done a part of it, but leaves `%6D`, and treats paths of schemes that it
/// does not know differently. It has turned the backslashes that are slashes into slashes.
fn normalized(path: &str) -> String {
    without_dot_segments(&decoded(path))
}

/// Decodes the percent-encoded unreserved characters, also those that only decoding brings to
/// light (`%%36d` is `%6d`, is `m`), in one pass over the text.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    for byte in path.bytes() {
        bytes.push(byte);
        while let Some(character) = encoded_unreserved(&bytes) {
            bytes.truncate(bytes.len() - 3);
            bytes.push(character);
        }
    }
    // Only ASCII replaced only ASCII, so nothing is lost here.
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

/// RFC 3986, 5.2.4, by segments: `.` goes, `..` goes and takes the segment before it along. As in
/// the WHATWG parser, a dot-segment at the end leaves its slash, and none climbs over the root.
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
                // The segment before, gone, leaves the slash behind it: a/../b is /b.
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
