//! Paths of the protocol's "Session URLs" and around them.

use super::{Place, Transport};

#[test]
fn the_base_with_and_without_a_slash_greets() {
    assert_eq!(Place::parse(""), Some(Place::Greeting));
    assert_eq!(Place::parse("/"), Some(Place::Greeting));
}

#[test]
fn iframe_pages_may_carry_a_version() {
    for path in [
        "/iframe.html",
        "/iframe-a.html",
        "/iframe-0.1.2-dirty.html",
        "/iframe-.html",
    ] {
        assert_eq!(Place::parse(path), Some(Place::Iframe), "{path}");
    }
    for path in [
        "/iframe",
        "/iframe.htm",
        "/IFRAME.html",
        "/iframe.xml",
        "/iframe-/.html",
        "/iframea.html",
    ] {
        assert_eq!(Place::parse(path), None, "{path}");
    }
}

#[test]
fn sessions_are_named_by_their_second_part() {
    for transport in Transport::ALL {
        let path = format!("/000/abc/{}", transport.name());
        let place = Place::Session {
            id: "abc",
            transport,
        };
        assert_eq!(Place::parse(&path), Some(place));
    }
    assert_eq!(
        Place::parse("/_/_/xhr"),
        Some(Place::Session {
            id: "_",
            transport: Transport::Xhr
        })
    );
}

#[test]
fn what_the_protocol_does_not_name_is_not_found() {
    let paths = [
        "//",
        "/a",
        "/a/a",
        "/a/a/",
        "/a/",
        "//a",
        "/a/a/a",
        "/a//xhr",
        "//a/xhr",
        "/a.a/a/xhr",
        "/a/a.a/xhr",
        "/a/a/xhr/",
        "/a/a/xhr/a",
        "/a/a/XHR",
        "/info/",
        "/websocket/",
        "info",
    ];
    for path in paths {
        assert_eq!(Place::parse(path), None, "{path}");
    }
}
