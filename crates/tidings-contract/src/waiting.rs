//! How tests of engines wait: for an event, with a deadline.

use std::time::{Duration, Instant};

/// What does not happen within this has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// How long until something is asked again.
const POLL: Duration = Duration::from_millis(10);

/// Runs a test on a runtime of one thread, as a relay has one.
///
/// # Panics
///
/// If the test does, or there is no runtime.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

/// Asks until there is an answer.
///
/// # Panics
///
/// At the deadline.
#[track_caller]
pub fn wait_until<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    match answer_of(ask) {
        Some(answer) => answer,
        None => panic!("it did not happen: {what}"),
    }
}

/// As [`wait_until`], but nothing at the deadline: for who has more to say then.
pub fn answer_of<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || start.elapsed() >= DEADLINE {
            return answer;
        }
        std::thread::park_timeout(POLL);
    }
}

/// As [`wait_until`], for a question to an engine.
///
/// # Panics
///
/// At the deadline.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "it did not happen: {what}");
        moment().await;
    }
}

/// Lets a little time pass, until something is asked again.
///
/// # Panics
///
/// Never: what it waits for does not happen.
pub async fn moment() {
    let nothing = std::future::pending::<()>();
    assert!(tokio::time::timeout(POLL, nothing).await.is_err());
}
