//! Tests of [`origin`](super).

use super::*;

#[test]
fn an_entry_allows_its_origin_only() {
    let list = list(&["https://example.com", "http://localhost:3000"]);
    check(
        &list,
        &["https://example.com", "http://localhost:3000"],
        true,
    );
    check(
        &list,
        &[
            "http://example.com",
            "https://example.com:8443",
            "https://www.example.com",
            "https://example.com.evil.test",
            "https://evilexample.com",
            "http://localhost",
            "https://example.com/",
            "https://user@example.com",
            "null",
            "",
            "example.com",
        ],
        false,
    );
}

#[test]
fn case_and_default_ports_make_no_difference() {
    let list = list(&["HTTPS://Example.com:443", "http://a"]);
    check(
        &list,
        &[
            "https://example.com",
            "https://EXAMPLE.com:443",
            "http://A:80",
        ],
        true,
    );
    check(&list, &["https://a:80", "http://a:443"], false);
}

#[test]
fn a_wildcard_stands_for_one_label() {
    let list = list(&["https://*.example.com", "http://*.localhost:3000"]);
    check(
        &list,
        &[
            "https://a.example.com",
            "https://A.Example.com:443",
            "http://x.localhost:3000",
        ],
        true,
    );
    check(
        &list,
        &[
            "https://example.com",
            "https://.example.com",
            "https://a.b.example.com",
            "https://aexample.com",
            "https://a.example.com.evil.test",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://*.example.com",
        ],
        false,
    );
}

#[test]
fn a_wildcard_may_be_a_part_of_a_label_or_the_port() {
    let entries = [
        "https://pr-*.Example.com",
        "https://*-x.example.org:8443",
        "https://app.*.example.net",
        "http://localhost:*",
    ];
    check(
        &list(&entries),
        &[
            "https://pr-1.example.com",
            "https://PR-ab-c.example.com:443",
            "https://a-x.example.org:8443",
            "https://app.b.example.net",
            "http://localhost",
            "http://localhost:3000",
        ],
        true,
    );
    check(
        &list(&entries),
        &[
            "https://pr-.example.com",
            "https://pr.example.com",
            "https://pr-1.2.example.com",
            "https://xpr-1.example.com",
            "https://pr-1.example.com.evil.test",
            "https://pr-1.example.com:8443",
            "http://pr-1.example.com",
            "https://-x.example.org:8443",
            "https://app.b.c.example.net",
            "https://localhost:3000",
            "http://a.localhost:3000",
            "http://localhost.evil.test:3000",
        ],
        false,
    );
    // CSP cannot express a wildcard in part of a label, and the policy must not allow more instead.
    let named: Vec<String> = list(&[
        "https://pr-*.example.com",
        "https://*.example.com",
        "http://localhost:*",
        "file://",
    ])
    .named()
    .collect();
    assert_eq!(named, ["https://*.example.com", "http://localhost:*"]);
}

#[test]
fn pages_from_files_have_an_origin_of_their_own() {
    check(&list(&["file://"]), &["file://", "FILE://"], true);
    check(
        &list(&["file://"]),
        &["null", "https://", "file:///", "file://host"],
        false,
    );
    check(&list(&["https://example.com", "null"]), &["file://"], false);
    assert_eq!(
        origin_of("file:///android_asset/a.html"),
        Some("file://".to_owned())
    );
}

#[test]
fn null_is_an_entry_of_its_own() {
    check(&list(&["null"]), &["null"], true);
    check(&list(&["null"]), &["https://example.com", "NULL"], false);
}

#[test]
fn a_star_allows_everything() {
    let any = list(&["https://example.com", "*"]);
    assert!(any.is_any());
    check(&any, &["https://a", "null", "anything"], true);
    assert!(!list(&["https://*.example.com"]).is_any());
}

#[test]
fn an_empty_list_allows_nothing() {
    assert!(list(&[]).is_empty());
    assert!(!list(&["null"]).is_empty());
    check(&list(&[]), &["null", "https://a"], false);
}

#[test]
fn addresses_and_other_schemes_are_origins() {
    let list = list(&[
        "http://127.0.0.1:8080",
        "http://[0:0::1]:8080",
        "capacitor://localhost",
    ]);
    check(
        &list,
        &[
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "capacitor://localhost",
        ],
        true,
    );
}

