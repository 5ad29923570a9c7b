//! Tables of several hubs that hear of each other by one log.

use std::time::Duration;

use tidings_auth::Identity;
use tidings_cluster::engine::{BootId, NodeId, Origin};
use tidings_core::dialect::Dialect;
use tidings_core::event_id::EventId;
use tidings_core::holder::HolderKey;
use tidings_core::hub::SubscriberId;
use tidings_core::hub_url::HubUrl;
use tidings_core::update::IdSource;

use super::super::{Joined, Key, Options, Outcome};
use super::*;
use crate::control::Message;

#[test]
fn what_one_hub_says_the_others_list_under_the_same_number_and_version() {
    let mut log = Log::new(2);
    log.join(0, 1, "ada", &["a", "b"]);
    log.join(1, 1, "bob", &["a"]);
    log.settle();
    assert_eq!(log.lists(0), log.lists(1));
    assert_eq!(log.lists(0).len(), 3);
    assert_eq!(log.tables[0].version(), log.tables[1].version());
    assert_eq!((log.tables[0].own(), log.tables[1].own()), (2, 1));
    log.leave(0, 1);
    log.settle();
    assert_eq!(log.lists(0), log.lists(1));
    assert_eq!(log.lists(1).len(), 1);
    assert_eq!(log.tables[0].version(), log.tables[1].version());
}

#[test]
fn a_hub_ends_the_subscriptions_of_one_that_died() {
    let mut log = Log::new(3);
    log.join(0, 1, "ada", &["a", "b"]);
    log.settle();
    log.dies(0);
    assert_eq!(log.tables[1].take_over_run(run(0), log.now), 2);
    log.settle();
    assert_eq!((log.lists(1), log.lists(2)), (vec![], vec![]));
    assert_eq!(log.tables[2].runs().count(), 0);
}

#[test]
fn who_comes_back_within_the_grace_period_keeps_its_identifier() {
    let mut log = Log::with_grace(3, Duration::from_secs(60));
    log.join(0, 1, "ada", &["a"]);
    log.settle();
    let before = log.lists(1);
    log.dies(0);
    log.tables[1].take_over_run(run(0), log.now);
    log.settle();
    assert_eq!(log.lists(2), before, "until the grace period is over");
    let owners: Vec<Sender> = log.tables[2].runs().collect();
    assert_eq!(owners, [run(1)], "the others know who answers for it");
    log.join(1, 1, "ada", &["a"]);
    log.settle();
    assert_eq!((log.lists(1), log.lists(2)), (before.clone(), before));
}

#[test]
fn the_grace_period_ends_for_who_does_not_come_back() {
    let mut log = Log::with_grace(2, Duration::from_secs(60));
    log.join(0, 1, "ada", &["a"]);
    log.settle();
    log.dies(0);
    log.tables[1].take_over_run(run(0), log.now);
    log.settle();
    log.now += Duration::from_secs(61);
    let now = log.now;
    log.tables[1].on_timeout(now);
    log.settle();
    assert_eq!(log.lists(1), []);
}

#[test]
fn a_hub_that_was_taken_for_dead_says_again_what_it_has() {
    let mut log = Log::new(2);
    log.join(0, 1, "ada", &["a"]);
    log.settle();
    let before = log.lists(1);
    log.tables[1].take_over_run(run(0), log.now);
    log.settle();
    assert_eq!((log.lists(0), log.lists(1)), (before.clone(), before));
    let owners: Vec<Sender> = log.tables[1].runs().collect();
    assert_eq!(owners, [run(0)]);
}

#[test]
fn a_hub_that_missed_events_asks_and_the_others_forget_what_is_not_said() {
    let mut log = Log::new(2);
    log.join(0, 1, "ada", &["a"]);
    log.join(0, 2, "bob", &["b"]);
    log.settle();
    // The second hub misses an end and a begin.
    log.leave(0, 1);
    log.join(0, 3, "eve", &["c"]);
    log.settle_without(1);
    assert_ne!(log.lists(0), log.lists(1));
    log.call_the_roll();
    log.settle();
    assert_eq!(log.lists(0), log.lists(1));
    assert_eq!(log.tables[0].version(), log.tables[1].version());
    let for_watchers = log
        .events
        .iter()
        .filter(|event| event.position > log.called && !event.visibility.is_for_hubs());
    assert_eq!(for_watchers.count(), 0, "watchers hear nothing of it");
}

