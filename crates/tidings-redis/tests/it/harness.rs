//! Servers of a test, and the engine on them.

mod nodes;
mod rig;
mod sentinels;
mod server;

use std::time::Duration;

use tidings_access::{Login, Name};
use tidings_redis::{Acknowledge, Options, Place, Timeouts, Unguarded, WINDOW_BYTES_MIN};

pub(crate) use nodes::Nodes;
pub(crate) use rig::RedisRig;
pub(crate) use sentinels::Sentinels;
pub(crate) use server::{Kind, Server, free_port};
pub(crate) use tidings_contract::waiting::{DEADLINE, moment, run, until, wait_until};

/// What a hub on `place` is told.
pub(crate) fn options(place: Place) -> Options {
    Options {
        place,
        name: name("it"),
        login: Login::default(),
        sentinel_login: Login::default(),
        tls: None,
        acknowledge: Acknowledge::Engine,
        unguarded: Unguarded::Refuse,
        window_bytes: WINDOW_BYTES_MIN,
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            ask: Duration::from_secs(1),
            answer: Duration::from_secs(2),
            wait: Duration::from_secs(1),
            replicas: Duration::from_millis(500),
        },
    }
}

pub(crate) fn name(name: &str) -> Name {
    name.parse().unwrap()
}
