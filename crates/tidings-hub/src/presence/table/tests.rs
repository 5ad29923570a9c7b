//! Which events are published for joins and leaves, when the history is slow or stores nothing.

use tidings_core::dialect::Dialect;
use tidings_core::matcher::MatcherType;
use tidings_core::topic::Topic;

use super::*;
use tidings_wire::subscription_document::Document;

const STORED: Outcome = Outcome::Stored(Position::ZERO);

#[test]
fn who_goes_before_it_was_mentioned_never_is() {
    let mut table = table();
    join(&mut table, 1, &["a", "b"]);
    table.on_left(key(1), Instant::now());
    assert_eq!((publish_all(&mut table), table.len()), (Vec::new(), 0));
    assert!(table.is_quiet() && table.entries.is_empty());
}

#[test]
fn an_event_that_the_history_did_not_store_is_published_again() {
    let mut table = table();
    join(&mut table, 1, &["a"]);
    let (number, _) = table.next_event().unwrap();
    assert!(table.next_event().is_none() && !table.is_quiet());
    table.on_published(number, Outcome::Refused);
    assert_eq!(publish_all(&mut table), ["a true"]);
    table.on_left(key(1), Instant::now());
    let (number, _) = table.next_event().unwrap();
    table.on_published(number, Outcome::Refused);
    assert_eq!(publish_all(&mut table), ["a false"]);
    assert!(table.is_quiet() && table.entries.is_empty());
}

#[test]
fn an_event_that_is_too_large_waits_alone_until_it_is_due_or_something_changes() {
    let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(30));
    let mut table = table();
    join(&mut table, 1, &["large", "small"]);
    let (number, _) = table.next_event().unwrap();
    let named = table.on_too_large(number, later).unwrap();
    assert!(named.contains("/large/"), "{named}");
    assert_eq!(publish_all(&mut table), ["small true"]);
    assert!(table.is_quiet() && table.len() == 2);
    assert_eq!(table.timeout(), Some(later));
    table.on_timeout(now);
    assert!(table.next_event().is_none());
    // It is told once.
    table.on_timeout(later);
    let (number, _) = table.next_event().unwrap();
    assert_eq!(table.on_too_large(number, later), None);
    // What is tried because of a change as well is not due twice.
    table.queue(number);
    let (number, _) = table.next_event().unwrap();
    assert_eq!(table.on_too_large(number, later), None);
    assert_eq!(table.aside.len(), 1);
    table.on_timeout(later);
    assert_eq!(publish_all(&mut table), ["large true"]);
    // An end is owed until it is stored: others list the subscription.
    table.on_left(key(1), now);
    let (number, _) = table.next_event().unwrap();
    assert!(table.on_too_large(number, later).is_some());
    assert_eq!(publish_all(&mut table), ["small false"]);
    table.on_drain();
    table.on_timeout(later);
    assert_eq!(publish_all(&mut table), ["large false"]);
    assert!(table.entries.is_empty() && table.timeout().is_none());
}

#[test]
fn who_goes_while_its_begin_is_too_large_is_forgotten_at_once() {
    let later = Instant::now() + Duration::from_secs(30);
    for before in [true, false] {
        let mut table = table();
        join(&mut table, 1, &["a"]);
        let (number, _) = table.next_event().unwrap();
        if before {
            table.on_left(key(1), Instant::now());
        }
        table.on_too_large(number, later);
        if !before {
            table.on_left(key(1), Instant::now());
        }
        assert!(table.next_event().is_none() && table.entries.is_empty());
    }
}

#[test]
fn who_goes_while_it_is_being_mentioned_is_ended() {
    let mut table = table();
    join(&mut table, 1, &["a"]);
    let (number, _) = table.next_event().unwrap();
    table.on_left(key(1), Instant::now());
    assert!(table.next_event().is_none());
    table.on_published(number, STORED);
    assert_eq!(publish_all(&mut table), ["a false"]);
}

