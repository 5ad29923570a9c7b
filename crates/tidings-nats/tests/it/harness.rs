//! Servers of a test, and the engine on them.

mod admin;
mod rig;
mod servers;

use std::future::Future;
use std::time::{Duration, Instant};

use tidings_access::Name;
use tidings_nats::{Access, Options, Place, Timeouts, WINDOW_BYTES_MIN};

pub(crate) use admin::{Admin, lose_tail};
pub(crate) use rig::NatsRig;
pub(crate) use servers::Servers;

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

/// What a hub on `servers` is told.
pub(crate) fn options(servers: &Servers) -> Options {
    Options {
        place: Place {
            servers: servers.addresses(),
            tls: false,
        },
        name: name("it"),
        access: Access::Anyone,
        tls: None,
        replicas: servers.count(),
        window_bytes: WINDOW_BYTES_MIN,
        update_bytes_max: 1024 * 1024,
        timeouts: Timeouts {
            connect: Duration::from_secs(2),
            answer: Duration::from_millis(2500),
            wait: Duration::from_secs(1),
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

/// Until something is asked again.
pub(crate) async fn moment() {
    let nothing = std::future::pending::<()>();
    assert!(tokio::time::timeout(POLL, nothing).await.is_err());
}
