//! The documented bytes, and requests in every split.

use super::*;

#[test]
fn the_articles_rules_give_the_documented_336_bytes() {
    let access = [
        Access::parse("*:80").unwrap(),
        Access::parse("*:8080").unwrap(),
    ];
    let policy = policy(SiteControl::All, &access);
    assert_eq!(policy.len(), 336);
    assert_eq!(
        String::from_utf8(policy).unwrap(),
        "<?xml version=\"1.0\"?>\n\
         <!DOCTYPE cross-domain-policy SYSTEM \"http://www.adobe.com/xml/dtds/cross-domain-policy.dtd\">\n\
         <cross-domain-policy><site-control permitted-cross-domain-policies=\"all\"/>\
         <allow-access-from domain=\"*\" to-ports=\"80\" secure=\"false\"/>\
         <allow-access-from domain=\"*\" to-ports=\"8080\" secure=\"false\"/>\
         </cross-domain-policy>\n\0"
    );
}

#[test]
fn rules_are_a_domain_and_ports() {
    for rule in [
        "*:*",
        "*.example.com:80,8000-8100",
        "example.com:443",
        "192.0.2.1:80",
    ] {
        assert!(Access::parse(rule).is_ok(), "{rule}");
    }
    let refused = |rule: &str| Access::parse(rule).unwrap_err().to_string();
    assert!(refused("example.com").contains("DOMAIN:PORTS"));
    assert!(refused("a\"b:80").contains("domain"));
    assert!(refused(":80").contains("domain"));
    for ports in ["", "x", "80,", "90-80", "65536", "+80"] {
        assert!(refused(&format!("*:{ports}")).contains("ports"), "{ports}");
    }
}

#[test]
fn a_request_is_recognized_in_every_split() {
    for split in 0..REQUEST.len() {
        let (first, second) = REQUEST.split_at(split);
        let mut recognizer = Recognizer::default();
        assert_eq!(recognizer.push(first), Recognized::Partly);
        assert_eq!(recognizer.push(second), Recognized::Policy);
    }
    let mut recognizer = Recognizer::default();
    assert_eq!(
        recognizer.push(b"<policy-file-request/>\0more"),
        Recognized::Policy
    );
}

#[test]
fn junk_is_noticed_at_its_first_byte() {
    assert_eq!(
        Recognizer::default().push(b"<policy-file-request>"),
        Recognized::Other
    );
    assert_eq!(Recognizer::default().push(b"<html>"), Recognized::Other);
    assert_eq!(
        Recognizer::default().push(b"GET / HTTP/1.1"),
        Recognized::Other
    );
}
