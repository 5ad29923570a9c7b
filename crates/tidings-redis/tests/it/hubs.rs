//! Relays of several hubs over real servers, each with a history of its own: one line, and what a
//! server loses is put back.

use std::collections::BTreeSet;

use tidings_cluster::engine::{
    BATCH_BYTES_MAX, BootId, Engine as _, Lease, LeaseName, NodeId, Sender, State, Tailed,
};
use tidings_cluster::record::Record;
use tidings_cluster::{History as _, Relay as _};
use tidings_contract::relays::{RelayHub, SECRET, draft, publish_by_turns, wait_for_equal};
use tidings_core::{Draft, Position, TraceContext};
use tidings_redis::{Options, Redis};

use crate::harness::{DEADLINE, Kind as ServerKind, Sentinels, Server, options, run, wait_until};

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
    let seen = |hub: &RelayHub, upgraded: bool| {
        wait_until("the hub saw the other's record", || {
            let roster = hub.relay.roster()?.borrow().clone()?;
            let mut peers = roster.peers.iter();
            let record = peers.find(|peer| peer.run == older)?.record.clone()?;
            (record.reads_traces() == upgraded).then_some(())
        });
    };
    seen(&one, false);
    assert_eq!(publish_traced(&one), None);
    assert_eq!(newest_version(&server), 1);
    tell(&Record::new(None, &[], SECRET));
    for hub in [&one, &two] {
        seen(hub, true);
        assert!(publish_traced(hub).is_some());
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

fn hubs(options: &Options) -> [RelayHub; 2] {
    RelayHub::two(|| Box::new(Redis::new(options.clone())))
}

/// Publishes an update that has a trace. Returns the trace that it has in the line.
#[track_caller]
fn publish_traced(hub: &RelayHub) -> Option<TraceContext> {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let answer = hub.publish_draft(Draft {
        trace: TraceContext::parse(trace),
        ..draft("traced")
    });
    answer.recv_timeout(DEADLINE).unwrap().unwrap().trace
}
