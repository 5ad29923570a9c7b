//! The only place that spawns: every task of a shard is started here, on the shard's own thread.
//! What a task does lives with its subject; this file only keeps spawning in one searchable place.

use std::future::Future;

/// Starts `future` on the calling shard's runtime.
///
/// Called from inside a shard only. The task ends with the shard's runtime at the latest.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks start")]
    tokio::task::spawn_local(future);
}

/// Lets hyper start the tasks of an HTTP/2 connection on the shard's own thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalExecutor;

impl<F> hyper::rt::Executor<F> for LocalExecutor
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        spawn(future);
    }
}
