//! Relays of hubs over an engine, each with a history of its own in memory.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tidings_cluster::driver::{IfNone, join};
use tidings_cluster::engine::{BootId, Engine, EpochId, NodeId, Proposal, Sender};
use tidings_cluster::host::Clustered;
use tidings_cluster::{Epoch, Health, History as _, Relay, RelayError, member};
use tidings_core::{Draft, Position, Topic, Topics, Update, Visibility};
use tidings_history::{Handle, Kind, Order, PresenceRetention, Retention, start};

use crate::waiting::{DEADLINE, answer_of};

/// The secret of the cluster.
pub const SECRET: Epoch = Epoch::new([9; 32]);

/// What comes of a publish.
pub type Answer = Receiver<Result<Arc<Update>, RelayError>>;

/// A relay and its history.
#[derive(Debug)]
pub struct RelayHub {
    /// The relay.
    pub relay: Clustered,
    /// Its history.
    pub history: Handle,
}

impl RelayHub {
    /// Starts hub `node`, which begins the cluster if there is none.
    ///
    /// # Panics
    ///
    /// If it cannot join.
    #[must_use]
    pub fn start(engine: Box<dyn Engine>, node: u64) -> Self {
        let member = member::Options {
            me: Sender {
                node: NodeId::new(node),
                boot: BootId::new(1),
            },
            wait_max: DEADLINE,
            waiting_max: 1000,
            waiting_bytes_max: 1024 * 1024,
            membership: member::Membership::default(),
        };
        let proposal = Proposal {
            epoch: EpochId::new(1),
            secret: Some(SECRET),
        };
        let if_none = IfNone::Make(proposal, Duration::ZERO);
        let relay = join(engine, None, member, if_none, DEADLINE).unwrap();
        let history = tidings_history::Options {
            kind: Kind::Memory,
            retention: Retention {
                age_max: None,
                updates_max: None,
                bytes_max: None,
                presence: PresenceRetention::DEFAULT,
            },
            queue_max: 1000,
            group_max: 100,
            reads_max: 100,
            cache_bytes_max: 1024,
            order: Order::Own(SECRET),
        };
        let history = history.ordered_by(relay.epoch());
        let history = start(history, Box::new(|_| {}), Box::new(Default::default)).unwrap();
        relay.start(Arc::new(history.clone())).unwrap();
        Self { relay, history }
    }

    /// Starts hubs 1 and 2, each with an engine of its own.
    #[must_use]
    pub fn two(engine: impl Fn() -> Box<dyn Engine>) -> [Self; 2] {
        [1, 2].map(|node| Self::start(engine(), node))
    }

    /// Publishes an update with this data.
    #[must_use]
    pub fn publish(&self, data: &str) -> Answer {
        self.publish_draft(draft(data))
    }

    /// Publishes an update.
    ///
    /// # Panics
    ///
    /// If the relay takes nothing.
    #[must_use]
    pub fn publish_draft(&self, draft: Draft) -> Answer {
        let (tx, rx) = sync_channel(1);
        let done = Box::new(move |taken| drop(tx.send(taken)));
        self.relay.publish(draft, None, done).unwrap();
        rx
    }

    /// Stops it.
    pub fn stop(self) {
        self.relay.stop();
        self.history.close();
    }
}

/// Publishes numbers by one hub after the other, and waits for the answers.
///
/// # Panics
///
/// If one is refused.
#[track_caller]
pub fn publish_by_turns(hubs: &[RelayHub], numbers: Range<u32>) {
    let publish = |number: u32| hubs[number as usize % hubs.len()].publish(&number.to_string());
    let answers: Vec<_> = numbers.map(publish).collect();
    for answer in answers {
        answer.recv_timeout(DEADLINE).unwrap().unwrap();
    }
}

/// Waits until all histories end at `last`, with the same print, and all hubs are well.
///
/// # Panics
///
/// If they do not.
#[track_caller]
pub fn wait_for_equal(hubs: &[RelayHub], last: u64) {
    let is_there = |hub: &RelayHub| {
        hub.history.last() == Position::new(last) && hub.relay.health() == Health::Ok
    };
    let all_are = answer_of(|| hubs.iter().all(is_there).then_some(()));
    // Whether a hub lags, or has an update twice.
    let told: Vec<_> = hubs
        .iter()
        .map(|hub| (hub.history.last(), hub.relay.health(), hub.relay.figures()))
        .collect();
    assert!(all_are.is_some(), "not all are well at {last}: {told:#?}");
    for hub in hubs {
        assert_eq!(hub.history.tip(), hubs[0].history.tip());
    }
}

/// Returns a public update about `/news/1`.
///
/// # Panics
///
/// Never: that is a topic.
#[must_use]
pub fn draft(data: &str) -> Draft {
    Draft {
        trace: None,
        topics: Topics::one(Topic::parse("/news/1").unwrap()),
        data: data.into(),
        visibility: Visibility::Public,
        id: None,
        event_type: None,
        retry_ms: None,
        presence: None,
    }
}
