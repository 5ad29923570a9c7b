//! The tunnel that hyper makes of a WebSocket's HTTP/2 stream (RFC 8441), and the pipe by which the session
//! writes and reads it.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::http2::Progress;
use tidings_hub::session::pipe::Pipe;

/// How long the tunnel may take for what a session wrote last.
const FAREWELL: Duration = Duration::from_secs(1);

/// Moves bytes between a pipe and the tunnel that hyper makes of the request, to the end of both.
///
/// `progress` is that of the stream: what hyper still has for it must not be kept by a peer that takes
/// nothing.
pub(crate) async fn pump(tunnel: OnUpgrade, pipe: Rc<Pipe>, progress: Rc<Progress>) {
    if let Ok(upgraded) = tunnel.await {
        carry(&pipe, &mut TokioIo::new(upgraded)).await;
    }
    progress.end_within(FAREWELL);
    pipe.close();
}

/// Carries both ways until the session or the tunnel ends, then what the session wrote last.
async fn carry(pipe: &Pipe, io: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    // An error ends the tunnel like its end does; the session finds it gone.
    if poll_fn(|cx| pipe.poll_carry(io, cx)).await.is_ok() {
        let rest = poll_fn(|cx| pipe.poll_rest(io, cx));
        // A peer that takes nothing must not keep what was for it.
        drop(timeout(FAREWELL, rest).await);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_peer_that_takes_nothing_does_not_keep_what_was_for_it() {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let pipe = Pipe::new();
            let (mut tunnel, _peer) = tokio::io::duplex(16);
            pipe.try_send(&Bytes::from(vec![b'x'; 100_000])).unwrap();
            pipe.end();
            let carried = timeout(Duration::from_secs(30), carry(&pipe, &mut tunnel));
            assert!(carried.await.is_ok(), "it is carried without end");
        });
    }
}
