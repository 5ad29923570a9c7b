//! Relays of several hubs over real servers, each with a history of its own: one line, and what a
//! server loses is put back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tidings_cluster::driver::{IfNone, join};
use tidings_cluster::engine::{
    BATCH_BYTES_MAX, BootId, Engine as _, EpochId, Lease, LeaseName, NodeId, Proposal, Sender,
    State, Tailed,
};
use tidings_cluster::host::Clustered;
use tidings_cluster::member;
use tidings_cluster::record::Record;
use tidings_cluster::{Epoch, Health, History as _, Relay, RelayError};
use tidings_core::{Draft, Position, Topic, Topics, TraceContext, Update, Visibility};
use tidings_history::{Handle, Kind, Order, PresenceRetention, Retention, start};
use tidings_redis::{Options, Redis};

use crate::harness::{DEADLINE, Kind as ServerKind, Sentinels, Server, options, run, wait_until};

const SECRET: Epoch = Epoch::new([9; 32]);

#[test]
fn hubs_on_one_server_have_one_line() {
    let server = Server::start(ServerKind::Redis);
    let hubs = hubs(&options(server.place()));
    publish_by_turns(&hubs, 0..60);
    wait_for_equal(&hubs, 60);
    let [one, two] = hubs;
    one.stop();
    // Who is left goes on.
    let answer = two.publish("60");
    answer.recv_timeout(DEADLINE).unwrap().unwrap();
    two.stop();
}

/// Without an append-only file a server is empty after a kill.
#[test]
fn hubs_put_back_what_a_server_lost() {
    for kind in [ServerKind::Oldest, ServerKind::Redis, ServerKind::Valkey] {
        let mut server = Server::start(kind);
        let hubs = hubs(&options(server.place()));
        publish_by_turns(&hubs, 0..20);
        wait_for_equal(&hubs, 20);
        let before = hubs[0].history.tip();
        for round in 1..=3 {
            server.kill();
            server.restart();
            let (first, last) = (20 * round, 20 * (round + 1));
            publish_by_turns(&hubs, first..last);
            wait_for_equal(&hubs, u64::from(last));
        }
        assert_ne!(hubs[0].history.tip(), before);
        assert_eq!(server.ask::<u64>(&["XLEN", "{t:it}:log"]), 80);
        for hub in hubs {
            hub.stop();
        }
    }
}

/// Publishes are under way at each kill.
#[test]
fn what_hubs_acknowledged_survives_kills_once() {
    let mut server = Server::start(ServerKind::Redis);
    let hubs = hubs(&options(server.place()));
    let mut answers = Vec::new();
    for round in 0..8 {
        answers.extend((0..50).map(|number| {
            let number = 50 * round + number;
            hubs[number % 2].publish(&number.to_string())
        }));
        server.kill();
        server.restart();
    }
    let mut ids = BTreeSet::new();
    for answer in answers {
        let update = answer.recv_timeout(DEADLINE).unwrap().unwrap();
        assert!(
            ids.insert(update.id.to_string()),
            "{} is there twice",
            update.id
        );
    }
    wait_until("both hubs have everything", || {
        let last = hubs[0].history.last();
        (last == hubs[1].history.last() && last >= Position::new(400)).then_some(())
    });
    assert_eq!(
        hubs[0].history.last(),
        Position::new(400),
        "each of them once"
    );
    wait_for_equal(&hubs, 400);
    for hub in hubs {
        hub.stop();
    }
}

#[test]
fn hubs_go_on_after_a_failover() {
    let guarded = [
        "--min-replicas-to-write",
        "1",
        "--min-replicas-max-lag",
        "1",
    ];
    let mut sentinels = Sentinels::start(ServerKind::Redis, &guarded);
    let hubs = hubs(&options(sentinels.place()));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let old = sentinels.primary().unwrap();
    sentinels.server(old).kill();
    publish_by_turns(&hubs, 20..40);
    wait_for_equal(&hubs, 40);
    for hub in hubs {
        hub.stop();
    }
}

/// While a hub of an older version has a lease, nothing is written that it cannot read.
#[test]
fn traces_wait_until_all_hubs_read_them() {
    let server = Server::start(ServerKind::Redis);
    let older = Sender {
        node: NodeId::new(7),
        boot: BootId::new(1),
    };
    let tell = |record: &Record| {
        let lease = Lease {
            name: LeaseName::Node,
            holder: older,
            ttl_ms: 60_000,
            record: Some(record.encode()),
        };
        run(async {
            let engine = Redis::new(options(server.place()));
            engine.lease(lease).await.unwrap();
        });
    };
    // It says nothing of what it reads.
    tell(&Record::default());
    let [one, two] = hubs(&options(server.place()));
    let seen = |hub: &Hub, upgraded: bool| {
        wait_until("the hub saw the other's record", || {
            let roster = hub.relay.roster()?.borrow().clone()?;
            let mut peers = roster.peers.iter();
            let record = peers.find(|peer| peer.run == older)?.record.clone()?;
            (record.reads_traces() == upgraded).then_some(())
        });
    };
    seen(&one, false);
    assert_eq!(one.publish_traced(), None);
    assert_eq!(newest_version(&server), 1);
    tell(&Record::new(None, &[], SECRET));
    for hub in [&one, &two] {
        seen(hub, true);
        assert!(hub.publish_traced().is_some());
        assert_eq!(newest_version(&server), 2);
    }
    one.stop();
    two.stop();
}

/// Returns the version of the newest envelope that the server has.
fn newest_version(server: &Server) -> u8 {
    let mut version = None;
    run(async {
        let engine = Redis::new(options(server.place()));
        let State::Line(line) = engine.state().await.unwrap() else {
            return;
        };
        let read = engine.range(line.last, line.last, BATCH_BYTES_MAX).await;
        if let Tailed::Entries(entries) = read.unwrap() {
            version = entries
                .first()
                .and_then(|entry| entry.bytes.first().copied());
        }
    });
    version.expect("there is an entry")
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
        let engine = Box::new(Redis::new(engine));
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
        self.publish_draft(draft(data))
    }

    fn publish_draft(&self, draft: Draft) -> Receiver<Result<Arc<Update>, RelayError>> {
        let (tx, rx) = sync_channel(1);
        let done = Box::new(move |taken| drop(tx.send(taken)));
        self.relay.publish(draft, None, done).unwrap();
        rx
    }

    /// Publishes an update that has a trace. Returns the trace that it has in the line.
    #[track_caller]
    fn publish_traced(&self) -> Option<TraceContext> {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let answer = self.publish_draft(Draft {
            trace: TraceContext::parse(trace),
            ..draft("traced")
        });
        answer.recv_timeout(DEADLINE).unwrap().unwrap().trace
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