#[test]
fn ghosts_are_ended_in_their_own_words() {
    let mut first = table();
    join(&mut first, 1, &["a"]);
    let (_, draft) = first.next_event().unwrap();
    let ghost = Announced {
        topics: draft.topics.clone(),
        data: draft.data,
        holder: None,
        note: None,
        position: None,
    };
    let mut table = table();
    assert_eq!(table.take_over(vec![ghost], Instant::now()), 1);
    let (number, ended) = table.next_event().unwrap();
    assert_eq!(ended.topics, draft.topics);
    assert_eq!(ended.presence, Some(Presence::Ends));
    assert!(ended.data.contains(r#""active":false"#));
    table.on_published(number, STORED);
    assert_eq!((publish_all(&mut table), table.len()), (Vec::new(), 0));
    assert!(table.is_quiet() && table.entries.is_empty());
}

#[test]
fn what_is_beyond_the_limit_is_counted_and_not_shown() {
    let options = Options {
        subscriptions_max: 2,
        ..Options::DEFAULT
    };
    let mut table = Table::new(options, hub(), random(), holders());
    assert_eq!(join(&mut table, 1, &["a", "b", "c"]), 1);
    assert_eq!((table.len(), publish_all(&mut table).len()), (2, 2));
    table.on_left(key(1), Instant::now());
    assert_eq!(join(&mut table, 2, &["a", "b"]), 0);
}

#[test]
fn each_of_thousands_with_one_token_gets_its_own_back() {
    let options = Options {
        grace: Duration::from_secs(60),
        ..Options::DEFAULT
    };
    let mut table = Table::new(options, hub(), random(), holders());
    let service = Arc::new(Identity {
        grants: Arc::default(),
        expires_at: u64::MAX,
        dialect: Dialect::V1,
        issuer: "issuer".into(),
        subject: Some("service".into()),
        token_id: None,
    });
    let come = |table: &mut Table, number: u32, patterns: &[&str]| {
        table.on_joined(Joined {
            key: key(number),
            matchers: patterns.iter().map(|pattern| matcher(pattern)).collect(),
            identity: Some(Arc::clone(&service)),
        });
    };
    let count = 3000;
    for number in 0..count {
        come(&mut table, number, &["all", &number.to_string()]);
    }
    // A subscriber without matchers cannot come back.
    come(&mut table, count, &[]);
    publish_all(&mut table);
    for number in 0..=count {
        table.on_left(key(number), Instant::now());
    }
    assert_eq!(table.parked.len(), count as usize);
    for number in (0..count).rev() {
        come(&mut table, number + count, &["all", &number.to_string()]);
    }
    assert_eq!(
        (publish_all(&mut table), table.len()),
        (Vec::new(), 2 * count as usize)
    );
    assert!(table.parked.is_empty() && table.parked_by_matcher.is_empty());
    for number in 0..count {
        table.on_left(key(number + count), Instant::now());
    }
    table.on_timeout(Instant::now() + Duration::from_secs(61));
    assert!(table.parked.is_empty() && table.parked_by_matcher.is_empty());
    assert_eq!(publish_all(&mut table).len(), 2 * count as usize);
    assert!(table.entries.is_empty());
}

#[test]
fn events_have_the_paths_of_both_dialects_if_both_are_spoken() {
    let options = Options {
        old_paths: true,
        ..Options::DEFAULT
    };
    let mut table = Table::new(options, hub(), random(), holders());
    join(&mut table, 1, &["a/b"]);
    let (_, draft) = table.next_event().unwrap();
    let id = "urn%3Auuid%3A00000000-0000-4000-8000-000000000000";
    let topics: Vec<&str> = draft.topics.iter().map(Topic::as_str).collect();
    let base = "/.well-known/mercure/subscriptions";
    assert_eq!(
        topics,
        [
            format!("{base}/exact/a%2Fb/{id}"),
            format!("{base}/a%2Fb/{id}")
        ]
    );
}

#[test]
fn a_subscription_that_becomes_somebody_elses_is_published_again_and_that_is_all_that_changes() {
    let options = Options {
        grace: Duration::from_secs(60),
        ..Options::DEFAULT
    };
    let mut table = Table::new(options, hub(), random(), holders());
    table.on_joined(joined_as("ada"));
    let (number, begun) = table.next_event().unwrap();
    table.on_published(number, STORED);
    let version = table.version();
    table.on_joined(joined_as("ada"));
    assert!(table.next_event().is_none());
    table.on_joined(joined_as("bob"));
    let (number, again) = table.next_event().unwrap();
    table.on_published(number, STORED);
    let bob = Some(holders().holder("issuer", "bob"));
    assert_eq!(again.presence, Some(Presence::Begins(bob)));
    assert_eq!((again.topics, again.data), (begun.topics, begun.data));
    assert_eq!(table.version(), version);
    assert!(table.next_event().is_none());
}

#[test]
fn ghosts_whose_words_this_hub_would_not_say_are_ended_at_once() {
    let options = |old_paths| Options {
        grace: Duration::from_secs(60),
        old_paths,
        ..Options::DEFAULT
    };
    let mut first = Table::new(options(true), hub(), random(), holders());
    let holder = Some(holders().holder("issuer", "ada"));
    first.on_joined(joined_as("ada"));
    let (_, draft) = first.next_event().unwrap();
    assert_eq!(draft.presence, Some(Presence::Begins(holder)));
    let ghost = Announced {
        topics: draft.topics,
        data: draft.data,
        holder,
        note: None,
        position: None,
    };
    let take_over = |old_paths, hub, ghost: &Announced| {
        let mut table = Table::new(options(old_paths), hub, random(), holders());
        let ended = table.take_over(vec![ghost.clone()], Instant::now());
        let published = publish_all(&mut table);
        assert_eq!((ended, published.len()), (1 - table.len(), 1 - table.len()));
        table.len()
    };
    assert_eq!(take_over(true, hub(), &ghost), 1);
    assert_eq!(take_over(false, hub(), &ghost), 0);
    let moved = HubUrl::parse("https://hub.example.com/moved").unwrap();
    assert_eq!(take_over(true, moved, &ghost), 0);
    for (word, by) in [
        ("\"exact\"", "\"inexact\""),
        ("\"match\":\"a\"", "\"match\":\"\""),
        ("}", "]"),
    ] {
        let damaged = Announced {
            data: ghost.data.replace(word, by).into(),
            ..ghost.clone()
        };
        assert_ne!(damaged.data, ghost.data);
        let mut table = Table::new(options(true), hub(), random(), holders());
        assert_eq!(table.take_over(vec![damaged], Instant::now()), 1, "{by}");
    }
}

/// Publishes all events, and returns them.
fn publish_all(table: &mut Table) -> Vec<String> {
    let mut published = Vec::new();
    while let Some((number, draft)) = table.next_event() {
        let document: Document<'_> = serde_json::from_str(&draft.data).unwrap();
        published.push(format!("{} {}", document.pattern, document.active));
        table.on_published(number, STORED);
    }
    published
}

fn join(table: &mut Table, number: u32, patterns: &[&str]) -> usize {
    table.on_joined(Joined {
        key: key(number),
        matchers: patterns.iter().map(|pattern| matcher(pattern)).collect(),
        identity: None,
    })
}

fn matcher(pattern: &str) -> Matcher {
    Matcher::parse(MatcherType::Exact, pattern, &hub()).unwrap()
}

fn key(slot: u32) -> Key {
    let id = SubscriberId {
        slot,
        generation: 0,
    };
    Key { shard: 0, id }
}

/// Returns a subscriber with one matcher, always the same session.
fn joined_as(subject: &str) -> Joined {
    Joined {
        key: key(1),
        matchers: [matcher("a")].into(),
        identity: Some(Arc::new(Identity {
            grants: Arc::default(),
            expires_at: u64::MAX,
            dialect: Dialect::V1,
            issuer: "issuer".into(),
            subject: Some(subject.into()),
            token_id: None,
        })),
    }
}

fn holders() -> HolderKey {
    HolderKey::new([7; 32])
}

fn table() -> Table {
    Table::new(Options::DEFAULT, hub(), random(), holders())
}

fn hub() -> HubUrl {
    HubUrl::parse("https://hub.example.com/.well-known/mercure").unwrap()
}

fn random() -> Random {
    let mut number = 0_u128;
    Box::new(move || {
        number += 1;
        (number - 1).to_be_bytes()
    })
}
