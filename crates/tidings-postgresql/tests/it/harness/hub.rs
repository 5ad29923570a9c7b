//! A whole relay over a real server.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tidings_cluster::driver::{IfNone, join};
use tidings_cluster::engine::{BootId, EpochId, NodeId, Proposal, Sender};
use tidings_cluster::host::Clustered;
use tidings_cluster::member;
use tidings_cluster::{Epoch, Health, History as _, Relay, RelayError};
use tidings_core::{Draft, Position, Topic, Topics, Update, Visibility};
use tidings_history::{Handle, Kind, Order, PresenceRetention, Retention, start};
use tidings_postgresql::{Options, Postgresql};

use super::{DEADLINE, wait_until};

const SECRET: Epoch = Epoch::new([9; 32]);

/// Publishes numbers by one hub after the other, and waits for the answers.
#[track_caller]
pub(crate) fn publish_by_turns(hubs: &[Hub; 2], numbers: std::ops::Range<u32>) {
    let publish = |number: u32| hubs[number as usize % 2].publish(&number.to_string());
    let answers: Vec<_> = numbers.map(publish).collect();
    for answer in answers {
        answer.recv_timeout(DEADLINE).unwrap().unwrap();
    }
}

/// Waits until both histories end at `last`, with the same print.
#[track_caller]
pub(crate) fn wait_for_equal(hubs: &[Hub; 2], last: u64) {
    for hub in hubs {
        wait_until("the hub has everything", || {
            (hub.history.last() == Position::new(last)).then_some(())
        });
    }
    assert_eq!(hubs[0].history.tip(), hubs[1].history.tip());
    for hub in hubs {
        wait_until("the hub is well", || {
            (hub.relay.health() == Health::Ok).then_some(())
        });
    }
}

pub(crate) fn hubs(options: &Options) -> [Hub; 2] {
    [1, 2].map(|node| Hub::start(options.clone(), node))
}

/// A relay, and its history in memory.
pub(crate) struct Hub {
    pub(crate) relay: Clustered,
    pub(crate) history: Handle,
}

impl Hub {
    pub(crate) fn start(engine: Options, node: u64) -> Self {
        let engine = Box::new(Postgresql::new(engine));
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

    pub(crate) fn publish(&self, data: &str) -> Receiver<Result<Arc<Update>, RelayError>> {
        let (tx, rx) = sync_channel(1);
        let done = Box::new(move |taken| drop(tx.send(taken)));
        self.relay.publish(draft(data), None, done).unwrap();
        rx
    }

    pub(crate) fn stop(self) {
        self.relay.stop();
        self.history.close();
    }
}

fn draft(data: &str) -> Draft {
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
