//! Updates that were small enough when a hub let them in, and are not any more, because an operator has
//! lowered a bound of running servers: each is refused alone, and everything else goes on.

use serde_json::Value;
use tidings_cluster::engine::{Appended, Place, Seen, TooLarge};
use tidings_cluster::{Health, History as _, Relay as _, RelayError};
use tidings_contract::Hub;
use tidings_contract::relays::{Answer, RelayHub, publish_by_turns, wait_for_equal};
use tidings_core::Position;
use tidings_nats::Nats;

use crate::harness::{
    Admin, DEADLINE, NatsRig, Servers, lose_tail, options, run, until, wait_until,
};

const STREAM: &str = "tidings_it";
const LOW: u64 = 64 * 1024;
const HIGH: u64 = 8 * 1024 * 1024;

#[test]
fn an_update_that_a_server_does_not_take_any_more_is_refused_alone() {
    a_lowered_bound_is_told_and_a_raised_one_found(1);
}

#[test]
fn an_update_that_three_servers_do_not_take_any_more_is_refused_alone() {
    a_lowered_bound_is_told_and_a_raised_one_found(3);
}

fn a_lowered_bound_is_told_and_a_raised_one_found(count: u32) {
    let servers = Servers::start(count);
    let hubs = hubs(&servers);
    publish_by_turns(&hubs, 0..10);
    servers.set_max_payload(LOW);
    for hub in &hubs {
        // The server says so by closing the connection, and that can get lost.
        let first = answer_of(&hub.publish(&large())).unwrap_err();
        let told = matches!(first, RelayError::TooLarge(_) | RelayError::InDoubt);
        assert!(told, "{first:?}");
    }
    check_alone(&hubs, "max_payload", Some(LOW));
    servers.set_max_payload(HIGH);
    wait_until("the hubs know that the bound was raised", || {
        let publish = |hub: &RelayHub| answer_of(&hub.publish(&large())).is_ok();
        hubs.iter().all(publish).then_some(())
    });
    for hub in hubs {
        assert_eq!(hub.relay.health(), Health::Ok);
        hub.stop();
    }
}

#[test]
fn an_update_that_the_stream_does_not_take_any_more_is_refused_alone() {
    let servers = Servers::start(1);
    let hubs = hubs(&servers);
    publish_by_turns(&hubs, 0..10);
    set_max_msg_size(&servers, LOW);
    check_alone(&hubs, "max_msg_size", Some(LOW));
    let answer = hubs[0].publish(&"x".repeat(60 * 1024));
    answer_of(&answer).unwrap();
    for hub in hubs {
        hub.stop();
    }
}

/// The server tells such a bound to connections that have logged in, and the client library does not
/// listen.
#[test]
fn an_update_that_the_account_does_not_let_through_is_refused_alone() {
    let account = format!(
        "accounts {{ HUBS {{ jetstream: enabled, users: [{{ user: hub, password: hub }}], \
         limits {{ max_payload: {LOW} }} }} }}\nno_auth_user: hub\n"
    );
    let servers = Servers::start_with(1, &account);
    let hubs = hubs(&servers);
    publish_by_turns(&hubs, 0..10);
    check_alone(&hubs, "max_payload (server, account or user)", None);
    for hub in hubs {
        hub.stop();
    }
}

/// What is stored is there, whatever the servers let through now, and whichever way an engine learns of it.
#[test]
fn a_repetition_of_what_another_hub_stored_is_not_too_large() {
    let servers = Servers::start(1);
    run(async {
        let rig = NatsRig::new(options(&servers));
        let mut of_server = Hub::join(&rig, 1).await;
        let mut of_stream = Hub::join(&rig, 2).await;
        servers.set_max_payload(LOW);
        let mut of_connection = Hub::join(&rig, 3).await;
        for hub in [&mut of_server, &mut of_stream, &mut of_connection] {
            hub.append(NOTHING_SEEN, &[b"small"]).await;
        }
        servers.set_max_payload(HIGH);
        let large = large();
        let items = [(large.as_bytes(), Some("key"))];
        let mut other = Hub::join(&rig, 4).await;
        let stored = other.append_keyed(NOTHING_SEEN, &items).await;
        assert!(matches!(stored, Appended::Taken { .. }), "{stored:?}");
        servers.set_max_payload(LOW);
        for hub in [&mut of_connection, &mut of_server] {
            check_known(hub, &items).await;
        }
        servers.set_max_payload(HIGH);
        set_max_msg_size(&servers, LOW);
        check_known(&mut of_stream, &items).await;
    });
}

const NOTHING_SEEN: Seen = Seen {
    position: Position::ZERO,
    print: None,
};

