//! A TCP socket that breaks when its peer takes nothing for the stall time: while hyper has it, nobody
//! else would notice. TLS, if there is any, goes on top of it, so that what counts is what the peer's
//! kernel took.

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// See the module.
#[derive(Debug)]
pub(crate) struct TimedSocket {
    socket: TcpStream,
    stall: Duration,
    /// Rings when the peer has taken nothing for too long; none while the socket takes what it gets.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl TimedSocket {
    /// Wraps a socket whose peer may take nothing for `stall`.
    pub(crate) fn new(socket: TcpStream, stall: Duration) -> Self {
        Self {
            socket,
            stall,
            alarm: None,
        }
    }

    /// Gives the socket back.
    pub(crate) fn into_inner(self) -> TcpStream {
        self.socket
    }

    /// Lets the alarm know what became of a write.
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
            let reason = "the peer took nothing for limits.stall_timeout_secs";
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
        // The kernel has what was written.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
