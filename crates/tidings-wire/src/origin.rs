//! Origins of web pages: those that a request names, and lists of those that an operator allows.
//!
//! Which list applies, and what is answered, is not decided here.

use std::fmt;

use crate::authority::{Authority, AuthorityError, usual_port};
use crate::form::shown;

/// The origins that an operator allows.
///
/// Compared as origins, not as text: scheme and host without regard to ASCII case, a default port
/// like none. Matching walks the list, which is as long as the operator made it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginList {
    any: bool,
    null: bool,
    allowed: Vec<Allowed>,
}

/// Why an entry of a list is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The entry does not begin with a scheme and `://`.
    #[error("origin {entry:?} does not begin with a scheme such as https://")]
    Scheme {
        /// The entry.
        entry: Box<str>,
    },
    /// The host is empty or has a character that no host has.
    #[error("origin {entry:?} has no valid host; write international names in their xn-- form")]
    Host {
        /// The entry.
        entry: Box<str>,
    },
    /// The port is not a number below 65536.
    #[error("origin {entry:?} has no valid port")]
    Port {
        /// The entry.
        entry: Box<str>,
    },
    /// Something follows the host and the port, or a user name goes before them.
    #[error("origin {entry:?} is more than scheme://host:port")]
    NotOnlyOrigin {
        /// The entry.
        entry: Box<str>,
    },
    /// A `*` stands elsewhere than as the whole entry or as the first label of a host.
    #[error("origin {entry:?} has a wildcard that is not the whole first label of a host")]
    Wildcard {
        /// The entry.
        entry: Box<str>,
    },
}

impl OriginList {
    /// Reads the entries of a list.
    ///
    /// An entry is `*` for every origin, `null` for pages without one, `scheme://host[:port]`, or
    /// `scheme://*.host[:port]`, where `*` stands for exactly one label.
    ///
    /// # Errors
    ///
    /// The first entry that is none of these, and why.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, OriginError> {
        let mut list = Self::default();
        for entry in entries {
            match entry {
                "*" => list.any = true,
                "null" => list.null = true,
                _ => list.allowed.push(Allowed::parse(entry)?),
            }
        }
        Ok(list)
    }

    /// Says whether the list allows `origin`, the value of an `Origin` field.
    ///
    /// A text that is no origin is only allowed by `*`.
    pub fn allows(&self, origin: &str) -> bool {
        if self.any {
            return true;
        }
        if origin == "null" {
            return self.null;
        }
        self.names(origin)
    }

    /// Says whether an entry other than `*` and `null` allows `origin`: then its pages may use
    /// credentials.
    pub fn names(&self, origin: &str) -> bool {
        match Origin::parse(origin) {
            Ok(origin) => self.allowed.iter().any(|allowed| allowed.matches(&origin)),
            Err(_) => false,
        }
    }

    /// Says whether `*` is in the list.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// Returns the entries that name origins, as a `frame-ancestors` directive has them.
    ///
    /// CSP3, 2.3.1: its `*.` stands for any number of labels.
    pub fn named(&self) -> impl Iterator<Item = String> {
        self.allowed.iter().map(|Allowed { hosts, origin }| {
            let text = origin.to_string();
            match hosts {
                Hosts::This => text,
                Hosts::Subdomains => text.replacen("://", "://*.", 1),
            }
        })
    }

    /// Says whether the list allows nothing.
    pub fn is_empty(&self) -> bool {
        !self.any && !self.null && self.allowed.is_empty()
    }
}

/// Returns the origin of `url`, the value of a `Referer` or `Origin` field, in normal form.
///
/// Scheme and host are in lower case, a default port is left out. `None` if `url` is not
/// `scheme://host[:port]` with an optional path, query or fragment.
///
/// RFC 6454, 6.2; RFC 9110, 10.1.3.
pub fn origin_of(url: &str) -> Option<String> {
    let authority_start = url.find("://")? + "://".len();
    let (_, after_scheme) = url.split_at_checked(authority_start)?;
    let authority_len = after_scheme
        .find(['/', '?', '#'])
        .unwrap_or(after_scheme.len());
    let (origin, _) = url.split_at_checked(authority_start + authority_len)?;
    Origin::parse(origin).ok().map(|origin| origin.to_string())
}

/// An origin in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: Box<str>,
    host: Box<str>,
    /// `None` for the default port of the scheme.
    port: Option<u16>,
}

/// An entry that names origins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    hosts: Hosts,
    origin: Origin,
}

/// Which hosts an entry stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hosts {
    This,
    /// Those with one label more.
    Subdomains,
}

/// Which part of an origin is wrong.
enum Part {
    Scheme,
    Host,
    Port,
    NotOnlyOrigin,
}

impl Allowed {
    fn parse(entry: &str) -> Result<Self, OriginError> {
        let (hosts, text) = match entry.split_once("://*.") {
            Some((scheme, host)) => (Hosts::Subdomains, format!("{scheme}://{host}")),
            None => (Hosts::This, entry.to_owned()),
        };
        let name = shown(entry);
        if text.contains('*') {
            return Err(OriginError::Wildcard { entry: name });
        }
        match Origin::parse(&text) {
            Ok(origin) if hosts == Hosts::Subdomains && is_address(&origin.host) => {
                Err(OriginError::Wildcard { entry: name })
            }
            Ok(origin) => Ok(Self { hosts, origin }),
            Err(Part::Scheme) => Err(OriginError::Scheme { entry: name }),
            Err(Part::Host) => Err(OriginError::Host { entry: name }),
            Err(Part::Port) => Err(OriginError::Port { entry: name }),
            Err(Part::NotOnlyOrigin) => Err(OriginError::NotOnlyOrigin { entry: name }),
        }
    }

    fn matches(&self, origin: &Origin) -> bool {
        let host = match self.hosts {
            Hosts::This => Some(origin.host.as_ref()),
            Hosts::Subdomains => origin.host.split_once('.').map(|(_, parent)| parent),
        };
        host == Some(self.origin.host.as_ref())
            && origin.scheme == self.origin.scheme
            && origin.port == self.origin.port
    }
}

impl Origin {
    fn parse(text: &str) -> Result<Self, Part> {
        let (scheme, authority) = text.split_once("://").ok_or(Part::Scheme)?;
        let scheme_valid = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !scheme_valid {
            return Err(Part::Scheme);
        }
        if authority.contains(['/', '?', '#', '@', '\\']) {
            return Err(Part::NotOnlyOrigin);
        }
        let scheme = scheme.to_ascii_lowercase();
        let (host, port) = parse_authority(authority)?;
        let port = port.filter(|port| Some(*port) != usual_port(&scheme));
        Ok(Self {
            scheme: scheme.into(),
            host: host.into(),
            port,
        })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Reads `host[:port]`, which is stricter in an origin: a name has labels, and a colon a port.
fn parse_authority(authority: &str) -> Result<(String, Option<u16>), Part> {
    if authority.ends_with(':') {
        return Err(Part::Port);
    }
    let parsed = Authority::parse(authority).map_err(|error| match error {
        AuthorityError::Host { .. } => Part::Host,
        AuthorityError::Port { .. } => Part::Port,
    })?;
    let host = parsed.host();
    let labels_valid = host.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    });
    if !labels_valid && !host.starts_with('[') {
        return Err(Part::Host);
    }
    Ok((host.to_owned(), parsed.port()))
}

/// Says whether `host` is an IP address, which has no subdomains.
fn is_address(host: &str) -> bool {
    host.starts_with('[')
        || host
            .split('.')
            .all(|label| label.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
