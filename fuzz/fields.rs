//! HTTP header fields, and the socket policy of Flash.

use tidings_wire::authority::Authority;
use tidings_wire::bearer::{self, Authorization};
use tidings_wire::flash_policy::{Access, REQUEST, Recognized, Recognizer, SiteControl, policy};
use tidings_wire::forwarded::{self, NODES_MAX, Node};
use tidings_wire::http_head::{Version, event_stream_head};
use tidings_wire::origin::{OriginList, origin_of};
use tidings_wire::proxy_protocol::{self, BINARY_BYTES_MAX, Source, Step};
use tidings_wire::{idempotency_key, prefer};

use super::{split, split_text, text};

/// Input: the value of a `Host` field.
pub fn authority(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(authority) = Authority::parse(&text) else {
        return;
    };
    let normal = authority.to_string();
    assert_eq!(Authority::parse(&normal).as_ref(), Ok(&authority));
    assert!(authority.is_same(&authority, &[80]));
    assert!(normal.is_ascii());
}

/// Input: the value of an `Authorization` field.
pub fn bearer(input: &[u8]) {
    let parsed = bearer::parse(input);
    assert_eq!(bearer::parse_all([input]), Some(parsed));
    if let Authorization::Bearer(token) = parsed {
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(bearer::parse(format!("bearer {token}").as_bytes()), parsed);
    }
}

/// Input: the name of a cookie in the first line, the value of a `Cookie` field in the rest.
pub fn cookie(input: &[u8]) {
    let (name, header) = split_text(input);
    if let Some(value) = tidings_wire::cookie::find(&header, &name) {
        assert!(header.contains(value));
        assert!(!value.contains(';'));
        assert!(header.contains(&*name));
    }
}

/// Input: what a peer sends to a policy listener. It is also parsed as an access rule.
pub fn flash_policy(input: &[u8]) {
    let whole = Recognizer::default().push(input);
    let mut bytewise = Recognizer::default();
    let last = input
        .chunks(1)
        .map(|byte| bytewise.push(byte))
        .find(|asked| *asked != Recognized::Partly);
    assert_eq!(last.unwrap_or(Recognized::Partly), whole);
    assert_eq!(whole == Recognized::Policy, input.starts_with(REQUEST));
    if let Ok(access) = Access::parse(&text(input)) {
        let policy = policy(SiteControl::All, &[access]);
        assert_eq!(policy.iter().filter(|byte| **byte == b'<').count(), 6);
        assert_eq!(policy.iter().filter(|byte| **byte == b'"').count(), 12);
    }
}

/// Input: the value of an `Idempotency-Key` field.
pub fn idempotency_key(input: &[u8]) {
    let Ok(Some(key)) = idempotency_key::parse([input]) else {
        return;
    };
    assert!(key.bytes().all(|byte| byte.is_ascii_graphic()));
    let quoted = format!("\"{key}\"");
    assert_eq!(idempotency_key::parse([quoted.as_bytes()]), Ok(Some(key)));
    assert_eq!(idempotency_key::parse([key.as_bytes()]), Ok(Some(key)));
}

/// Input: the value of a `Forwarded` field in the first line, of `X-Forwarded-For` in the rest. An address is read
/// again as it was written, in either field.
pub fn forwarded(input: &[u8]) {
    let (standard, usual) = split(input);
    let nodes: Vec<Node> = forwarded::forwarded([standard].into_iter())
        .chain(forwarded::x_forwarded_for([usual].into_iter()))
        .collect();
    assert!(nodes.len() <= 2 * NODES_MAX);
    for node in nodes {
        let Some(address) = node.address() else {
            continue;
        };
        let written = match node {
            Node::Address(_, Some(_)) => address.to_string(),
            Node::Address(_, None) | Node::Hidden | Node::Broken => address.ip().to_string(),
        };
        let again = forwarded::x_forwarded_for([written.as_bytes()].into_iter()).next();
        assert_eq!(again, Some(node));
        let element = format!("for=\"{written}\"");
        let again = forwarded::forwarded([element.as_bytes()].into_iter()).next();
        assert_eq!(again, Some(node));
    }
}

/// Input: the name of a response field in the first line, its value in the rest.
pub fn http_head(input: &[u8]) {
    let (name, value) = split_text(input);
    for version in [Version::Http10, Version::Http11] {
        let Ok(head) =
            event_stream_head(version, "Sun, 06 Nov 1994 08:49:37 GMT", &[(&name, &value)])
        else {
            continue;
        };
        let head = String::from_utf8(head).expect("encoded from text");
        assert!(head.ends_with(&format!("\r\n{name}: {value}\r\n\r\n")));
        assert_eq!(head.matches("\r\n").count(), 8);
        assert_eq!(head.matches(['\r', '\n']).count(), 16);
    }
}

/// Input: the entries of a list in the first line, separated by spaces; a URL in the rest.
pub fn origin(input: &[u8]) {
    let (entries, url) = split_text(input);
    let list = OriginList::parse(entries.split(' '));
    if let Ok(list) = &list {
        assert!(!list.is_empty());
        assert_eq!(
            list.allows(&url),
            list.allows(&url.to_ascii_uppercase()) || url == "null"
        );
    }
    let Some(origin) = origin_of(&url) else {
        return;
    };
    assert_eq!(origin_of(&origin).as_deref(), Some(&*origin));
    let only = OriginList::parse([&*origin]).expect("an origin is an entry");
    assert!(only.allows(&origin));
    assert!(!only.is_any());
}

/// Input: the value of a `Prefer` field.
pub fn prefer(input: &[u8]) {
    if let Some(secs) = prefer::wait([input]) {
        assert_eq!(prefer::wait([input, b"wait=77"]), Some(secs));
    }
    assert_eq!(prefer::wait([b"wait=5", input]), Some(5));
}

/// Input: the first bytes of a connection. Nothing is read beyond the header, and its bound holds.
pub fn proxy_protocol(input: &[u8]) {
    let mut known = 0;
    loop {
        let Some(header) = input.get(..known) else {
            return;
        };
        match proxy_protocol::decode(header) {
            Err(_) => return,
            Ok(Step::Complete(source)) => {
                let whole = proxy_protocol::decode(input);
                assert_eq!(whole, Ok(Step::Complete(source)));
                if let Source::Client(address) = source {
                    assert_eq!(Ok(address), address.to_string().parse());
                }
                return;
            }
            Ok(Step::Needs(more)) => {
                assert!(more > 0);
                known += more;
                assert!(known <= BINARY_BYTES_MAX);
            }
        }
    }
}
