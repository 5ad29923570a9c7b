//! The socket policy that Flash requests before it opens a socket: the request and the response.
//!
//! Old browsers with the `web_socket.js` fallback still request it. When and where the hub answers
//! is decided elsewhere.

use std::fmt::Write;

use crate::form::shown;

/// The request of Flash, with its terminating NUL.
pub const REQUEST: &[u8] = b"<policy-file-request/>\0";

/// One `allow-access-from` of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    domain: Box<str>,
    ports: Box<str>,
}

/// The policies that may grant further access: `site-control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteControl {
    /// None.
    None,
    /// This policy only.
    MasterOnly,
    /// Policies on other ports, too.
    All,
}

/// Why an access rule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessError {
    /// No colon between domain and ports.
    #[error("{rule:?} is not DOMAIN:PORTS, such as \"*.example.com:80,8080\"")]
    Form {
        /// The rule.
        rule: Box<str>,
    },
    /// The domain is neither `*` nor a name with an optional `*.` before it.
    #[error("{rule:?} has no valid domain before the colon")]
    Domain {
        /// The rule.
        rule: Box<str>,
    },
    /// The ports are neither `*` nor numbers and ranges.
    #[error("{rule:?} has no valid ports: write * or numbers and ranges such as 80,8000-8100")]
    Ports {
        /// The rule.
        rule: Box<str>,
    },
}

impl Access {
    /// Reads `DOMAIN:PORTS`.
    ///
    /// # Errors
    ///
    /// [`AccessError`] names the invalid part.
    pub fn parse(rule: &str) -> Result<Self, AccessError> {
        let named = || shown(rule);
        let Some((domain, ports)) = rule.rsplit_once(':') else {
            return Err(AccessError::Form { rule: named() });
        };
        if !is_domain(domain) {
            return Err(AccessError::Domain { rule: named() });
        }
        if ports != "*" && !ports.split(',').all(is_port_range) {
            return Err(AccessError::Ports { rule: named() });
        }
        Ok(Self {
            domain: domain.into(),
            ports: ports.into(),
        })
    }
}

fn is_domain(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    text == "*"
        || name.split('.').all(|label| {
            let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
            !label.is_empty() && label.bytes().all(known)
        })
}

fn is_port_range(text: &str) -> bool {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits)
    };
    match text.split_once('-') {
        None => number(text).is_some(),
        Some((first, last)) => match (number(first), number(last)) {
            (Some(first), Some(last)) => first <= last,
            _ => false,
        },
    }
}

/// Returns the encoded policy with its terminating NUL.
pub fn policy(site_control: SiteControl, access: &[Access]) -> Vec<u8> {
    let control = match site_control {
        SiteControl::None => "none",
        SiteControl::MasterOnly => "master-only",
        SiteControl::All => "all",
    };
    let mut xml = format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE cross-domain-policy SYSTEM \
         \"http://www.adobe.com/xml/dtds/cross-domain-policy.dtd\">\n<cross-domain-policy>\
         <site-control permitted-cross-domain-policies=\"{control}\"/>"
    );
    for Access { domain, ports } in access {
        // Both were checked: no character needs an XML escape. Writing cannot fail.
        write!(
            xml,
            "<allow-access-from domain=\"{domain}\" to-ports=\"{ports}\" secure=\"false\"/>"
        )
        .ok();
    }
    xml.push_str("</cross-domain-policy>\n\0");
    xml.into_bytes()
}

/// What the bytes so far are recognized as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognized {
    /// The beginning of a request.
    Partly,
    /// A complete request.
    Policy,
    /// Something else.
    Other,
}

/// Recognizes a request that arrives in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recognizer {
    matched: usize,
}

impl Recognizer {
    /// Takes the next bytes. Bytes after a complete request are ignored.
    pub fn push(&mut self, bytes: &[u8]) -> Recognized {
        let rest = REQUEST.get(self.matched..).unwrap_or_default();
        if !bytes
            .iter()
            .zip(rest)
            .all(|(byte, expected)| byte == expected)
        {
            return Recognized::Other;
        }
        self.matched = REQUEST.len().min(self.matched + bytes.len());
        if self.matched == REQUEST.len() {
            Recognized::Policy
        } else {
            Recognized::Partly
        }
    }
}

#[cfg(test)]
mod tests;