/// Sends what is at position 4, until it is not in doubt whether that arrived.
async fn check_known(hub: &mut Hub, items: &[(&[u8], Option<&str>)]) {
    let batch = hub.batch(NOTHING_SEEN, items);
    let appended = until("the engine answers", async || {
        hub.engine.append(batch.clone()).await.ok()
    });
    let appended = appended.await;
    let Appended::Taken { places, .. } = &appended else {
        panic!("{appended:?}");
    };
    assert_eq!(places, &[Place::Known(Position::new(4))]);
}

/// Nothing else may have the place of what was acknowledged, so the hubs wait for the operator and say
/// for what.
#[test]
fn a_lost_update_that_cannot_be_put_back_is_named_until_it_can() {
    let servers = Servers::start(1);
    let hubs = hubs(&servers);
    publish_by_turns(&hubs, 0..10);
    answer_of(&hubs[0].publish(&large())).unwrap();
    wait_for_equal(&hubs, 11);
    servers.set_max_payload(LOW);
    let admin = Admin::of(&servers);
    admin.alone(async { lose_tail(&admin.client().await, STREAM, 8).await });
    wait_until("the hubs name the setting", || {
        let named = |hub: &RelayHub| match hub.relay.health() {
            Health::Unavailable { reason } => reason.contains("raise max_payload"),
            Health::Ok => false,
        };
        hubs.iter().all(named).then_some(())
    });
    servers.set_max_payload(HIGH);
    wait_for_equal(&hubs, 11);
    publish_by_turns(&hubs, 11..20);
    wait_for_equal(&hubs, 20);
    for hub in hubs {
        hub.stop();
    }
}

/// Updates that are published beside the large ones.
const OTHERS: u64 = 20;

/// Has each of two hubs publish large updates among others, after ten: the others are stored. `max` is the
/// bound, if hubs know it.
#[track_caller]
fn check_alone(hubs: &[RelayHub; 2], setting: &str, max: Option<u64>) {
    let mut tries = 0;
    for hub in hubs {
        // A call that lasts for seconds on a busy machine leaves its whole batch in doubt.
        wait_until("nothing is in doubt", || {
            tries += 1;
            is_refused_alone(hub, setting, max).then_some(())
        });
        assert!(hub.relay.figures().cluster.unwrap().counters.too_large >= 4);
    }
    publish_by_turns(hubs, 0..2);
    let last = wait_until("both have the same, and are well", || {
        let is_well = |hub: &RelayHub| hub.relay.health() == Health::Ok;
        let same = hubs[0].history.tip() == hubs[1].history.tip();
        (same && hubs.iter().all(is_well)).then(|| hubs[0].history.last().get())
    });
    let possible = 12 + 2 * OTHERS..=12 + tries * OTHERS;
    assert!(possible.contains(&last), "{last} of {possible:?}");
}

/// Publishes large updates among others. Returns whether nothing was in doubt.
#[track_caller]
fn is_refused_alone(hub: &RelayHub, wanted: &str, wanted_max: Option<u64>) -> bool {
    let mut large_ones = Vec::new();
    let mut others = Vec::new();
    for number in 0..OTHERS {
        others.push(hub.publish(&number.to_string()));
        if number % 5 == 2 {
            large_ones.push(hub.publish(&large()));
        }
    }
    let mut is_clear = true;
    for other in others {
        match answer_of(&other) {
            Err(RelayError::InDoubt) => is_clear = false,
            told => told.unwrap(),
        }
    }
    for large in large_ones {
        match answer_of(&large) {
            Err(RelayError::InDoubt) => is_clear = false,
            Err(RelayError::TooLarge(TooLarge {
                bytes,
                max,
                setting,
                ..
            })) => {
                assert_eq!((setting, max), (wanted, wanted_max.unwrap_or(bytes - 1)));
                assert!(bytes > 100_000 && bytes < 104_000, "{bytes}");
            }
            told => panic!("{told:?}"),
        }
    }
    is_clear
}

fn answer_of(answer: &Answer) -> Result<(), RelayError> {
    answer.recv_timeout(DEADLINE).unwrap().map(drop)
}

fn large() -> String {
    "x".repeat(100_000)
}

fn set_max_msg_size(servers: &Servers, bytes: u64) {
    let admin = Admin::of(servers);
    let info = admin.request(&format!("STREAM.INFO.{STREAM}"), &Value::Null);
    let mut config = info["config"].clone();
    config["max_msg_size"] = bytes.into();
    let updated = admin.request(&format!("STREAM.UPDATE.{STREAM}"), &config);
    assert!(updated.get("error").is_none(), "{updated}");
}

fn hubs(servers: &Servers) -> [RelayHub; 2] {
    let options = options(servers);
    RelayHub::two(|| Box::new(Nats::new(options.clone())))
}
