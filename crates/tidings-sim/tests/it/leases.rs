//! Leases of members on their own threads, over the model: who is there, who holds what one of the
//! cluster does, who is claimed, and hubs whose settings differ.
//!
//! The model's clock stands still until a test moves it, so nothing lapses by accident.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidings_cluster::driver::{IfNone, join};
use tidings_cluster::engine::{BootId, EpochId, NodeId, Proposal, Sender};
use tidings_cluster::host::Clustered;
use tidings_cluster::member::{Membership, Options};
use tidings_cluster::record::{Needed, Setting};
use tidings_cluster::roster::{Holder, Roster};
use tidings_cluster::{Epoch, Health, Relay};
use tidings_history::{Handle, Kind, Order, PresenceRetention, Retention};
use tidings_sim::cluster::engine::ModelEngine;
use tidings_sim::cluster::model::Model;

const SECRET: Epoch = Epoch::new([9; 32]);
const DEADLINE: Duration = Duration::from_secs(60);
/// Short, so that rounds come soon.
const LEASE: Duration = Duration::from_millis(90);

#[test]
fn every_hub_sees_the_others_and_where_they_are() {
    let engine = ModelEngine::new(Model::new(None));
    let (one, two) = (Hub::start(&engine, 1, &[]), Hub::start(&engine, 2, &[]));
    one.wait(|roster| {
        roster
            .addresses()
            .any(|address| &**address == "http://hub-2")
    });
    two.wait(|roster| {
        roster
            .addresses()
            .any(|address| &**address == "http://hub-1")
    });
    one.stop();
    two.stop();
}

#[test]
fn what_one_of_the_cluster_does_is_handed_over_when_its_holder_dies() {
    let engine = ModelEngine::new(Model::new(None));
    let (dead, note) = (sender(1), Arc::from(b"sent up to 7".as_slice()));
    engine.with(|model| model.hold("push", dead, 5_000, Some(Arc::clone(&note))));
    let two = Hub::start(&engine, 2, &[]);
    two.wait(|roster| {
        let named = roster.named("push");
        named.is_some_and(|named| named.holder == Holder::Another(dead))
    });
    assert!(!two.roster().holds("push"), "one hub holds it");
    engine.with(|model| model.set_clock(10_000));
    two.wait(|roster| roster.holds("push") && roster.holds("presence"));
    let roster = two.roster();
    let left = roster.named("push").unwrap().note.clone();
    assert_eq!(left, Some(note), "it knows where to go on");
    two.stop();
}

#[test]
fn a_hub_that_stops_hands_over_at_once_with_its_last_note() {
    // The model's clock stands still: nothing lapses.
    let engine = ModelEngine::new(Model::new(None));
    let one = Hub::start(&engine, 1, &[]);
    one.wait(|roster| roster.holds("push"));
    let two = Hub::start(&engine, 2, &[]);
    two.wait(|roster| roster.looks > 2);
    assert!(!two.roster().holds("push"), "one hub holds it");
    two.relay
        .leave("push".into(), Arc::from(b"of another".as_slice()));
    one.relay
        .leave("push".into(), Arc::from(b"early".as_slice()));
    let note = |text: &[u8]| Some(Arc::from(text));
    let left = |roster: &Roster| roster.named("push").and_then(|named| named.note.clone());
    two.wait(|roster| left(roster) == note(b"early"));
    one.relay
        .leave("push".into(), Arc::from(b"last".as_slice()));
    one.stop();
    two.wait(|roster| roster.holds("push") && roster.holds("presence"));
    assert_eq!(left(&two.roster()), note(b"last"));
    two.stop();
}

/// Any peer can ask, by a cursor that nobody knows. Each answer here is followed by the next question.
#[test]
fn questions_without_end_do_not_keep_a_hub_from_its_lease() {
    let engine = ModelEngine::new(Model::new(None));
    let hub = Hub::start(&engine, 1, &[]);
    hub.wait(|roster| roster.looks > 0);
    let goes_on = Arc::new(AtomicBool::new(true));
    for _ in 0..8 {
        ask_again(&hub.relay, &goes_on);
    }
    let before = hub.roster().looks;
    hub.wait(|roster| roster.looks > before + 5);
    goes_on.store(false, Ordering::Relaxed);
    hub.stop();
}

fn ask_again(relay: &Arc<Clustered>, goes_on: &Arc<AtomicBool>) {
    let (next, own) = (Arc::clone(relay), Arc::clone(goes_on));
    let asked = relay.catch_up(Box::new(move |_caught_up| {
        if own.load(Ordering::Relaxed) {
            ask_again(&next, &own);
        }
    }));
    assert!(asked, "a hub of a cluster may be behind");
}

#[test]
fn a_hub_that_dies_is_claimed_by_one_that_lives() {
    let engine = ModelEngine::new(Model::new(None));
    let dead = Hub::start(&engine, 1, &[]);
    let (two, three) = (Hub::start(&engine, 2, &[]), Hub::start(&engine, 3, &[]));
    two.wait(|roster| roster.lists(sender(1)));
    three.wait(|roster| roster.lists(sender(1)));
    dead.stop();
    engine.with(|model| model.set_clock(10_000));
    let claims = |hub: &Hub| hub.roster().claimed.contains(&sender(1));
    wait(|| claims(&two) || claims(&three));
    two.wait(|roster| !roster.lists(sender(1)));
    three.wait(|roster| !roster.lists(sender(1)));
    assert!(claims(&two) != claims(&three), "one of them claims it");
    two.stop();
    three.stop();
}

