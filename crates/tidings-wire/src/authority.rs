//! The authority of a URI: in a `Host` field, in the pseudo-header `:authority`, in an absolute
//! target, in the origin of a page.
//!
//! Which authorities a hub accepts is decided elsewhere.

use std::fmt;
use std::net::Ipv6Addr;

use crate::form::shown;

/// A host, with a port if one was written.
///
/// The host is in normal form: ASCII letters in lower case, an IPv6 address as in RFC 5952.
/// Percent-encoding is unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    host: Box<str>,
    port: Option<u16>,
}

/// Why a text is not an authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The host is empty, or its characters or form are invalid.
    #[error("{text:?} has no valid host")]
    Host {
        /// The text.
        text: Box<str>,
    },
    /// What follows the host is not a colon with a number below 65536.
    #[error("{text:?} has no valid port")]
    Port {
        /// The text.
        text: Box<str>,
    },
}

impl Authority {
    /// Reads `host` or `host:port`. An empty port counts as no port.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`] names the invalid part. A user name before the host is also an error: RFC
    /// 9110, 4.2.4.
    ///
    /// RFC 3986, 3.2.2 and 3.2.3; RFC 9110, 7.2.
    pub fn parse(text: &str) -> Result<Self, AuthorityError> {
        let no_host = || AuthorityError::Host { text: shown(text) };
        let no_port = || AuthorityError::Port { text: shown(text) };
        let (host, after) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, after) = rest.split_once(']').ok_or_else(no_host)?;
                let address: Ipv6Addr = address.parse().map_err(|_no_address| no_host())?;
                (format!("[{address}]"), after)
            }
            None => {
                let (host, after) = text.split_at(text.find(':').unwrap_or(text.len()));
                if host.is_empty() || !host.bytes().all(is_name_character) {
                    return Err(no_host());
                }
                (host.to_ascii_lowercase(), after)
            }
        };
        let port = match after.strip_prefix(':') {
            None if after.is_empty() => None,
            None => return Err(no_host()),
            Some("") => None,
            // `u16::from_str` alone would accept a `+`.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().map_err(|_too_large| no_port())?)
            }
            Some(_) => return Err(no_port()),
        };
        Ok(Self {
            host: host.into(),
            port,
        })
    }

    /// Returns the host; an IPv6 address includes its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the port, if one was written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns whether two authorities name the same server. Case and a dot at the end of a name
    /// make no difference, and a missing port is equal to any of the `default_ports`.
    ///
    /// RFC 9110, 4.2.3.
    pub fn is_same(&self, other: &Self, default_ports: &[u16]) -> bool {
        let port = |of: &Self| of.port.filter(|port| !default_ports.contains(port));
        let absolute = |of: &'_ Self| of.host.strip_suffix('.').unwrap_or(&of.host).to_owned();
        absolute(self) == absolute(other) && port(self) == port(other)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Returns the default port of a scheme: the port of URLs that name none.
///
/// WHATWG URL, "special scheme".
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Unreserved characters, sub-delimiters and percent-encoding; RFC 3986, 2.
fn is_name_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte)
}

#[cfg(test)]
mod tests;
