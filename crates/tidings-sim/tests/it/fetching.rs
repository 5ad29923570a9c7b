//! Members on their own threads that ask another hub for what the model does not keep any more, and
//! are given what they must not believe.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use tidings_cluster::driver::{IfNone, join};
use tidings_cluster::engine::{BootId, EpochId, NodeId, Proposal, Sender};
use tidings_cluster::host::Clustered;
use tidings_cluster::member::{Counters, Membership, Options};
use tidings_cluster::page::{self, Ask, Page};
use tidings_cluster::peers::{PeerCall, PeerError, Peers};
use tidings_cluster::{Epoch, Health, History as _, Relay, RelayError};
use tidings_core::position::Position;
use tidings_core::topic::Topic;
use tidings_core::update::{Draft, Topics, Visibility};
use tidings_history::{Handle, Kind, Order, PresenceRetention, Retention, start};
use tidings_sim::cluster::engine::ModelEngine;
use tidings_sim::cluster::model::Model;

const SECRET: Epoch = Epoch::new([9; 32]);
const DEADLINE: Duration = Duration::from_secs(60);
/// The engine keeps what comes after it.
const BEFORE_WINDOW: u64 = 14;
const LAST: u64 = 20;

#[test]
fn what_another_hub_gives_is_stored_and_nothing_is_missing() {
    let (engine, one) = line_of("right");
    let two = Hub::join(&engine, 2, history(), Some(&one.history));
    two.wait_for_end(&one);
    let counters = two.counters();
    assert!(counters.fetched >= BEFORE_WINDOW, "{counters:?}");
    assert_eq!((counters.failed_fetches, counters.holes), (0, 0));
    assert_eq!(two.history.oldest(), Position::new(1));
}

/// The hub has the beginning of the engine's line, and another hub a line of its own.
#[test]
fn a_page_of_another_line_is_not_stored() {
    let (engine, one) = line_of("right");
    let (_, wrong) = line_of("wrong");
    let own = history();
    copy(&one.history, &own, 5);
    let two = Hub::join(&engine, 2, own, Some(&wrong.history));
    two.wait_for_end(&one);
    let counters = two.counters();
    assert_eq!((counters.fetched, counters.forks), (0, 0), "{counters:?}");
    assert_eq!((counters.failed_fetches, counters.holes), (1, 1));
    assert_eq!(two.history.oldest(), Position::new(BEFORE_WINDOW + 1));
}

/// A hub without a history cannot tell one line from another until it compares with the engine.
#[test]
fn another_line_is_noticed_at_the_engines_window() {
    let (engine, one) = line_of("right");
    let (_, wrong) = line_of("wrong");
    let two = Hub::join(&engine, 2, history(), Some(&wrong.history));
    two.wait_for_end(&one);
    let counters = two.counters();
    assert_eq!(counters.forks, 1, "{counters:?}");
    assert!(counters.fetched > 0);
}

/// Nothing of the other line is at a position that the engine keeps too.
#[test]
fn another_line_that_ends_before_the_engines_window_is_noticed_too() {
    let (engine, one) = line_of("right");
    let (_, wrong) = line_of("wrong");
    let short = history();
    copy(&wrong.history, &short, BEFORE_WINDOW);
    let two = Hub::join(&engine, 2, history(), Some(&short));
    two.wait_for_end(&one);
    let counters = two.counters();
    assert_eq!(counters.forks, 1, "{counters:?}");
    assert_eq!(two.history.oldest(), Position::new(BEFORE_WINDOW + 1));
}

/// Returns an engine with a line of which it keeps the end, and a hub that has all.
fn line_of(text: &str) -> (ModelEngine, Hub) {
    let engine = ModelEngine::new(Model::new(None));
    let hub = Hub::join(&engine, 1, history(), None);
    for number in 0..LAST {
        hub.publish(&format!("{text} {number}"));
    }
    engine.with(|model| model.trim_before(Position::new(BEFORE_WINDOW + 1)));
    (engine, hub)
}

struct Hub {
    relay: Clustered,
    history: Handle,
}

