//! HTTP header fields, and the socket policy of Flash.

use tidings_wire::authority::Authority;
use tidings_wire::bearer::{self, Authorization};
use tidings_wire::flash_policy::{Access, REQUEST, Recognized, Recognizer, SiteControl, policy};
use tidings_wire::http_head::{Version, event_stream_head};
use tidings_wire::origin::{OriginList, origin_of};
use tidings_wire::prefer;

use super::{split_text, text};

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
