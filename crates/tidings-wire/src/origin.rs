//! Origins of web pages: of requests, and lists of permitted ones.
//!
//! Which list applies, and the response, are decided elsewhere.

use std::fmt;

use crate::authority::{Authority, AuthorityError, default_port};
use crate::form::shown;

/// The origins that an operator allows.
///
/// Entries are compared as origins, not as text: scheme and host without regard to ASCII case, a
/// default port like no port. A lookup walks the list, whose length the operator chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginList {
    any: bool,
    null: bool,
    allowed: Vec<Allowed>,
}

/// Why an entry of the list is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The entry does not begin with a scheme and `://`.
    #[error("origin {entry:?} does not begin with a scheme such as https://")]
    Scheme {
        /// The entry.
        entry: Box<str>,
    },
    /// The host is empty or has an invalid character.
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
    /// There is more after the host and the port, or a user name before them.
    #[error("origin {entry:?} is more than scheme://host:port")]
    NotOnlyOrigin {
        /// The entry.
        entry: Box<str>,
    },
    /// A `*` is neither the whole entry, nor in a label of a host, nor the port.
    #[error(
        "origin {entry:?} has a wildcard that is neither in a label before the last of a host nor \
         the port"
    )]
    Wildcard {
        /// The entry.
        entry: Box<str>,
    },
}

impl OriginList {
    /// Parses the entries of a list.
    ///
    /// An entry is `*` for every origin, `null` for pages without one, `file://` for pages that
    /// some devices load from a file, or `scheme://host[:port]`. One label of the host except the
    /// last may contain a `*`, which matches one or more characters of that label (`*.host`,
    /// `pr-*.host`). The port may be `*`, which matches every port.
    ///
    /// # Errors
    ///
    /// [`OriginError`] for the first invalid entry.
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

    /// Returns whether the list allows `origin`, the value of an `Origin` field.
    ///
    /// A text that is not an origin is allowed by `*` only.
    pub fn allows(&self, origin: &str) -> bool {
        if self.any {
            return true;
        }
        if origin == "null" {
            return self.null;
        }
        self.names(origin)
    }

    /// Returns whether an entry other than `*` and `null` allows `origin`. Its pages may then use
    /// credentials.
    pub fn names(&self, origin: &str) -> bool {
        match Origin::parse(origin) {
            Ok(origin) => self.allowed.iter().any(|allowed| allowed.matches(&origin)),
            Err(_) => false,
        }
    }

    /// Returns whether the list contains `*`.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// Returns the entries that name origins, in the form of a `frame-ancestors` directive. Entries
    /// that CSP cannot express are left out: files, and hosts whose `*` is not the whole first
    /// label.
    ///
    /// CSP3, 2.3.1: in CSP, `*.` matches any number of labels.
    pub fn named(&self) -> impl Iterator<Item = String> {
        self.allowed.iter().filter_map(Allowed::source)
    }

    /// Returns whether the list allows nothing.
    pub fn is_empty(&self) -> bool {
        !self.any && !self.null && self.allowed.is_empty()
    }
}

/// Returns the normal form of the origin of `url`, the value of a `Referer` or `Origin` field.
///
/// Scheme and host are in lower case, and a default port is left out. `None` if `url` is not
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
    /// `None` for the scheme's default port.
    port: Option<u16>,
}

/// An entry that names origins.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    scheme: Box<str>,
    hosts: Hosts,
    ports: Ports,
}

/// The hosts that an entry matches.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    This(Box<str>),
    /// Hosts with one or more characters, but no dot, between two texts.
    Between(Box<str>, Box<str>),
}

/// The ports that an entry matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ports {
    This(Option<u16>),
    Any,
}

/// The invalid part of an origin.
enum Part {
    Scheme,
    Host,
    Port,
    NotOnlyOrigin,
}

