//! The byte stream that hyper reads and writes: a plain or TLS socket. The bytes that were read to detect the protocol
//! are put back in front. While hyper owns the stream, its I/O state tells others whether the last write was
//! held up, and whether the peer has ended.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::timed_socket::TimedSocket;
use crate::http::io_state::IoState;

/// Maximum number of bytes to read ahead of hyper to learn whether the peer has ended. A peer that sends more before
/// its answer is no longer watched.
const AHEAD_BYTES_MAX: usize = 4096;

/// A connection's bytes as hyper sees them.
#[derive(Debug)]
pub(crate) struct Stream {
    transport: Transport,
    /// Bytes read to detect the protocol. hyper gets them first.
    prefix: Prefix,
    /// Bytes read ahead of hyper. It gets them next.
    ahead: Vec<u8>,
    io_state: Rc<IoState>,
}

/// The socket below.
#[derive(Debug)]
pub(crate) enum Transport {
    /// Cleartext.
    Plain(TimedSocket),
    /// TLS. Boxed, since its state takes a kilobyte.
    Tls(Box<TlsStream<TimedSocket>>),
}

/// Up to three bytes, enough to tell an HTTP/2 preface from every HTTP/1 method.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prefix {
    bytes: [u8; 3],
    len: usize,
}

impl Prefix {
    /// Appends a byte. Bytes beyond the third are dropped; nobody pushes them.
    pub(crate) fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// Returns the bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Stream {
    /// Wraps a transport from which `prefix` was read already.
    pub(crate) fn new(transport: Transport, prefix: Prefix) -> Self {
        Self {
            transport,
            prefix,
            ahead: Vec::new(),
            io_state: Rc::default(),
        }
    }

    /// Returns the I/O state, which others can ask while hyper owns the stream.
    pub(crate) fn io_state(&self) -> Rc<IoState> {
        Rc::clone(&self.io_state)
    }

    /// Takes the bytes that were read ahead.
    pub(crate) fn take_ahead(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.ahead)
    }

    /// Returns the socket, with its TLS state if it has one.
    pub(crate) fn into_socket(self) -> (TcpStream, Option<Box<ServerConnection>>) {
        match self.transport {
            Transport::Plain(socket) => (socket.into_inner(), None),
            Transport::Tls(stream) => {
                let (socket, tls) = stream.into_inner();
                (socket.into_inner(), Some(Box::new(tls)))
            }
        }
    }

    fn note<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.io_state.set_held_up(result.is_pending());
        result
    }

    fn poll_transport(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }

    /// Reads ahead if somebody watches whether the peer ends.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        while self.io_state.is_watched() && self.ahead.len() < AHEAD_BYTES_MAX {
            let mut bytes = [0; 512];
            let mut buffer = ReadBuf::new(&mut bytes);
            let ended = match self.poll_transport(cx, &mut buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => buffer.filled().is_empty(),
                Poll::Ready(Err(_)) => true,
            };
            self.ahead.extend_from_slice(buffer.filled());
            if ended {
                self.io_state.set_ended();
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.prefix.len > 0 {
            let count = self.prefix.len.min(buffer.remaining());
            let prefix = self.prefix;
            let (now, later) = prefix
                .as_slice()
                .split_at_checked(count)
                .unwrap_or_default();
            buffer.put_slice(now);
            self.prefix = Prefix::default();
            later.iter().for_each(|&byte| self.prefix.push(byte));
            return Poll::Ready(Ok(()));
        }
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            self.ahead
                .drain(..count)
                .for_each(|byte| buffer.put_slice(&[byte]));
            return Poll::Ready(Ok(()));
        }
        self.poll_transport(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        };
        self.note(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        };
        self.note(result)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(socket) => socket.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes whenever it can do nothing more.
        self.look_ahead(cx);
        let result = match &mut self.transport {
            Transport::Plain(_) => return Poll::Ready(Ok(())),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        };
        self.note(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = match &mut self.transport {
            Transport::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        };
        ready!(result)?;
        Poll::Ready(Ok(()))
    }
}
