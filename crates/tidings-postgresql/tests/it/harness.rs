//! Servers of a test, and the engine on them.

mod hub;
mod pooler;
mod rig;
pub(crate) mod server;
mod sql;

use std::future::Future;
use std::time::{Duration, Instant};

pub(crate) use hub::{Hub, hubs, publish_by_turns, wait_for_equal};
pub(crate) use pooler::Pooler;
pub(crate) use rig::PostgresqlRig;
pub(crate) use server::Server;
pub(crate) use sql::Sql;

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
