//! A WebSocket's bytes inside an HTTP/2 stream (RFC 8441): the session is on one side, the tunnel
//! (`front/tunnel`) on the other. Between them is room for one write and one read.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Sent;

/// Bytes read from the tunnel at once.
const READ_BYTES: usize = 4096;
/// Bytes written to the tunnel at once: one HTTP/2 frame. hyper copies each piece, and holds a few of them for
/// a peer that takes nothing.
const WRITE_BYTES: usize = 16 * 1024;

/// The meeting point of a session and its tunnel.
#[derive(Debug, Default)]
pub struct Pipe(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    /// Written by the session, not yet by hyper.
    out: Bytes,
    /// Read by hyper, not yet by the session.
    read: Bytes,
    /// Whether the session ends.
    ended: bool,
    /// Whether the peer sends nothing more.
    eof: bool,
    /// Whether the tunnel is gone.
    gone: bool,
    session: Option<Waker>,
    pump: Option<Waker>,
}

impl Pipe {
    /// Makes an empty pipe.
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Hands bytes over if there is room.
    ///
    /// # Errors
    ///
    /// The tunnel is gone.
    pub fn try_send(&self, bytes: &Bytes) -> io::Result<Sent> {
        let mut state = self.0.borrow_mut();
        if state.gone {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if !state.out.is_empty() {
            return Ok(Sent {
                taken: 0,
                flushed: false,
            });
        }
        state.out = bytes.clone();
        wake(&mut state.pump);
        Ok(Sent {
            taken: bytes.len(),
            flushed: true,
        })
    }

    /// Returns the bytes that wait for hyper.
    pub(crate) fn held_bytes(&self) -> usize {
        self.0.borrow().out.len()
    }

    /// Waits for room.
    pub(crate) fn poll_empty(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if state.gone {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if state.out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        state.session = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Waits for bytes of the peer, or its end.
    pub(crate) fn poll_readable(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if !state.read.is_empty() || state.eof || state.gone {
            return Poll::Ready(Ok(()));
        }
        state.session = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes bytes of the peer.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.borrow_mut();
        if state.read.is_empty() {
            return if state.eof || state.gone {
                Ok(0)
            } else {
                Err(ErrorKind::WouldBlock.into())
            };
        }
        let count = buffer.len().min(state.read.len());
        if let Some(target) = buffer.get_mut(..count) {
            state.read.copy_to_slice(target);
        }
        wake(&mut state.pump);
        Ok(count)
    }

    /// Ends the stream once what was written is out.
    pub fn end(&self) {
        let mut state = self.0.borrow_mut();
        state.ended = true;
        wake(&mut state.pump);
    }
}

impl Pipe {
    /// Notes that the tunnel is gone.
    pub fn close(&self) {
        let mut state = self.0.borrow_mut();
        state.gone = true;
        state.out = Bytes::new();
        wake(&mut state.session);
    }

    /// Moves bytes both ways until the session ends.
    pub fn poll_carry(
        &self,
        io: &mut (impl AsyncRead + AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        state.pump = Some(cx.waker().clone());
        if state.ended {
            return Poll::Ready(Ok(()));
        }
        if state.poll_write(io, cx)?.is_ready()
            && let Poll::Ready(Err(error)) = Pin::new(&mut *io).poll_flush(cx)
        {
            return Poll::Ready(Err(error));
        }
        while state.read.is_empty() && !state.eof {
            let mut bytes = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut *io).poll_read(cx, &mut buffer) {
                Poll::Ready(result) => result?,
                Poll::Pending => break,
            }
            state.eof = buffer.filled().is_empty();
            state.read = Bytes::copy_from_slice(buffer.filled());
            wake(&mut state.session);
        }
        Poll::Pending
    }

    /// Writes what is left, and ends the tunnel.
    pub fn poll_rest(
        &self,
        io: &mut (impl AsyncRead + AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.0.borrow_mut().poll_write(io, cx))?;
        Pin::new(io).poll_shutdown(cx)
    }
}

impl State {
    /// Writes until nothing is left.
    fn poll_write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let piece = self.out.slice(..self.out.len().min(WRITE_BYTES));
            let written = ready!(Pin::new(&mut *io).poll_write(cx, &piece))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            if self.out.is_empty() {
                self.out = Bytes::new();
                wake(&mut self.session);
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
