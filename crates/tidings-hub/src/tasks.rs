//! The only place that spawns tasks, so that one search finds all of them. A task runs on the thread that
//! starts it, and ends with that thread's runtime at the latest.

use std::convert::Infallible;
use std::future::Future;

/// Starts `future` on the runtime of the calling thread: a shard, the broker or a command.
///
/// The task ends with that runtime at the latest.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks start")]
    tokio::task::spawn_local(future);
}

/// Runs futures that never end concurrently, on the caller's thread. Never ends.
pub async fn side_by_side(futures: impl Iterator<Item = impl Future<Output = ()>>) -> Infallible {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        std::task::Poll::Pending
    })
    .await
}
