//! Standbys: what survives a failover, who is asked afterwards, and reading from one.

use tidings_cluster::engine::{BATCH_BYTES_MAX, Engine as _, Path, Tailed};
use tidings_contract::{Hub, Rig as _};
use tidings_core::Position;
use tidings_postgresql::{Acknowledge, Options, Postgresql};

use crate::harness::{
    DEADLINE, PostgresqlRig, RelayHub, Server, hubs, publish_by_turns, run, until, wait_for_equal,
    wait_until,
};

/// A standby looks for the log of its primary five times a second.
const SOON: &str = "wal_retrieve_retry_interval=200ms";

fn both(primary: &Server, standby: &Server) -> Options {
    let mut options = primary.options();
    options.place.servers.push(standby.address());
    options
}

fn promote(standby: &Server) {
    assert_eq!(standby.sql("SELECT pg_promote(true, 30)"), "t");
}

fn wait_until_streaming(primary: &Server) {
    wait_until("the standby follows", || {
        let streaming = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'";
        (primary.sql(streaming) == "1").then_some(())
    });
}

/// Publishes are under way when the primary dies. It comes back as if nothing had happened, and is not
/// asked: its timeline is the older one.
#[test]
fn nothing_acknowledged_is_lost_with_a_synchronous_standby() {
    let mut primary = Server::start(&[]);
    primary.make_schema("it");
    let standby = primary.start_standby(&[SOON]);
    wait_until_streaming(&primary);
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("SELECT pg_reload_conf()");
    let hubs = hubs(&both(&primary, &standby));
    publish_by_turns(&hubs, 0..20);
    let answers: Vec<_> = (20..220)
        .map(|number: usize| hubs[number % 2].publish(&number.to_string()))
        .collect();
    primary.kill_all();
    promote(&standby);
    for answer in answers {
        answer.recv_timeout(DEADLINE).unwrap().unwrap();
    }
    wait_for_equal(&hubs, 220);
    assert_eq!(standby.sql("SELECT count(*) FROM it.log"), "220");

    primary.restart();
    primary.sql("ALTER SYSTEM RESET synchronous_standby_names");
    primary.sql("SELECT pg_reload_conf()");
    // Connected anew, the hubs find two servers that take writes.
    standby.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidings'",
    );
    publish_by_turns(&hubs, 220..240);
    wait_for_equal(&hubs, 240);
    assert_eq!(standby.sql("SELECT count(*) FROM it.log"), "240");
    assert!(
        primary
            .sql("SELECT count(*) FROM it.log")
            .parse::<u32>()
            .unwrap()
            <= 220
    );
    hubs.into_iter().for_each(RelayHub::stop);
}

#[test]
fn hubs_put_back_what_an_asynchronous_standby_lacks() {
    let mut primary = Server::start(&[]);
    primary.make_schema("it");
    let mut standby = primary.start_standby(&[SOON]);
    wait_until_streaming(&primary);
    let hubs = hubs(&both(&primary, &standby));
    publish_by_turns(&hubs, 0..20);
    wait_until("the standby has them", || {
        (standby.sql("SELECT count(*) FROM it.log") == "20").then_some(())
    });
    standby.kill_all();
    publish_by_turns(&hubs, 20..40);
    wait_for_equal(&hubs, 40);
    let tip = hubs[0].history.tip();
    primary.kill_all();
    standby.restart();
    promote(&standby);
    wait_until("the log is whole again", || {
        (standby.sql("SELECT count(*) FROM it.log") == "40").then_some(())
    });
    assert_eq!(hubs[0].history.tip(), tip, "with the same prints");
    publish_by_turns(&hubs, 40..60);
    wait_for_equal(&hubs, 60);
    hubs.into_iter().for_each(RelayHub::stop);
}

/// Nothing stops it, and it takes updates until the hubs find the newer one: these are published again
/// there. Followers wait for notifications of the newer one too.
#[test]
fn hubs_leave_a_primary_that_was_replaced() {
    let primary = Server::start(&[]);
    primary.make_schema("it");
    let standby = primary.start_standby(&[SOON]);
    wait_until_streaming(&primary);
    let hubs = hubs(&both(&primary, &standby));
    publish_by_turns(&hubs, 0..20);
    wait_until("the standby has them", || {
        (standby.sql("SELECT count(*) FROM it.log") == "20").then_some(())
    });
    promote(&standby);
    publish_by_turns(&hubs, 20..40);
    wait_until("the line of the newer one has all", || {
        (standby.sql("SELECT count(*) FROM it.log") == "40").then_some(())
    });
    wait_for_equal(&hubs, 40);
    publish_by_turns(&hubs, 40..60);
    wait_for_equal(&hubs, 60);
    assert_eq!(standby.sql("SELECT count(*) FROM it.log"), "60");
    let listening = "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN \"it\"'";
    wait_until("both hubs listen there", || {
        (standby.sql(listening) == "2" && primary.sql(listening) == "0").then_some(())
    });
    hubs.into_iter().for_each(RelayHub::stop);
}