impl Allowed {
    fn parse(entry: &str) -> Result<Self, OriginError> {
        let name = || shown(entry);
        let (text, any_port) = match entry.strip_suffix(":*") {
            // This colon belongs to the scheme, not to a port.
            Some(text) if !text.ends_with('/') => (text, true),
            Some(_) | None => (entry, false),
        };
        let wildcard = || OriginError::Wildcard { entry: name() };
        // A letter replaces the `*` while the rest is parsed as usual.
        let star = text.find('*');
        let text = text.replacen('*', STAND_IN, 1);
        if text.contains('*') {
            return Err(wildcard());
        }
        let origin = Origin::parse(&text).map_err(|part| match part {
            _ if star.is_some() => wildcard(),
            Part::Scheme => OriginError::Scheme { entry: name() },
            Part::Host => OriginError::Host { entry: name() },
            Part::Port => OriginError::Port { entry: name() },
            Part::NotOnlyOrigin => OriginError::NotOnlyOrigin { entry: name() },
        })?;
        let hosts = match star {
            None => Hosts::This(origin.host.clone()),
            Some(star) => origin.hosts_around(star).ok_or_else(wildcard)?,
        };
        Ok(Self {
            scheme: origin.scheme,
            hosts,
            ports: match any_port {
                true => Ports::Any,
                false => Ports::This(origin.port),
            },
        })
    }

    fn matches(&self, origin: &Origin) -> bool {
        let host = match &self.hosts {
            Hosts::This(host) => *host == origin.host,
            Hosts::Between(before, after) => {
                let rest = origin.host.strip_prefix(&**before);
                let middle = rest.and_then(|rest| rest.strip_suffix(&**after));
                middle.is_some_and(|middle| !middle.is_empty() && !middle.contains('.'))
            }
        };
        let port = match self.ports {
            Ports::This(port) => port == origin.port,
            Ports::Any => true,
        };
        host && port && origin.scheme == self.scheme
    }

    /// Returns the entry as a CSP source, if CSP can express it.
    fn source(&self) -> Option<String> {
        let host = match &self.hosts {
            Hosts::This(host) if host.is_empty() => return None,
            Hosts::This(host) => host.to_string(),
            Hosts::Between(before, after) if before.is_empty() && after.starts_with('.') => {
                format!("*{after}")
            }
            Hosts::Between(..) => return None,
        };
        let port = match self.ports {
            Ports::This(None) => String::new(),
            Ports::This(Some(port)) => format!(":{port}"),
            Ports::Any => ":*".to_owned(),
        };
        Some(format!("{}://{host}{port}", self.scheme))
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
        // Some devices send this for a page loaded from a file; browsers send `null`.
        if scheme == "file" && authority.is_empty() {
            return Ok(Self {
                scheme: scheme.into(),
                host: "".into(),
                port: None,
            });
        }
        let (host, port) = parse_authority(authority)?;
        let port = port.filter(|port| Some(*port) != default_port(&scheme));
        Ok(Self {
            scheme: scheme.into(),
            host: host.into(),
            port,
        })
    }
}

impl Origin {
    /// Returns the hosts that an entry matches whose `*` is at this byte.
    fn hosts_around(&self, star: usize) -> Option<Hosts> {
        let index = star.checked_sub(self.scheme.len() + "://".len())?;
        let (before, rest) = self.host.split_at_checked(index)?;
        let after = rest.strip_prefix(STAND_IN)?;
        // In the last label the `*` would match any domain, and an IP address has no subdomains.
        let fits = after.contains('.') && !is_numeric(before, after);
        fits.then(|| Hosts::Between(before.into(), after.into()))
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

/// Parses `host[:port]` more strictly than [`Authority`]: a name has non-empty labels, and a colon
/// is followed by a port.
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

/// Returns whether the labels around a `*` are those of an IP address.
fn is_numeric(before: &str, after: &str) -> bool {
    let numeric = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    before.bytes().chain(after.bytes()).all(numeric)
}

/// Replaces a `*` while an entry is parsed.
const STAND_IN: &str = "x";

#[cfg(test)]
mod tests;
