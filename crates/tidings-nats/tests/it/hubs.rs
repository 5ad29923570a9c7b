//! Relays of several hubs over real servers, each with a history of its own: one line, whatever
//! happens to the servers, and what they lose is put back.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::{Value, json};
use tidings_cluster::driver::{IfNone, join};
use tidings_cluster::engine::{BootId, EpochId, NodeId, Proposal, Sender};
use tidings_cluster::host::Clustered;
use tidings_cluster::member;
use tidings_cluster::{Epoch, Health, History as _, Relay, RelayError};
use tidings_core::{Draft, Position, Topic, Topics, Update, Visibility};
use tidings_history::{Handle, Kind, Order, PresenceRetention, Retention, start};
use tidings_nats::{Nats, Options};

use crate::harness::{Admin, DEADLINE, Servers, lose_tail, options, wait_until};

const SECRET: Epoch = Epoch::new([9; 32]);
/// The stream of the line.
const STREAM: &str = "tidings_it";

#[test]
fn hubs_on_one_server_have_one_line() {
    let servers = Servers::start(1);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..60);
    wait_for_equal(&hubs, 60);
    let [one, two] = hubs;
    one.stop();
    // Who is left goes on.
    let answer = two.publish("60");
    answer.recv_timeout(DEADLINE).unwrap().unwrap();
    two.stop();
}

/// A server that is killed has everything again when it is back.
#[test]
fn hubs_wait_for_a_server_that_is_killed() {
    let mut servers = Servers::start(1);
    let hubs = hubs(&options(&servers));
    let mut answers = Vec::new();
    for round in 0..4 {
        answers.extend((0..50).map(|number| {
            let number = 50 * round + number;
            hubs[number % 2].publish(&number.to_string())
        }));
        servers.kill(0);
        servers.restart(0);
    }
    for answer in answers {
        answer.recv_timeout(DEADLINE).unwrap().unwrap();
    }
    wait_for_equal(&hubs, 200);
    for hub in hubs {
        hub.stop();
    }
}

#[test]
fn hubs_put_back_a_line_whose_stream_is_gone() {
    let servers = Servers::start(1);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let admin = Admin::of(&servers);
    admin.request("STREAM.DELETE.tidings_it", &Value::Null);
    publish_by_turns(&hubs, 20..40);
    wait_for_equal(&hubs, 40);
    let info = admin.request("STREAM.INFO.tidings_it", &Value::Null);
    assert_eq!(info["state"]["messages"], 40, "{info}");
    for hub in hubs {
        hub.stop();
    }
}

/// As after a power failure of servers that do not sync: what is lost is put back in its place.
#[test]
fn hubs_put_back_a_tail_that_is_lost() {
    let servers = Servers::start(1);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let before = hubs[0].history.tip();
    let admin = Admin::of(&servers);
    admin.alone(async { lose_tail(&admin.client().await, STREAM, 12).await });
    publish_by_turns(&hubs, 20..30);
    wait_for_equal(&hubs, 30);
    assert_ne!(hubs[0].history.tip(), before);
    let get = json!({ "seq": 20 });
    let got = admin.request("STREAM.MSG.GET.tidings_it", &get);
    assert_eq!(got["message"]["seq"], 20, "{got}");
    for hub in hubs {
        hub.stop();
    }
}

/// Nothing is numbered anew in a stream that is not the line's.
#[test]
fn a_stream_that_is_made_anew_by_somebody_else_is_not_used() {
    let servers = Servers::start(1);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let admin = Admin::of(&servers);
    admin.request("STREAM.DELETE.tidings_it", &Value::Null);
    let other = json!({ "name": STREAM, "subjects": ["other.>"], "allow_direct": true });
    // The hubs are fast.
    wait_until("the stream is another one", || {
        let made = admin.request("STREAM.CREATE.tidings_it", &other);
        if made.get("error").is_some() {
            admin.request("STREAM.DELETE.tidings_it", &Value::Null);
        }
        made.get("error").is_none().then_some(())
    });
    let answer = hubs[0].publish("20");
    wait_until("the hubs see that it is not theirs", || {
        let ill = |hub: &Hub| hub.relay.health() != Health::Ok;
        hubs.iter().all(ill).then_some(())
    });
    let info = admin.request("STREAM.INFO.tidings_it", &Value::Null);
    assert_eq!(info["state"]["messages"], 0, "{info}");
    admin.request("STREAM.DELETE.tidings_it", &Value::Null);
    answer.recv_timeout(DEADLINE).unwrap().unwrap();
    wait_for_equal(&hubs, 21);
    for hub in hubs {
        hub.stop();
    }
}

#[test]
fn hubs_go_on_when_the_leader_is_killed() {
    let mut servers = Servers::start(3);
    let admin = Admin::of(&servers);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let leader = admin.leader(STREAM).unwrap();
    servers.kill(leader);
    publish_by_turns(&hubs, 20..40);
    wait_for_equal(&hubs, 40);
    servers.restart(leader);
    publish_by_turns(&hubs, 40..60);
    wait_for_equal(&hubs, 60);
    for hub in hubs {
        hub.stop();
    }
}

/// A leader that is stopped in its tracks thinks that it still leads when it goes on.
#[test]
fn hubs_go_on_when_the_leader_is_paused() {
    let servers = Servers::start(3);
    let admin = Admin::of(&servers);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let leader = admin.leader(STREAM).unwrap();
    servers.pause(leader);
    publish_by_turns(&hubs, 20..40);
    servers.resume(leader);
    publish_by_turns(&hubs, 40..60);
    wait_for_equal(&hubs, 60);
    for hub in hubs {
        hub.stop();
    }
}

/// Publishes numbers by one hub after the other, and waits for the answers.
#[track_caller]
fn publish_by_turns(hubs: &[Hub; 2], numbers: std::ops::Range<u32>) {
    let publish = |number: u32| hubs[number as usize % 2].publish(&number.to_string());
    let answers: Vec<_> = numbers.map(publish).collect();
    for answer in answers {
        answer.recv_timeout(DEADLINE).unwrap().unwrap();
    }
}

/// Waits until both histories end at `last`, with the same print.
#[track_caller]
fn wait_for_equal(hubs: &[Hub; 2], last: u64) {
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

fn hubs(options: &Options) -> [Hub; 2] {
    [1, 2].map(|node| Hub::start(options.clone(), node))
}

struct Hub {
    relay: Clustered,
    history: Handle,
}

impl Hub {
    fn start(engine: Options, node: u64) -> Self {
        let engine = Box::new(Nats::new(engine));
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

    fn publish(&self, data: &str) -> Receiver<Result<Arc<Update>, RelayError>> {
        let (tx, rx) = sync_channel(1);
        let done = Box::new(move |taken| drop(tx.send(taken)));
        self.relay.publish(draft(data), None, done).unwrap();
        rx
    }

    fn stop(self) {
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
