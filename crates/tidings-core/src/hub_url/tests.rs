//! Which URLs are a hub's, and what only the hub may publish.

use super::{HubUrl, HubUrlError};
use crate::topic::Topic;

#[test]
fn a_hub_url_is_http_with_a_path() {
    let hub = HubUrl::parse("https://Hub.Example.com:443/.well-known/mercure").unwrap();
    assert_eq!(hub.as_str(), "https://hub.example.com/.well-known/mercure");
    assert_eq!(hub.path(), "/.well-known/mercure");
    assert_eq!(hub.origin(), "https://hub.example.com");
    assert_eq!(hub.authority(), "hub.example.com");
    let local = HubUrl::parse("http://localhost:3000/hub").unwrap();
    assert_eq!(local.origin(), "http://localhost:3000");
    assert_eq!(local.authority(), "localhost:3000");
}

#[test]
fn any_other_url_is_refused() {
    let refused = |text| HubUrl::parse(text).unwrap_err();
    assert!(matches!(refused("/hub"), HubUrlError::Syntax(_)));
    assert!(matches!(refused("https://["), HubUrlError::Syntax(_)));
    assert_eq!(
        refused("ftp://e.com/hub"),
        HubUrlError::Scheme {
            scheme: "ftp".into()
        }
    );
    assert_eq!(
        refused("urn:x:y"),
        HubUrlError::Scheme {
            scheme: "urn".into()
        }
    );
    assert_eq!(refused("https://a@e.com/hub"), HubUrlError::Credentials);
    assert_eq!(refused("https://:b@e.com/hub"), HubUrlError::Credentials);
    assert_eq!(refused("https://e.com/hub?a"), HubUrlError::QueryOrFragment);
    assert_eq!(refused("https://e.com/hub#a"), HubUrlError::QueryOrFragment);
    assert_eq!(
        refused("https://e.com"),
        HubUrlError::Path { path: "/".into() }
    );
    assert_eq!(
        refused("https://e.com/hub/"),
        HubUrlError::Path {
            path: "/hub/".into()
        }
    );
    for (letter, count) in [("a", 3000), ("é", 500)] {
        let url = format!("https://e.com/{}", letter.repeat(count));
        let error = HubUrl::parse(&url).unwrap_err();
        assert!(matches!(error, HubUrlError::TooLong { .. }), "{letter}");
    }
}

#[test]
fn references_are_relative_to_the_hub() {
    let hub = hub();
    let resolve = |text| hub.resolve(text).map(String::from);
    assert_eq!(
        resolve("books/1").unwrap(),
        "https://e.com/.well-known/books/1"
    );
    assert_eq!(resolve("/books/1").unwrap(), "https://e.com/books/1");
    assert_eq!(resolve("urn:isbn:1").unwrap(), "urn:isbn:1");
    assert_eq!(resolve("//["), None);
}

#[test]
fn the_hub_and_what_is_below_it_is_reserved() {
    for topic in [
        "/.well-known/mercure",
        "/.well-known/mercure/",
        "/.well-known/mercure/subscriptions/exact/a/b",
        "mercure",
        "mercure?x",
        "./mercure/a",
        "?a",
        "#a",
        "https://e.com/.well-known/mercure",
        "https://other.example/.well-known/mercure/subscriptions",
        "HTTPS://E.COM:443/.well-known/mercure#x",
        "//other/.well-known/mercure",
        "ftp://x/.well-known/mercure",
    ] {
        assert!(reserves(topic), "{topic}");
    }
}

#[test]
fn no_spelling_of_it_gets_by() {
    for topic in [
        "/.well-known/%6Dercure/a",
        "/.well-known/%6dercure",
        "/%2Ewell%2dknown/mercure",
        "/%2e/.well-known/mercure",
        "/a/%2e%2e/.well-known/mercure",
        "/a/.%2E/.well-known/./mercure",
        "/.well-known/mercure/../mercure/x",
        "/.well-known/x/..%2Fy/../../mercure",
        "/.well-known\\mercure",
        "\\.well-known\\mercure\\x",
        "/.well-known/%%36dercure",
        "/.well-known/%%%33%36dercure",
        "foo:/.well-known/mercure",
        "foo:/.well-known/mercure/x",
        "foo:/a/../.well-known/%6dercure",
        "foo:/a/%2e%2e/.well-known/mercure",
        "foo://host/.well-known/mercure",
        "foo:a/../.well-known/mercure",
        "foo:a/%2e%2E/.well-known/mercure",
    ] {
        assert!(reserves(topic), "{topic}");
    }
}

#[test]
fn everything_else_is_free() {
    for topic in [
        "/",
        "/.well-known",
        "/.well-known/mercury",
        "/.well-known/mercure2",
        "/.well-known/mercure%2Fx",
        "/.well-known/Mercure",
        "/x/.well-known/mercure",
        "//.well-known/mercure",
        "https://e.com//.well-known/mercure",
        "/.well-known/mercure/../x",
        "/.well-known/%256Dercure",
        "foo:/.well-known\\mercure",
        "foo:.well-known/mercure",
        "foo:x/.well-known/mercure",
        "https://e.com/?/.well-known/mercure",
        "//[/.well-known/mercure",
        "urn:isbn:1",
    ] {
        assert!(!reserves(topic), "{topic}");
    }
}

#[test]
fn the_hub_may_stand_anywhere() {
    let hub = HubUrl::parse("https://e.com/a%7Eb/hub").unwrap();
    for topic in ["/a~b/hub", "/a%7eb/hub/x", "hub"] {
        assert!(hub.reserves(&Topic::parse(topic).unwrap()), "{topic}");
    }
    let hub = HubUrl::parse("https://e.com/événements").unwrap();
    for topic in [
        "événements",
        "https://e.com/événements/x",
        "http://x/%C3%A9v%C3%A9nements",
    ] {
        assert!(hub.reserves(&Topic::parse(topic).unwrap()), "{topic}");
    }
}

#[test]
fn a_topic_full_of_encodings_is_still_cheap() {
    // Each decoding reveals the next encoded character.
    let mut topic = String::from("%6d");
    while topic.len() < 4000 {
        topic = topic.replacen('6', "%36", 1);
    }
    assert!(reserves(&format!("/.well-known/{topic}ercure")));
}

fn reserves(topic: &str) -> bool {
    hub().reserves(&Topic::parse(topic).unwrap())
}

fn hub() -> HubUrl {
    HubUrl::parse("https://e.com/.well-known/mercure").unwrap()
}
