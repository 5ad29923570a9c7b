//! A WebSocket's bytes inside an HTTP/2 stream (RFC 8441): the session on one side, hyper's tunnel
//! on the other, and between them room for one write and one read.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Sent;

/// Bytes read from the tunnel at once.
const READ_BYTES: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Pipe(RefCell<State>);

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
    pub(crate) fn new() -> Rc<Self> {
        Rc::default()
    }

    /// Hands bytes over if there is room.
    pub(crate) fn try_send(&self, bytes: &Bytes) -> io::Result<Sent> {
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
    pub(crate) fn end(&self) {
        let mut state = self.0.borrow_mut();
        state.ended = true;
        wake(&mut state.pump);
    }
}

/// Moves bytes between a pipe and the tunnel that hyper makes of the request, to the end of both.
pub(crate) async fn pump(tunnel: OnUpgrade, pipe: Rc<Pipe>) {
    if let Ok(upgraded) = tunnel.await {
        let mut io = TokioIo::new(upgraded);
        // An error ends the tunnel like its end does; the session finds it gone.
        drop(poll_fn(|cx| pipe.poll_pump(&mut io, cx)).await);
    }
    let mut state = pipe.0.borrow_mut();
    state.gone = true;
    wake(&mut state.session);
}

impl Pipe {
    fn poll_pump(&self, io: &mut TokioIo<Upgraded>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        state.pump = Some(cx.waker().clone());
        while !state.out.is_empty() {
            match Pin::new(&mut *io).poll_write(cx, &state.out) {
                Poll::Ready(written) => state.out.advance(written?),
                Poll::Pending => break,
            }
            if state.out.is_empty() {
                state.out = Bytes::new();
                wake(&mut state.session);
            }
        }
        if state.out.is_empty() {
            if state.ended {
                return Pin::new(&mut *io).poll_shutdown(cx);
            }
            if let Poll::Ready(Err(error)) = Pin::new(&mut *io).poll_flush(cx) {
                return Poll::Ready(Err(error));
            }
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
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
