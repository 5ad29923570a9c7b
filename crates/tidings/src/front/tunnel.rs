//! A WebSocket through an HTTP/2 stream (RFC 8441): moves bytes between hyper's tunnel and the session's pipe.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::http2::Progress;
use tidings_hub::session::pipe::Pipe;

/// Timeout for sending what a session wrote last.
const FAREWELL: Duration = Duration::from_secs(1);

/// Moves bytes between the session's pipe and hyper's tunnel until both have ended.
///
/// `progress` belongs to the stream. It ends the stream soon after, so that a peer that reads nothing does not keep
/// what hyper still holds for it.
pub(crate) async fn pump(tunnel: OnUpgrade, pipe: Rc<Pipe>, progress: Rc<Progress>) {
    if let Ok(upgraded) = tunnel.await {
        carry(&pipe, &mut TokioIo::new(upgraded)).await;
    }
    progress.end_within(FAREWELL);
    pipe.close();
}

/// Carries both ways until the session or the tunnel ends, then sends what the session wrote last.
async fn carry(pipe: &Pipe, io: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    // An error ends the tunnel. The session notices that it is gone.
    if poll_fn(|cx| pipe.poll_carry(io, cx)).await.is_ok() {
        let rest = poll_fn(|cx| pipe.poll_rest(io, cx));
        // A peer that reads nothing must not keep this in memory.
        drop(timeout(FAREWELL, rest).await);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_peer_that_reads_nothing_keeps_no_bytes_in_memory() {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let pipe = Pipe::new();
            let (mut tunnel, _peer) = tokio::io::duplex(16);
            pipe.try_send(&Bytes::from(vec![b'x'; 100_000])).unwrap();
            pipe.end();
            let carried = timeout(Duration::from_secs(30), carry(&pipe, &mut tunnel));
            assert!(carried.await.is_ok(), "carry does not end");
        });
    }
}
