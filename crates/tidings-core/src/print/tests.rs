//! Prints vouch for every field, and for every update before.

use expect_test::expect;

use super::{Print, PrintKey};
use crate::event_id::EventId;
use crate::position::Position;
use crate::target::{Target, Targets};
use crate::topic::Topic;
use crate::update::{Draft, EventType, Presence, Topics, Visibility};

#[test]
fn a_print_of_fixed_keys_never_changes() {
    let first = key().print(None, Position::new(1), 1_800_000_000_000, &draft());
    let second = key().print(Some(first), Position::new(2), 1_800_000_000_001, &full());
    expect![[r#"
        [
            "d3cf921158771d943befba2e3edeeeae",
            "37359b2fa194a7593ed11c08f3ab528b",
        ]
    "#]]
    .assert_debug_eq(&[first, second].map(|print| {
        let hex = |byte: &u8| format!("{byte:02x}");
        print.bytes().iter().map(hex).collect::<String>()
    }));
}

#[test]
fn each_field_counts() {
    let variants = variants();
    let print = |draft: &Draft| key().print(Some(BEFORE), Position::new(7), 5, draft);
    for (index, one) in variants.iter().enumerate() {
        for other in variants.iter().skip(index + 1) {
            assert_ne!(print(one), print(other), "{one:?} {other:?}");
        }
    }
}

/// Returns drafts that differ in one field each, and some that would hash the same bytes if fields
/// were not length-prefixed.
fn variants() -> Vec<Draft> {
    let topics = |names: &[&str]| Topics::new(names.iter().copied().map(topic).collect()).unwrap();
    let private = Visibility::Private;
    let targets = |names: &[&str]| {
        let names = names.iter().map(|name| Target::parse(name).unwrap());
        Visibility::Targeted(Targets::new(names.collect()).unwrap().unwrap())
    };
    vec![
        draft(),
        full(),
        Draft {
            data: "other".into(),
            ..draft()
        },
        Draft {
            data: "".into(),
            ..draft()
        },
        Draft {
            topics: topics(&["a", "b"]),
            ..draft()
        },
        Draft {
            topics: topics(&["b", "a"]),
            ..draft()
        },
        Draft {
            topics: topics(&["ab"]),
            ..draft()
        },
        Draft {
            visibility: private,
            ..draft()
        },
        Draft {
            visibility: targets(&["a", "b"]),
            ..draft()
        },
        Draft {
            visibility: targets(&["ab", ""]),
            ..draft()
        },
        Draft {
            id: Some(EventId::parse("i").unwrap()),
            ..draft()
        },
        Draft {
            event_type: Some(EventType::parse("i").unwrap()),
            ..draft()
        },
        Draft {
            retry_ms: Some(0),
            ..draft()
        },
        Draft {
            retry_ms: Some(1),
            ..draft()
        },
        Draft {
            presence: Some(Presence::Begins(None)),
            ..draft()
        },
        Draft {
            presence: Some(Presence::Ends),
            ..draft()
        },
    ]
}

#[test]
fn place_time_epoch_and_the_line_before_count() {
    let print = key().print(Some(BEFORE), Position::new(7), 5, &draft());
    let others = [
        key().print(Some(BEFORE), Position::new(8), 5, &draft()),
        key().print(Some(BEFORE), Position::new(7), 6, &draft()),
        key().print(Some(Print::new([2; 16])), Position::new(7), 5, &draft()),
        key().print(None, Position::new(7), 5, &draft()),
        PrintKey::new([8; 32]).print(Some(BEFORE), Position::new(7), 5, &draft()),
    ];
    assert!(!others.contains(&print));
    assert_eq!(
        print,
        key().print(Some(BEFORE), Position::new(7), 5, &draft())
    );
}

#[test]
fn lines_that_parted_never_meet_again() {
    let line = |first: &str| {
        let mut print = None;
        for number in 1..100 {
            let data = if number == 1 { first } else { "the same" };
            let draft = Draft {
                data: data.into(),
                ..draft()
            };
            print = Some(key().print(print, Position::new(number), number, &draft));
        }
        print
    };
    assert_eq!(line("one"), line("one"));
    assert_ne!(line("one"), line("other"));
}

#[test]
fn a_digest_vouches_for_each_field_and_for_the_note() {
    let mut all: Vec<_> = variants()
        .iter()
        .map(|draft| key().digest(draft, b"note"))
        .collect();
    all.extend([b"".as_slice(), b"not", b"notes"].map(|note| key().digest(&draft(), note)));
    for (index, one) in all.iter().enumerate() {
        assert!(!all[index + 1..].contains(one));
    }
    assert_eq!(all[0], key().digest(&draft(), b"note"));
    assert_ne!(all[0], PrintKey::new([9; 32]).digest(&draft(), b"note"));
}

fn draft() -> Draft {
    Draft {
        trace: None,
        topics: Topics::one(topic("https://example.com/books/1")),
        data: "text".into(),
        visibility: Visibility::Public,
        id: None,
        event_type: None,
        retry_ms: None,
        presence: None,
    }
}

/// Returns a draft with a value in every field.
fn full() -> Draft {
    let targets = ["one", "", "two"].map(|name| Target::parse(name).unwrap());
    let targets = Targets::new(targets.to_vec()).unwrap().unwrap();
    Draft {
        trace: None,
        topics: Topics::new(vec![topic("a"), topic("é")]).unwrap(),
        data: "line\nline\0".into(),
        visibility: Visibility::Targeted(targets),
        id: Some(EventId::parse("urn:example:1").unwrap()),
        event_type: Some(EventType::parse("note").unwrap()),
        retry_ms: Some(u64::MAX),
        presence: Some(Presence::Ends),
    }
}

fn topic(name: &str) -> Topic {
    Topic::parse(name).unwrap()
}

fn key() -> PrintKey {
    PrintKey::new(std::array::from_fn(|index| u8::try_from(index).unwrap()))
}

const BEFORE: Print = Print::new([1; 16]);