impl Hub {
    /// Starts a hub that asks `peer`, wherever the address leads.
    fn join(engine: &ModelEngine, node: u64, history: Handle, peer: Option<&Handle>) -> Self {
        let options = Options {
            me: Sender {
                node: NodeId::new(node),
                boot: BootId::new(1),
            },
            wait_max: DEADLINE,
            waiting_max: 100,
            waiting_bytes_max: 1024 * 1024,
            membership: Membership {
                address: Some(format!("http://hub-{node}").into()),
                ..Membership::default()
            },
        };
        let proposal = Proposal {
            epoch: EpochId::new(1),
            secret: Some(SECRET),
        };
        let if_none = IfNone::Make(proposal, Duration::ZERO);
        let peers = peer.map(|peer| Box::new(One(peer.clone())) as Box<dyn Peers>);
        let relay = join(Box::new(engine.clone()), peers, options, if_none, DEADLINE);
        let relay = relay.expect("an engine that answers");
        relay
            .start(Arc::new(history.clone()))
            .expect("a relay that starts once");
        Self { relay, history }
    }

    fn publish(&self, data: &str) {
        let (tx, rx) = sync_channel(1);
        let done = Box::new(move |taken| drop(tx.send(taken)));
        let draft = Draft {
            trace: None,
            topics: Topics::one(Topic::parse("/news/1").expect("a topic")),
            data: data.into(),
            visibility: Visibility::Public,
            id: None,
            event_type: None,
            retry_ms: None,
            presence: None,
        };
        let queued = self.relay.publish(draft, None, done);
        queued.expect("a relay that runs");
        let taken = rx.recv_timeout(DEADLINE).expect("an answer");
        taken.expect("an update");
    }

    fn counters(&self) -> Counters {
        let figures = self.relay.figures();
        figures.cluster.expect("figures of a cluster").counters
    }

    /// Waits until the hub follows, and has what `other` has.
    #[track_caller]
    fn wait_for_end(&self, other: &Self) {
        wait(|| self.relay.health() == Health::Ok && self.history.last() >= Position::new(LAST));
        let (tip, wanted) = (self.history.tip(), other.history.tip());
        assert_eq!(tip, wanted, "position and print");
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.relay.stop();
    }
}

/// The only other hub.
#[derive(Debug)]
struct One(Handle);

impl Peers for One {
    fn fetch(&self, _address: Arc<str>, ask: Ask) -> PeerCall<'_> {
        let page = read(&self.0, ask);
        Box::pin(async move {
            page.map_err(|error| PeerError::Unreachable {
                cause: Arc::new(error),
            })
        })
    }
}

fn read(history: &Handle, ask: Ask) -> Result<Page, RelayError> {
    let (tx, rx) = sync_channel(1);
    let done = Box::new(move |page| drop(tx.send(page)));
    page::answer(history, ask, done)?;
    rx.recv_timeout(DEADLINE).expect("an answer")
}

/// Stores the first updates of one history in another.
fn copy(from: &Handle, to: &Handle, through: u64) {
    let (tx, rx) = sync_channel(1);
    let done = Box::new(move |stretch| drop(tx.send(stretch)));
    let through = Position::new(through);
    from.stretch(Position::new(1), through, u64::MAX, done)
        .expect("a history that reads");
    let stretch: tidings_cluster::Stretch = rx
        .recv_timeout(DEADLINE)
        .expect("an answer")
        .expect("updates");
    let batch = tidings_cluster::Batch::take(&mut stretch.updates.into()).expect("updates");
    let (tx, rx) = sync_channel(1);
    let done = Box::new(move |stored| drop(tx.send(stored)));
    to.append_ordered(batch, done)
        .expect("a history that stores");
    let stored = rx.recv_timeout(DEADLINE).expect("an answer");
    assert_eq!(
        stored.expect("stored").last().map(|last| last.position),
        Some(through)
    );
}

fn history() -> Handle {
    let options = tidings_history::Options {
        kind: Kind::Memory,
        retention: Retention {
            age_max: None,
            updates_max: None,
            bytes_max: None,
            presence: PresenceRetention::DEFAULT,
        },
        queue_max: 100,
        group_max: 100,
        reads_max: 100,
        cache_bytes_max: 1024,
        order: Order::Relay(SECRET),
    };
    let history = start(options, Box::new(|_| {}), Box::new(Default::default));
    history.expect("a history in memory")
}

/// Waits until something holds.
#[track_caller]
fn wait(holds: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "it took too long");
        std::thread::yield_now();
    }
}