#[test]
fn a_hub_that_was_claimed_goes_on_as_one_that_has_just_started() {
    let engine = ModelEngine::new(Model::new(None));
    let one = Hub::start(&engine, 1, &[]);
    one.wait(|roster| roster.looks > 0);
    engine.with(|model| model.claim(sender(1), sender(7)));
    one.wait(|roster| roster.me.node == sender(1).node && roster.me != sender(1));
    let two = Hub::start(&engine, 2, &[]);
    let me = one.roster().me;
    two.wait(|roster| roster.lists(me) && !roster.lists(sender(1)));
    let figures = one.relay.figures().cluster.expect("a cluster");
    assert_eq!(figures.counters.claimed_by, 1);
    one.stop();
    two.stop();
}

#[test]
fn what_is_held_is_given_up_while_the_engine_is_away() {
    let engine = ModelEngine::new(Model::new(None));
    let hub = Hub::start(&engine, 1, &[]);
    hub.wait(|roster| roster.holds("push"));
    // Without another look at the engine, whose clock stands still.
    engine.with(|model| model.set_away(true));
    hub.wait(|roster| !roster.holds("push"));
    engine.with(|model| model.set_away(false));
    hub.wait(|roster| roster.holds("push"));
    hub.stop();
}

#[test]
fn a_hub_whose_grants_differ_does_not_become_ready_and_names_the_key() {
    let engine = ModelEngine::new(Model::new(None));
    let one = Hub::start(&engine, 1, &[("auth.issuers", "a", Needed::Equal)]);
    wait(|| one.relay.health() == Health::Ok);
    let two = Hub::start(&engine, 2, &[("auth.issuers", "b", Needed::Equal)]);
    two.wait(|roster| roster.looks > 0);
    let Health::Unavailable { reason } = two.relay.health() else {
        panic!("a hub with other grants must not be ready");
    };
    for part in ["auth.issuers", "http://hub-1", "0000000000000001"] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    // The one that serves goes on, whatever comes later.
    one.wait(|roster| roster.lists(sender(2)));
    assert_eq!(one.relay.health(), Health::Ok);
    one.stop();
    engine.with(|model| model.set_clock(10_000));
    wait(|| two.relay.health() == Health::Ok);
    two.stop();
}

#[test]
fn a_hub_that_differs_in_something_small_is_ready() {
    let engine = ModelEngine::new(Model::new(None));
    let one = Hub::start(&engine, 1, &[("limits.body", "1", Needed::Similar)]);
    one.wait(|roster| roster.looks > 0);
    let two = Hub::start(&engine, 2, &[("limits.body", "2", Needed::Similar)]);
    wait(|| two.relay.health() == Health::Ok);
    one.stop();
    two.stop();
}

struct Hub {
    relay: Arc<Clustered>,
    history: Handle,
}

impl Hub {
    fn start(engine: &ModelEngine, node: u64, settings: &[(&str, &str, Needed)]) -> Self {
        let setting = |(key, value, needed): &(&str, &str, Needed)| Setting {
            group: "grants".into(),
            needed: *needed,
            key: (*key).into(),
            value: (*value).into(),
        };
        let member = Options {
            me: sender(node),
            wait_max: DEADLINE,
            waiting_max: 1000,
            waiting_bytes_max: 1024 * 1024,
            membership: Membership {
                lease: LEASE,
                address: Some(format!("http://hub-{node}").into()),
                settings: settings.iter().map(setting).collect(),
                names: Arc::new(["presence".into(), "push".into()]),
                ..Membership::default()
            },
        };
        let proposal = Proposal {
            epoch: EpochId::new(1),
            secret: Some(SECRET),
        };
        let relay = join(
            Box::new(engine.clone()),
            None,
            member,
            IfNone::Make(proposal, Duration::ZERO),
            DEADLINE,
        );
        let relay = Arc::new(relay.expect("an engine that answers"));
        let options = tidings_history::Options {
            kind: Kind::Memory,
            retention: Retention {
                age_max: None,
                updates_max: None,
                bytes_max: None,
                presence: PresenceRetention::DEFAULT,
            },
            queue_max: 1000,
            group_max: 100,
            reads_max: 1000,
            cache_bytes_max: 1024,
            order: Order::Relay(SECRET),
        };
        let clock = Box::new(|| tidings_history::Reading {
            wall_ms: 0,
            steady: Duration::ZERO,
        });
        let history = tidings_history::start(options, Box::new(drop), clock).expect("a history");
        relay.start(Arc::new(history.clone())).expect("a relay");
        Self { relay, history }
    }

    fn roster(&self) -> Arc<Roster> {
        let roster = self.relay.roster().expect("a relay of a cluster");
        let roster = roster.borrow().clone();
        roster.unwrap_or_else(|| Arc::new(Roster::unknown(sender(0), LEASE)))
    }

    #[track_caller]
    fn wait(&self, mut until: impl FnMut(&Roster) -> bool) {
        wait(|| until(&self.roster()));
    }

    fn stop(self) {
        self.relay.stop();
        self.history.close();
    }
}

fn sender(node: u64) -> Sender {
    Sender {
        node: NodeId::new(node),
        boot: BootId::new(1),
    }
}

#[track_caller]
fn wait(mut until: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !until() {
        assert!(Instant::now() < end, "this takes too long");
        std::thread::yield_now();
    }
}
