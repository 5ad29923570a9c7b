//! Answers in the form of 0.x, and answers that take several turns.

use tidings_core::holder::HolderKey;
use tidings_core::hub::SubscriberId;
use tidings_core::matcher::MatcherType;

use super::super::Options;
use super::super::table::{Joined, Key};
use super::*;

#[test]
fn old_subscribers_get_documents_of_their_own() {
    let table = table(1, &["a/b"]);
    let question = Question {
        dialect: Dialect::V0,
        about: About::Matchers(vec![matcher("a/b")]),
        ..Question::all()
    };
    let id = "/hub/subscriptions/a%2Fb/urn%3Auuid%3A00000000-0000-4000-8000-000000000000";
    let subscriber = "urn:uuid:00000000-0000-4000-8000-000000000000";
    let Found::Page(page) = ask(question, &table).0 else {
        unreachable!("a collection");
    };
    let item = format!(
        r#"{{"id":"{id}","type":"Subscription","subscriber":"{subscriber}","topic":"a/b","active":true}}"#
    );
    assert_eq!((page.items, page.total), (item, Some(1)));
    let question = Question {
        dialect: Dialect::V0,
        about: About::One(vec![matcher("a/b")], subscriber.to_owned()),
        ..Question::all()
    };
    let Found::One(document) = ask(question, &table).0 else {
        unreachable!("one");
    };
    let expected = format!(
        r#"{{"@context":"https://mercure.rocks/","id":"{id}","type":"Subscription","subscriber":"{subscriber}","topic":"a/b","active":true,"lastEventID":"earliest"}}"#
    );
    assert_eq!(document, expected);
}

#[test]
fn a_long_look_takes_several_turns() {
    let patterns: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let table = table(45, &patterns);
    let count = |topic: &str| {
        let question = Question {
            topic: Some(topic.to_owned()),
            count_only: true,
            ..Question::all()
        };
        let (found, turns) = ask(question, &table);
        let Found::Page(page) = found else {
            unreachable!("a collection");
        };
        (page.total, turns)
    };
    assert_eq!(count("7"), (Some(45), 5));
    assert_eq!(count("none"), (Some(0), 5));
}

#[test]
fn a_page_of_long_matchers_ends_before_it_is_long() {
    let long: Vec<String> = (0..40)
        .map(|number| format!("{number}{}", "é/".repeat(1000)))
        .collect();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let table = table(30, &long);
    let (mut after, mut listed, mut pages) = (0, 0, 0);
    loop {
        let question = Question {
            after,
            ..Question::all()
        };
        let Found::Page(page) = ask(question, &table).0 else {
            unreachable!("a collection");
        };
        assert!(
            page.items.len() < PAGE_BYTES_MAX + 100_000,
            "{}",
            page.items.len()
        );
        listed += page.items.matches("\"active\":true").count();
        pages += 1;
        let Some(next) = page.next else { break };
        after = next;
    }
    assert_eq!((listed, pages), (1200, 2));
}

#[test]
fn what_one_question_is_about_does_not_change_with_the_rest() {
    let table_of = |patterns: &[&str]| table(1, patterns);
    let versions = |about: About, table: &Table| {
        Question {
            about,
            ..Question::all()
        }
        .versions(table)
    };
    let (small, large) = (table_of(&["a"]), table_of(&["a", "b"]));
    let about = || About::Matchers(vec![matcher("a")]);
    assert_eq!(versions(about(), &small), versions(about(), &large));
    assert_ne!(versions(About::All, &small), versions(About::All, &large));
    let both = || About::Matchers(vec![matcher("a"), matcher("b")]);
    assert_ne!(versions(both(), &small), versions(both(), &large));
}

/// Returns the result, and in how many turns it was found.
fn ask(question: Question, table: &Table) -> (Found, usize) {
    let (reply, mut answer) = oneshot::channel();
    let path = hub().path().to_owned();
    let mut scan = Some(Scan::new(question, reply, None, "v".into(), path, 10_000));
    let mut turns = 0;
    while let Some(unfinished) = scan {
        scan = unfinished.go_on(table, &hub());
        turns += 1;
    }
    (answer.try_recv().unwrap().found, turns)
}

fn table(subscribers: u32, patterns: &[&str]) -> Table {
    let mut number = 0_u128;
    let random = Box::new(move || {
        number += 1;
        (number - 1).to_be_bytes()
    });
    let mut table = Table::new(Options::DEFAULT, hub(), random, HolderKey::new([0; 32]));
    for slot in 0..subscribers {
        let id = SubscriberId {
            slot,
            generation: 0,
        };
        table.on_joined(Joined {
            key: Key { shard: 0, id },
            matchers: patterns.iter().map(|pattern| matcher(pattern)).collect(),
            identity: None,
        });
    }
    table
}

fn matcher(pattern: &str) -> Matcher {
    Matcher::parse(MatcherType::Exact, pattern, &hub()).unwrap()
}

fn hub() -> HubUrl {
    HubUrl::parse("https://hub.example.com/hub").unwrap()
}