/// A wait for the standby that an administrator breaks off would end like one that was granted.
#[test]
fn an_update_without_its_standby_is_in_doubt() {
    let primary = Server::start(&[]);
    let standby = primary.start_standby(&[SOON]);
    wait_until_streaming(&primary);
    let mut options = primary.options();
    options.acknowledge = Acknowledge::Replicated;
    let mut rig = PostgresqlRig::new(&primary, options);
    rig.fresh();
    run(async {
        let mut hub = Hub::join(&rig, 1).await;
        let batch = hub.batch(seen(), &[(b"a", None)]);
        let refused = hub.engine.append(batch.clone()).await.unwrap_err();
        assert!(!refused.leaves_doubt());
        assert!(
            refused
                .line()
                .contains("synchronous_standby_names is empty"),
            "{}",
            refused.line()
        );
        primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        primary.sql("SELECT pg_reload_conf()");
        hub.engine.reset(Path::Publish);
        until("the setting is in force", async || {
            hub.engine.append(batch.clone()).await.ok()
        })
        .await;

        drop(standby);
        let batch = hub.batch(seen(), &[(b"b", None)]);
        let mut append = hub.engine.append(batch);
        let mut cancelled = false;
        let answer = std::future::poll_fn(|context| {
            let answer = append.as_mut().poll(context);
            if answer.is_pending() && !cancelled {
                context.waker().wake_by_ref();
                let waiting = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity \
                               WHERE wait_event = 'SyncRep' AND application_name = 'tidings'";
                cancelled = primary.sql(waiting) == "t";
            }
            answer
        });
        let doubt = answer.await.unwrap_err();
        assert!(doubt.leaves_doubt(), "{}", doubt.line());
        assert!(
            doubt.line().contains("whether a standby has the update"),
            "{}",
            doubt.line()
        );
    });
}

/// A follower reads at a standby, also while that has not yet what it has seen elsewhere.
#[test]
fn a_follower_reads_from_a_standby() {
    let primary = Server::start(&[]);
    let mut rig = PostgresqlRig::new(&primary, primary.options());
    rig.fresh();
    let standby = primary.start_standby(&[SOON]);
    wait_until_streaming(&primary);
    run(async {
        let mut hub = Hub::join(&rig, 1).await;
        let mut options = rig.options().clone();
        options.read = Some(standby.place());
        let follower = Postgresql::new(options);
        hub.append(seen(), &[b"a", b"b"]).await;
        let entries = until("the standby has them", async || {
            match follower
                .tail(Position::ZERO, BATCH_BYTES_MAX)
                .await
                .unwrap()
            {
                Tailed::Entries(entries) if entries.len() == 2 => Some(entries),
                Tailed::Entries(_) => None,
                other @ (Tailed::Hole { .. } | Tailed::Rewound { .. }) => panic!("{other:?}"),
            }
        })
        .await;
        assert_eq!(entries, hub.entries(1).await);

        standby.sql("SELECT pg_wal_replay_pause()");
        hub.append(seen(), &[b"c"]).await;
        // What it has seen at the primary is no reason to believe that the line went back.
        let nothing = Tailed::Entries(Vec::new());
        assert_eq!(
            follower
                .tail(Position::new(3), BATCH_BYTES_MAX)
                .await
                .unwrap(),
            nothing
        );
        let beyond = follower
            .tail(Position::new(4), BATCH_BYTES_MAX)
            .await
            .unwrap();
        assert!(matches!(beyond, Tailed::Rewound { .. }), "{beyond:?}");
        standby.sql("SELECT pg_wal_replay_resume()");
        let tailed = until("the standby goes on", async || {
            match follower
                .tail(Position::new(2), BATCH_BYTES_MAX)
                .await
                .unwrap()
            {
                Tailed::Entries(entries) => (!entries.is_empty()).then_some(entries),
                Tailed::Hole { .. } | Tailed::Rewound { .. } => None,
            }
        })
        .await;
        assert_eq!(tailed, hub.entries(3).await);
    });
}

fn seen() -> tidings_cluster::engine::Seen {
    tidings_cluster::engine::Seen {
        position: Position::ZERO,
        print: None,
    }
}
