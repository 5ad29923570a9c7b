//! How a topic is split into components.

use super::{Component, Subject};
use crate::hub_url::HubUrl;

#[test]
fn a_url_falls_into_its_components() {
    let subject = subject("https://a:b@Example.com:8443/c/d?e=f#g");
    let url = subject.url().unwrap();
    let parts = Component::ALL.map(|component| url.get(component));
    assert_eq!(
        parts,
        ["https", "a", "b", "example.com", "8443", "/c/d", "e=f", "g"]
    );
}

#[test]
fn missing_components_are_empty() {
    let subject = subject("urn:isbn:1");
    let url = subject.url().unwrap();
    let parts = Component::ALL.map(|component| url.get(component));
    assert_eq!(parts, ["urn", "", "", "", "", "isbn:1", "", ""]);
}

#[test]
fn a_relative_topic_is_relative_to_the_hub() {
    assert_eq!(subject("b").url().unwrap().get(Component::Pathname), "/a/b");
    assert_eq!(subject("https://[").url(), None);
    assert_eq!(subject("https://[").text(), "https://[");
}

#[test]
fn segments_follow_slashes() {
    let segments = |text| subject(text).url().unwrap().segments().to_vec().len();
    let paths = subject("/ab//c/");
    assert_eq!(
        paths.url().unwrap().segments().to_vec(),
        [(1, "ab"), (5, "c")]
    );
    assert_eq!(segments("/"), 0);
    assert_eq!(segments("urn:isbn:1"), 0);
}

#[test]
fn components_are_ascii_whatever_the_topic_is() {
    for text in [
        "https://é.com/é?é#é",
        "é://é/é?é#é",
        "é:é?é#é",
        "x://é:é@é/é",
        "x:é?é#é",
        "/日本",
    ] {
        if let Some(url) = subject(text).url() {
            let is_ascii = |component| url.get(component).is_ascii();
            assert!(Component::ALL.into_iter().all(is_ascii), "{text}");
        }
    }
}

fn subject(text: &str) -> Subject {
    Subject::from_text(text, &HubUrl::parse("https://hub.example/a/hub").unwrap())
}