#[test]
fn a_begin_in_doubt_is_ended_if_nobody_wants_it_any_more() {
    let mut log = Log::new(1);
    log.join(0, 1, "ada", &["a"]);
    let (number, draft) = log.tables[0].next_event().unwrap();
    log.store(0, draft);
    log.tables[0].on_published(number, Outcome::InDoubt);
    log.leave(0, 1);
    log.settle();
    let last = log.events.last().unwrap();
    assert_eq!(last.presence, Some(Presence::Ends));
    assert!(log.tables[0].is_quiet());
}

/// A hub that left another line publishes anew what that line had, maybe after what followed it there.
#[test]
fn a_begin_that_comes_again_after_its_end_is_ended_again() {
    for result_first in [true, false] {
        let mut log = Log::new(2);
        log.join(0, 1, "ada", &["a"]);
        let (number, begin) = log.tables[0].next_event().unwrap();
        let position = log.store(0, begin.clone());
        log.tables[0].on_published(number, Outcome::Stored(position));
        log.leave(0, 1);
        let (number, end) = log.tables[0].next_event().unwrap();
        let ended = log.store(0, end);
        log.store(0, begin);
        if result_first {
            log.tables[0].on_published(number, Outcome::Stored(ended));
        }
        let events = log.events.clone();
        log.heard[0] = events.len();
        events.iter().for_each(|event| log.hear(0, event));
        if !result_first {
            log.tables[0].on_published(number, Outcome::Stored(ended));
        }
        log.settle();
        let last = log.events.last().unwrap();
        assert_eq!(last.presence, Some(Presence::Ends), "{result_first}");
        assert_eq!((log.lists(0), log.lists(1)), (vec![], vec![]));
        assert!(log.tables[0].is_quiet());
    }
}

/// Another hub ended what this one had, and a hub that left another line published the begin anew, while
/// an event of this hub was on its way and came to nothing.
#[test]
fn a_begin_that_comes_again_is_not_forgotten_with_an_event_that_was_not_stored() {
    for (outcome, leaves_first) in [
        (Outcome::Refused, true),
        (Outcome::InDoubt, true),
        (Outcome::Refused, false),
    ] {
        let mut log = Log::new(2);
        log.join(0, 1, "ada", &["a"]);
        let (number, begin) = log.tables[0].next_event().unwrap();
        let position = log.store(0, begin.clone());
        log.tables[0].on_published(number, Outcome::Stored(position));
        log.settle();
        let end = tidings_core::update::Draft {
            presence: Some(Presence::Ends),
            ..begin.clone()
        };
        if leaves_first {
            log.leave(0, 1);
            log.tables[0].next_event().unwrap();
        }
        log.store(1, end);
        if !leaves_first {
            // It hears that it was ended, and begins again.
            let ended = log.events.last().unwrap().clone();
            log.hear(0, &ended);
            log.tables[0].next_event().unwrap();
            log.heard[0] += 1;
        }
        log.store(0, begin);
        let heard = std::mem::replace(&mut log.heard[0], log.events.len());
        let events = log.events.clone();
        events[heard..].iter().for_each(|event| log.hear(0, event));
        if !leaves_first {
            log.leave(0, 1);
        }
        log.tables[0].on_published(number, outcome);
        log.settle();
        let last = log.events.last().unwrap();
        assert_eq!(
            last.presence,
            Some(Presence::Ends),
            "{outcome:?} {leaves_first}"
        );
        assert_eq!((log.lists(0), log.lists(1)), (vec![], vec![]));
        assert!(log.tables[0].is_quiet());
    }
}

/// One log, and the tables of the hubs that hear it.
struct Log {
    tables: Vec<Table>,
    alive: Vec<bool>,
    heard: Vec<usize>,
    events: Vec<Arc<Update>>,
    called: Position,
    now: Instant,
}

impl Log {
    fn new(hubs: u64) -> Self {
        Self::with_grace(hubs, Duration::ZERO)
    }

