//! What a token allows.

use super::{Grants, GrantsError, PayloadRule, RoleTargets};
use crate::hub_url::HubUrl;
use crate::limits::{TOKEN_DETAILS_MAX, TOKEN_MATCHERS_MAX};
use crate::matcher::{Matcher, MatcherType};
use crate::subject::Subject;
use crate::target::{Target, TargetGrant, Targets};
use crate::update::Visibility;

#[test]
fn the_default_allows_nothing() {
    let grants = Grants::default();
    assert_eq!(grants.allows_publish(&subjects(&["a"])), Err(0));
    assert!(!grants.allows_read(&subjects(&["a"])));
    assert_eq!(grants.payload_for(&subject("a")), None);
}

#[test]
fn every_topic_must_be_granted_for_publishing() {
    let grants = Grants::new(matchers(&["a", "https://e.com/:id"]), vec![], vec![]).unwrap();
    assert_eq!(
        grants.allows_publish(&subjects(&["a", "https://e.com/1"])),
        Ok(())
    );
    assert_eq!(
        grants.allows_publish(&subjects(&["a", "https://e.com/1", "b"])),
        Err(2)
    );
    assert!(!grants.allows_read(&subjects(&["a"])));
}

#[test]
fn one_topic_granted_is_enough_for_reading() {
    let grants = Grants::new(vec![], matchers(&["https://e.com/users/42/*"]), vec![]).unwrap();
    let both = ["https://e.com/books/1", "https://e.com/users/42/books/1"];
    assert!(grants.allows_read(&subjects(&both)));
    assert!(!grants.allows_read(&subjects(&["https://e.com/books/1"])));
    assert!(!grants.allows_read(&[]));
    assert_eq!(grants.allows_publish(&subjects(&both)), Err(0));
}

#[test]
fn targets_are_an_audience_of_their_own() {
    let of = |texts: &[&str]| TargetGrant::Of(texts.iter().map(|text| target(text)).collect());
    let with = |publish, subscribe| Grants::of_targets(RoleTargets { publish, subscribe });
    let foo = Targets::new(vec![target("foo"), target("bar")]).unwrap();
    let topics = subjects(&["a"]);
    let targeted = Visibility::Targeted(foo.clone().unwrap());

    let none = Grants::default();
    assert_eq!(none.allows_targets(None), Err(None));
    let empty = with(Some(of(&[])), Some(of(&[])));
    assert_eq!(empty.allows_targets(None), Ok(()));
    assert_eq!(
        empty.allows_targets(foo.as_ref()),
        Err(Some(&target("foo")))
    );
    let one = with(Some(of(&["foo"])), Some(of(&["bar"])));
    assert_eq!(one.allows_targets(foo.as_ref()), Err(Some(&target("bar"))));
    let all = with(Some(TargetGrant::All), Some(TargetGrant::All));
    assert_eq!(all.allows_targets(foo.as_ref()), Ok(()));

    let exact = Grants::new(vec![], matchers(&["a", "foo"]), vec![]).unwrap();
    let wildcard = Grants::new(vec![], matchers(&["*"]), vec![]).unwrap();
    for (grants, reads_private, reads_targeted) in [
        (&none, false, false),
        (&empty, false, false),
        (&one, false, true),
        (&all, true, true),
        (&exact, true, false),
        (&wildcard, true, true),
    ] {
        assert!(grants.allows_update(&Visibility::Public, &topics));
        assert_eq!(
            grants.allows_update(&Visibility::Private, &topics),
            reads_private,
            "{grants:?}"
        );
        assert_eq!(
            grants.allows_update(&targeted, &topics),
            reads_targeted,
            "{grants:?}"
        );
        assert!(grants.allows_publish(&topics).is_err());
    }
}

#[test]
fn the_first_rule_that_matches_gives_the_payload() {
    // Mercure, "Payloads", the example there.
    let grants = Grants::new(
        vec![],
        vec![],
        vec![
            rule("https://example.com/foo", Some("1")),
            rule("https://example.com/bar/:id", Some("2")),
            rule("https://example.com/none", None),
            rule("*", Some("3")),
        ],
    )
    .unwrap();
    for (matcher, payload) in [
        ("https://example.com/foo", Some("1")),
        ("https://example.com/bar/:id", Some("2")),
        ("https://example.com/bar/7", Some("2")),
        ("https://example.com/none", None),
        ("*", Some("3")),
        ("else", Some("3")),
    ] {
        assert_eq!(grants.payload_for(&subject(matcher)), payload, "{matcher}");
    }
}

#[test]
fn a_token_that_says_too_much_is_refused() {
    let max = TOKEN_DETAILS_MAX;
    let rules = vec![rule("a", None); max + 1];
    let error = GrantsError::TooManyDetails {
        count: max + 1,
        max,
    };
    assert_eq!(Grants::new(vec![], vec![], rules), Err(error));
    let max = TOKEN_MATCHERS_MAX;
    let many = vec![matcher("a"); max + 1];
    let error = GrantsError::TooManyMatchers {
        count: max + 1,
        max,
    };
    assert_eq!(
        Grants::new(many.clone(), vec![], vec![]),
        Err(error.clone())
    );
    assert_eq!(Grants::new(vec![], many, vec![]), Err(error));
}

fn rule(topic: &str, payload: Option<&str>) -> PayloadRule {
    PayloadRule {
        topics: matchers(&[topic]),
        payload: payload.map(Into::into),
    }
}

fn matchers(texts: &[&str]) -> Vec<Matcher> {
    texts.iter().map(|text| matcher(text)).collect()
}

fn matcher(text: &str) -> Matcher {
    let pattern = text.contains(":id") || text.ends_with("/*");
    let kind = if pattern {
        MatcherType::UrlPattern
    } else {
        MatcherType::Exact
    };
    Matcher::parse(kind, text, &hub()).unwrap()
}

fn subjects(texts: &[&str]) -> Vec<Subject> {
    texts.iter().map(|text| subject(text)).collect()
}

fn subject(text: &str) -> Subject {
    Subject::from_text(text, &hub())
}

fn hub() -> HubUrl {
    HubUrl::parse("https://e.com/.well-known/mercure").unwrap()
}

fn target(text: &str) -> Target {
    Target::parse(text).unwrap()
}
