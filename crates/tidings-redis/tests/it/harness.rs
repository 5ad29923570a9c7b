//! Servers of a test, and the engine on them.

mod nodes;
mod rig;
mod sentinels;
mod server;

use std::future::Future;
use std::time::{Duration, Instant};

use tidings_access::{Login, Name};
use tidings_redis::{Acknowledge, Options, Place, Timeouts, Unguarded, WINDOW_BYTES_MIN};

pub(crate) use nodes::Nodes;
pub(crate) use rig::RedisRig;
pub(crate) use sentinels::Sentinels;
pub(crate) use server::{Kind, Server, free_port};

/// What does not happen within this has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// How long until something is asked again.
const POLL: Duration = Duration::from_millis(10);

/// Runs a test on a runtime of one thread, as a relay has one.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

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

/// Asks until there is an answer; fails the test at the deadline.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "it did not happen: {what}");
        std::thread::park_timeout(POLL);
    }
}

/// As [`wait_until`], for a question to an engine.
pub(crate) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "it did not happen: {what}");
        moment().await;
    }
}

/// Until something is asked again.
pub(crate) async fn moment() {
    let nothing = std::future::pending::<()>();
    assert!(tokio::time::timeout(POLL, nothing).await.is_err());
}