#[test]
fn what_is_no_origin_is_refused_by_name() {
    let refused = [
        (
            "example.com",
            "origin \"example.com\" does not begin with a scheme such as https://",
        ),
        (
            "",
            "origin \"\" does not begin with a scheme such as https://",
        ),
        (
            "://a",
            "origin \"://a\" does not begin with a scheme such as https://",
        ),
        (
            "1a://b",
            "origin \"1a://b\" does not begin with a scheme such as https://",
        ),
        (
            "https://a/",
            "origin \"https://a/\" is more than scheme://host:port",
        ),
        (
            "https://a?b",
            "origin \"https://a?b\" is more than scheme://host:port",
        ),
        (
            "https://u@a",
            "origin \"https://u@a\" is more than scheme://host:port",
        ),
        ("https://a:", "origin \"https://a:\" has no valid port"),
        ("https://a:x", "origin \"https://a:x\" has no valid port"),
        ("https://a:+1", "origin \"https://a:+1\" has no valid port"),
        (
            "https://a:65536",
            "origin \"https://a:65536\" has no valid port",
        ),
    ];
    for (entry, expected) in refused {
        assert_eq!(
            OriginList::parse([entry]).expect_err(entry).to_string(),
            expected
        );
    }
}

#[test]
fn a_host_has_only_labels_or_an_address() {
    for entry in [
        "https://",
        "https://a..b",
        "https://a b",
        "https://é",
        "https://[::1",
        "https://[x]",
        "https://[::1]a",
    ] {
        let error = OriginList::parse([entry]).expect_err(entry);
        assert!(
            matches!(error, OriginError::Host { .. }),
            "{entry}: {error}"
        );
    }
}

#[test]
fn a_wildcard_is_in_one_label_of_a_name_and_not_in_the_last() {
    for entry in [
        "**",
        "https://*",
        "https://a.*",
        "https://pr-*",
        "https://*.*.b",
        "*://a",
        "http*://a.b",
        "https://a.b:80*",
        "https://a.b/*",
        "https://[::*]",
        "https://*.0.0.1",
        "https://10.0.*.1",
    ] {
        let error = OriginList::parse([entry]).expect_err(entry);
        assert!(
            matches!(error, OriginError::Wildcard { .. }),
            "{entry}: {error}"
        );
    }
}

#[test]
fn the_origin_of_a_referer_is_its_beginning() {
    for (url, expected) in [
        (
            "https://Example.com/books/1?a=b#c",
            Some("https://example.com"),
        ),
        ("https://example.com", Some("https://example.com")),
        ("https://example.com:443?x", Some("https://example.com")),
        ("http://[::0001]:8080/", Some("http://[::1]:8080")),
        (
            "https://example.com/://evil.test/",
            Some("https://example.com"),
        ),
        ("https://user@example.com/", None),
        ("https://evil.test\\@example.com/", None),
        ("/books/1?u=https://example.com/", None),
        ("about:blank", None),
        ("null", None),
        ("", None),
    ] {
        assert_eq!(origin_of(url).as_deref(), expected, "{url}");
    }
}

#[test]
fn every_truncation_is_an_origin_or_nothing_and_stays_itself() {
    let url = "https://a.example.com:8443/path";
    let beginnings = (0..=url.len()).filter_map(|end| url.get(..end));
    for beginning in beginnings {
        if let Some(origin) = origin_of(beginning) {
            assert_eq!(origin_of(&origin).as_deref(), Some(origin.as_str()));
            assert!(list(&[&origin]).allows(&origin), "{origin}");
        }
    }
}

fn list(entries: &[&str]) -> OriginList {
    OriginList::parse(entries.iter().copied()).expect("valid entries")
}

#[track_caller]
fn check(list: &OriginList, origins: &[&str], expected: bool) {
    for origin in origins {
        assert_eq!(list.allows(origin), expected, "{origin}");
    }
}

#[test]
fn named_entries_are_written_as_a_policy_has_them() {
    let entries = [
        "*",
        "https://a.example:8443",
        "https://*.example.com",
        "null",
    ];
    let list = OriginList::parse(entries).unwrap();
    let named: Vec<_> = list.named().collect();
    assert_eq!(named, ["https://a.example:8443", "https://*.example.com"]);
}
