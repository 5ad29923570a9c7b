//! Updates that were small enough when a hub let them in, and are not any more, because an operator has
//! lowered a bound of running servers: each is refused alone, and everything else goes on.

use serde_json::Value;
use tidings_cluster::engine::TooLarge;
use tidings_cluster::{Health, Relay as _, RelayError};
use tidings_contract::relays::{Answer, RelayHub, publish_by_turns, wait_for_equal};
use tidings_nats::Nats;

use crate::harness::{Admin, DEADLINE, Servers, lose_tail, options, wait_until};

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
        check_alone(hub, "max_payload");
    }
    wait_for_equal(&hubs, 10 + 2 * OTHERS);
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
    hubs.iter().for_each(|hub| check_alone(hub, "max_msg_size"));
    wait_for_equal(&hubs, 10 + 2 * OTHERS);
    let answer = hubs[0].publish(&"x".repeat(60 * 1024));
    answer_of(&answer).unwrap();
    wait_for_equal(&hubs, 11 + 2 * OTHERS);
    for hub in hubs {
        hub.stop();
    }
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

/// Publishes large updates among others: the others are stored.
#[track_caller]
fn check_alone(hub: &RelayHub, wanted: &str) {
    let mut large_ones = Vec::new();
    let mut others = Vec::new();
    for number in 0..OTHERS {
        others.push(hub.publish(&number.to_string()));
        if number % 5 == 2 {
            large_ones.push(hub.publish(&large()));
        }
    }
    for other in others {
        answer_of(&other).unwrap();
    }
    for large in large_ones {
        let told = answer_of(&large);
        let Err(RelayError::TooLarge(TooLarge {
            bytes,
            max,
            setting,
            ..
        })) = told
        else {
            panic!("{told:?}");
        };
        assert_eq!((setting, max), (wanted, LOW));
        assert!(bytes > 100_000 && bytes < 104_000, "{bytes}");
    }
    assert!(hub.relay.figures().cluster.unwrap().counters.too_large >= 4);
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
