//! The only place that spawns: every task of a shard is started here, on the shard's own thread.
//! What a task does lives with its subject; this file only keeps spawning in one searchable place.

use std::convert::Infallible;
use std::future::Future;

/// Starts `future` on the calling shard's runtime.
///
/// Called from inside a shard only. The task ends with the shard's runtime at the latest.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks start")]
    tokio::task::spawn_local(future);
}

/// Runs futures that never end beside each other, on the caller's thread; never ends itself.
pub(crate) async fn side_by_side(
    futures: impl Iterator<Item = impl Future<Output = ()>>,
) -> Infallible {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        std::task::Poll::Pending
    })
    .await
}
