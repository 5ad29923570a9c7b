//! A TCP socket whose writes fail when the peer reads nothing for the stall time. While hyper owns the socket, nobody
//! else would notice. TLS is on top of it, so what counts is what the peer's kernel took.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// A TCP socket with a timeout for writes.
#[derive(Debug)]
pub(crate) struct TimedSocket {
    socket: TcpStream,
    stall: Duration,
    /// Fires when the peer has read nothing for too long. None while the socket takes bytes.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl TimedSocket {
    /// Wraps a socket whose peer may read nothing for `stall`.
    pub(crate) fn new(socket: TcpStream, stall: Duration) -> Self {
        Self {
            socket,
            stall,
            alarm: None,
        }
    }

    /// Returns the socket.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.socket
    }

    /// Starts the alarm when a write has to wait, and stops it after any other result.
    fn note(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.alarm = None;
            return written;
        }
        let stall = self.stall;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(stall)));
        alarm.as_mut().poll(cx).map(|()| {
            let reason = "the peer read nothing for limits.stall_timeout_secs";
            Err(io::Error::new(ErrorKind::TimedOut, reason))
        })
    }
}

impl AsyncRead for TimedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TimedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.note(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.note(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The kernel has everything that was written.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
