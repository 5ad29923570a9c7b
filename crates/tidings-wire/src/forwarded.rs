//! The chain of addresses in `Forwarded` (RFC 7239) and `X-Forwarded-For` fields, read from its end: the proxy that
//! sent the request wrote the last one. Whom to believe is decided elsewhere.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Nodes of a chain that are read. Every trusted proxy appends one.
pub const NODES_MAX: usize = 32;

/// One node of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// An address, with its port if it was written.
    Address(IpAddr, Option<u16>),
    /// A proxy that hides or does not know the address (RFC 7239, 6.2 and 6.3).
    Hidden,
    /// Text that is no node.
    Broken,
}

impl Node {
    /// Returns the address with its port, 0 if that is unknown.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Address(ip, port) => Some(SocketAddr::new(ip, port.unwrap_or_default())),
            Self::Hidden | Self::Broken => None,
        }
    }
}

/// Returns the nodes of `X-Forwarded-For` fields, the last one first; at most [`NODES_MAX`].
///
/// `fields` are the values of the fields in their order.
pub fn x_forwarded_for<'a>(
    fields: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> impl Iterator<Item = Node> {
    let entries = fields
        .rev()
        .flat_map(|field| field.rsplit(|&byte| byte == b','));
    entries
        .take(NODES_MAX)
        .map(|entry| match str::from_utf8(entry) {
            Ok(text) => node(text.trim_matches([' ', '\t'])),
            Err(_not_utf8) => Node::Broken,
        })
}

/// Returns the nodes of the `for` parameters of `Forwarded` fields, the last one first; at most [`NODES_MAX`].
///
/// An element without `for` is [`Node::Hidden`]. A field that is not well formed is one [`Node::Broken`]: where its
/// elements end is not known.
///
/// `fields` are the values of the fields in their order. RFC 7239, 4.
pub fn forwarded<'a>(
    fields: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> impl Iterator<Item = Node> {
    let nodes = fields.rev().flat_map(|field| {
        let nodes = str::from_utf8(field).ok().and_then(elements);
        nodes
            .unwrap_or_else(|| vec![Node::Broken])
            .into_iter()
            .rev()
    });
    nodes.take(NODES_MAX)
}

/// Returns the node of each element of a field. None if the field is not well formed.
fn elements(field: &str) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    let mut rest = trimmed(field);
    let mut element: Option<Node> = None;
    loop {
        // Empty elements and parameters are allowed (RFC 9110, 5.6.1).
        if !rest.is_empty() && !rest.starts_with([';', ',']) {
            let (name, value, after) = pair(rest)?;
            let named = element.get_or_insert(Node::Hidden);
            if name.eq_ignore_ascii_case("for") {
                *named = node(&value);
            }
            rest = trimmed(after);
        }
        match rest.split_at_checked(1) {
            None => break,
            Some((";", after)) => rest = trimmed(after),
            Some((",", after)) => {
                nodes.extend(element.take());
                rest = trimmed(after);
            }
            Some(_) => return None,
        }
    }
    nodes.extend(element);
    Some(nodes)
}

/// Reads `name=value`. Returns both and what follows.
fn pair(text: &str) -> Option<(&str, Cow<'_, str>, &str)> {
    let (name, rest) = text.split_once('=')?;
    if name.is_empty() || !name.bytes().all(is_token) {
        return None;
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find([';', ',', ' ', '\t']).unwrap_or(rest.len());
        let (value, after) = rest.split_at_checked(end)?;
        return (!value.is_empty()).then_some((name, value.into(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((name, value.into(), quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            _ => value.push(character),
        }
    }
    None
}

/// A character of a token; RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

/// Reads one node: an address with or without a port, or a name that hides it. `X-Forwarded-For` has no grammar;
/// proxies write IPv6 addresses in it with and without brackets.
fn node(text: &str) -> Node {
    let (name, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let Some((address, port)) = bracketed.split_once(']') else {
                return Node::Broken;
            };
            let Ok(address) = address.parse::<Ipv6Addr>() else {
                return Node::Broken;
            };
            return with_port(address.into(), port);
        }
        None => match text.split_once(':') {
            // More than one colon: an IPv6 address without brackets.
            Some((_, rest)) if rest.contains(':') => (text, ""),
            Some((name, _)) => (name, text.get(name.len()..).unwrap_or_default()),
            None => (text, ""),
        },
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        return with_port(address, port);
    }
    let obfuscated = name.strip_prefix('_').is_some_and(|name| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        !name.is_empty() && name.bytes().all(known)
    });
    if obfuscated || name.eq_ignore_ascii_case("unknown") {
        Node::Hidden
    } else {
        Node::Broken
    }
}

/// `port` is empty or begins with a colon. A hidden port (`:_x`) is no port.
fn with_port(address: IpAddr, port: &str) -> Node {
    let address = address.to_canonical();
    match port.strip_prefix(':') {
        None if port.is_empty() => Node::Address(address, None),
        Some(hidden) if hidden.starts_with('_') => Node::Address(address, None),
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => match digits.parse() {
            Ok(port) => Node::Address(address, Some(port)),
            Err(_no_port) => Node::Broken,
        },
        Some(_) | None => Node::Broken,
    }
}

#[cfg(test)]
mod tests;