    fn with_grace(hubs: u64, grace: Duration) -> Self {
        let now = Instant::now();
        let table = |hub: u64| {
            let options = Options {
                grace,
                ..Options::DEFAULT
            };
            let mut number = u128::from(hub) << 64;
            let random = Box::new(move || {
                number += 1;
                number.to_be_bytes()
            });
            let mut table = Table::new(options, hub_url(), random, HolderKey::new([7; 32]));
            table.join(run(hub), Vec::new(), now);
            table
        };
        Self {
            tables: (0..hubs).map(table).collect(),
            alive: (0..hubs).map(|_| true).collect(),
            heard: (0..hubs).map(|_| 0).collect(),
            events: Vec::new(),
            called: Position::ZERO,
            now,
        }
    }

    fn join(&mut self, hub: usize, session: u32, subject: &str, patterns: &[&str]) {
        let matcher =
            |pattern: &&str| Matcher::parse(MatcherType::Exact, pattern, &hub_url()).unwrap();
        self.tables[hub].on_joined(Joined {
            key: key(session),
            matchers: patterns.iter().map(matcher).collect(),
            identity: Some(Arc::new(Identity {
                grants: Arc::default(),
                expires_at: u64::MAX,
                dialect: Dialect::V1,
                issuer: "issuer".into(),
                subject: Some(subject.into()),
                token_id: None,
            })),
        });
    }

    fn leave(&mut self, hub: usize, session: u32) {
        let now = self.now;
        self.tables[hub].on_left(key(session), now);
    }

    fn dies(&mut self, hub: usize) {
        self.alive[hub] = false;
    }

    fn call_the_roll(&mut self) {
        self.store(1, Message::RollCall.draft(&hub_url()));
        self.called = self.events.last().unwrap().position;
    }

    fn store(&mut self, hub: usize, draft: tidings_core::update::Draft) -> Position {
        let position = Position::new(self.events.len() as u64 + 1);
        let origin = Origin {
            sender: run(hub as u64),
            batch: position.get(),
            index: 0,
        };
        self.events.push(Arc::new(Update {
            trace: None,
            position,
            print: None,
            id: EventId::parse("x").unwrap(),
            id_source: IdSource::Hub,
            published_ms: 0,
            topics: draft.topics,
            data: draft.data,
            visibility: draft.visibility,
            event_type: draft.event_type,
            retry_ms: None,
            presence: draft.presence,
            note: Some(Note { origin, key: None }.encode()),
        }));
        position
    }

    fn settle(&mut self) {
        self.settle_without(usize::MAX);
    }

    /// Publishes and hears until nothing is left. One hub does not hear, and never will.
    fn settle_without(&mut self, deaf: usize) {
        for _ in 0..10 {
            for hub in 0..self.tables.len() {
                while let Some((number, draft)) = self.alive[hub]
                    .then(|| self.tables[hub].next_event())
                    .flatten()
                {
                    let position = self.store(hub, draft);
                    self.tables[hub].on_published(number, Outcome::Stored(position));
                }
            }
            for hub in 0..self.tables.len() {
                let from = std::mem::replace(&mut self.heard[hub], self.events.len());
                let events: Vec<Arc<Update>> = self.events[from..].to_vec();
                for event in events {
                    if hub != deaf {
                        self.hear(hub, &event);
                    }
                }
            }
        }
    }

    fn hear(&mut self, hub: usize, event: &Update) {
        let table = &mut self.tables[hub];
        let run = run_of(event.note.as_deref().unwrap()).unwrap();
        match Message::of(event) {
            Some(Message::RollCall) => table.on_roll_call(event.position),
            Some(Message::Present { called }) => table.on_present(run, Position::new(called)),
            Some(message) => panic!("{message:?}"),
            None => assert_eq!(table.on_event(event, self.now), Heard::Noted),
        }
    }

    fn lists(&self, hub: usize) -> Vec<(Number, String, String)> {
        let live = self.tables[hub].after(0);
        live.map(|(number, live)| {
            let pattern = live.matcher.pattern().to_owned();
            (number, live.subscriber.to_string(), pattern)
        })
        .collect()
    }
}

fn run(hub: u64) -> Sender {
    Sender {
        node: NodeId::new(hub + 1),
        boot: BootId::new(1),
    }
}

fn key(slot: u32) -> Key {
    let id = SubscriberId {
        slot,
        generation: 0,
    };
    Key { shard: 0, id }
}

fn hub_url() -> HubUrl {
    HubUrl::parse("https://hub.example.com/.well-known/mercure").unwrap()
}
