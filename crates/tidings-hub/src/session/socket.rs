//! What a session writes to and reads from: a plain socket, TLS, the body of an HTTP/2 response, a tunnel
//! through HTTP/2, or SockJS requests. Each call tries once and never waits; the session's task waits.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use rustls::ServerConnection;
use tokio::net::TcpStream;

use super::carrier::Carrier;
use super::pipe::Pipe;

/// Bytes read at once from a subscriber that should send nothing.
const STRAY_READ_BYTES: usize = 512;
/// Bytes read from it before the caller counts them. A flood must not keep the shard busy.
const STRAY_BYTES_PER_TURN: usize = 16 * STRAY_READ_BYTES;

/// Bytes that hyper takes of a piece at once.
pub const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Where a subscriber's bytes go.
#[derive(Debug)]
pub enum Socket {
    /// A socket taken over from hyper.
    Plain(TcpStream),
    /// The same with its TLS state.
    Tls(Box<TlsSocket>),
    /// A response body that hyper writes (HTTP/2).
    Body(Rc<BodySink>),
    /// A tunnel through an HTTP/2 stream (RFC 8441).
    Pipe(Rc<Pipe>),
    /// None of its own. Requests receive what is written (SockJS).
    Carrier(Rc<Carrier>),
}

/// A TLS connection taken over from hyper.
#[derive(Debug)]
pub struct TlsSocket {
    stream: TcpStream,
    tls: RefCell<ServerConnection>,
    /// Bytes that rustls holds for the socket, without the overhead of encryption.
    pending: Cell<usize>,
}

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Bytes that the socket took over.
    pub(crate) taken: usize,
    /// Whether no buffer of ours holds anything. Otherwise the peer reads slower than we write.
    pub(crate) flushed: bool,
}

/// The result of reading stray input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// So many bytes were read and dropped. There are no more for now.
    Stray(usize),
    /// The peer is gone.
    Closed,
}

impl Socket {
    /// Makes a TLS socket from the parts that hyper gave back.
    pub(crate) fn tls(stream: TcpStream, tls: ServerConnection) -> Self {
        Self::Tls(Box::new(TlsSocket {
            stream,
            tls: RefCell::new(tls),
            pending: Cell::new(0),
        }))
    }

    /// Writes as much of `bytes` as the socket takes at once.
    ///
    /// # Errors
    ///
    /// The connection is broken. A full socket is not an error.
    pub fn try_send(&self, bytes: &Bytes) -> io::Result<Sent> {
        match self {
            Self::Plain(stream) => match stream.try_write(bytes) {
                Ok(taken) => Ok(Sent {
                    taken,
                    flushed: taken == bytes.len(),
                }),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Sent {
                    taken: 0,
                    flushed: false,
                }),
                Err(error) => Err(error),
            },
            Self::Tls(socket) => socket.try_send(bytes),
            Self::Body(sink) => sink.try_send(bytes),
            Self::Pipe(pipe) => pipe.try_send(bytes),
            Self::Carrier(carrier) => Ok(carrier.try_send(bytes)),
        }
    }

    /// Waits until no buffer of ours holds anything and the socket takes more.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_write_ready(cx),
            Self::Tls(socket) => socket.poll_flush(cx),
            Self::Body(sink) => sink.poll_empty(cx),
            Self::Pipe(pipe) => pipe.poll_empty(cx),
            Self::Carrier(carrier) => carrier.poll_space(cx).map(Ok),
        }
    }

    /// Returns the bytes that are held here for the peer.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Self::Plain(_) => 0,
            Self::Tls(socket) => socket.pending.get(),
            Self::Body(sink) => sink.0.borrow().chunk.as_ref().map_or(0, Bytes::len),
            Self::Pipe(pipe) => pipe.held_bytes(),
            Self::Carrier(carrier) => carrier.held_bytes(),
        }
    }

    /// Waits until the peer sent something or went away.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => stream.poll_read_ready(cx),
            Self::Tls(socket) => socket.stream.poll_read_ready(cx),
            Self::Body(sink) => sink.poll_gone(cx),
            Self::Pipe(pipe) => pipe.poll_readable(cx),
            // Its peer sends by requests.
            Self::Carrier(_) => Poll::Pending,
        }
    }

    /// Reads and drops what a subscriber sent after its request.
    ///
    /// # Errors
    ///
    /// The connection is broken or the peer breaks TLS.
    pub(crate) fn discard_input(&self) -> io::Result<Input> {
        match self {
            Self::Plain(stream) => discard(STRAY_BYTES_PER_TURN, |buffer| stream.try_read(buffer)),
            Self::Tls(socket) => socket.discard_input(),
            Self::Body(sink) => Ok(sink.input()),
            Self::Pipe(pipe) => discard(STRAY_BYTES_PER_TURN, |buffer| pipe.try_read(buffer)),
            Self::Carrier(_) => Ok(Input::Stray(0)),
        }
    }

    /// Reads what the peer sent. 0 bytes mean that it sends nothing more.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] if there is nothing for now. Otherwise the connection is broken.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.try_read(buffer),
            Self::Tls(socket) => socket.try_read(buffer),
            Self::Body(_) | Self::Carrier(_) => Err(ErrorKind::WouldBlock.into()),
            Self::Pipe(pipe) => pipe.try_read(buffer),
        }
    }

    /// Wakes the reader of a body, because the session has caught up.
    pub(crate) fn on_caught_up(&self) {
        if let Self::Body(sink) = self {
            wake(&mut sink.0.borrow_mut().body);
        }
    }

    /// Ends cleanly: `close_notify` under TLS, then the end of the TCP stream. Best effort.
    pub fn finish(&self) {
        match self {
            Self::Plain(stream) => shutdown(stream),
            Self::Tls(socket) => {
                let mut tls = socket.tls.borrow_mut();
                tls.send_close_notify();
                // The peer may be gone already.
                drop(socket.write_records(&mut tls));
                shutdown(&socket.stream);
            }
            Self::Body(sink) => sink.end(BodyEnd::Complete),
            Self::Pipe(pipe) => pipe.end(),
            Self::Carrier(_) => {}
        }
    }

    /// Drops what waits here for the peer, unless it is short enough to be covered by the stream's own charge.
    /// The session ends and no longer books it, and a peer that takes nothing would keep it in memory.
    pub(crate) fn give_up(&self) {
        if let Self::Body(sink) = self {
            sink.give_up();
        }
    }

    /// Ends as if the connection broke off: resets an HTTP/2 stream. A socket ends as by
    /// [`finish`](Self::finish), with FIN, because a reset could destroy what the peer has not read yet.
    pub(crate) fn break_off(&self) {
        match self {
            Self::Body(sink) => sink.end(BodyEnd::BrokenOff),
            Self::Plain(_) | Self::Tls(_) | Self::Pipe(_) | Self::Carrier(_) => self.finish(),
        }
    }
}

fn shutdown(stream: &TcpStream) {
    // An error means that the peer closed first.
    drop(socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write));
}

/// Reads until nothing is left for now, or until `bytes_max` are reached.
fn discard(
    bytes_max: usize,
    mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
) -> io::Result<Input> {
    let mut stray = 0;
    let mut buffer = [0; STRAY_READ_BYTES];
    loop {
        match read(&mut buffer) {
            Ok(0) => return Ok(Input::Closed),
            Ok(count) => stray += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Input::Stray(stray)),
            Err(error) => return Err(error),
        }
        if stray >= bytes_max {
            return Ok(Input::Stray(stray));
        }
    }
}

impl TlsSocket {
    fn try_send(&self, bytes: &Bytes) -> io::Result<Sent> {
        let mut tls = self.tls.borrow_mut();
        let mut rest: &[u8] = bytes;
        loop {
            // rustls takes bytes up to its buffer limit, so the cost of a stalled peer is bounded.
            let taken = tls.writer().write(rest)?;
            self.pending.set(self.pending.get() + taken);
            rest = rest
                .split_at_checked(taken)
                .map_or(&[][..], |(_, rest)| rest);
            let flushed = self.write_records(&mut tls)?;
            if rest.is_empty() || !flushed {
                return Ok(Sent {
                    taken: bytes.len() - rest.len(),
                    flushed,
                });
            }
        }
    }

    /// Writes encrypted records until none is left (`true`) or the socket is full.
    fn write_records(&self, tls: &mut ServerConnection) -> io::Result<bool> {
        while tls.wants_write() {
            match tls.write_tls(&mut TryIo(&self.stream)) {
                Ok(count) => self.pending.set(self.pending.get().saturating_sub(count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.pending.set(0);
        Ok(true)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            if self.write_records(&mut self.tls.borrow_mut())? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut tls = self.tls.borrow_mut();
        let mut stray = 0;
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Also 0 after close_notify (RFC 8446, 6.1).
                result => return result,
            }
            if stray >= STRAY_BYTES_PER_TURN {
                // Empty records could go on without end, and other sessions need their turn.
                return Err(ErrorKind::WouldBlock.into());
            }
            let count = tls.read_tls(&mut TryIo(&self.stream))?;
            if count == 0 {
                return Ok(0);
            }
            stray += count;
            tls.process_new_packets()
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            // Answers to key updates. What the socket does not take goes with the next write.
            self.write_records(&mut tls)?;
        }
    }

    fn discard_input(&self) -> io::Result<Input> {
        let mut tls = self.tls.borrow_mut();
        let mut stray = 0;
        loop {
            // Decrypted bytes go first: rustls reads nothing while it holds too much.
            match discard(usize::MAX, |buffer| tls.reader().read(buffer))? {
                // close_notify: the peer will not read any more either (RFC 8446, 6.1).
                Input::Closed => return Ok(Input::Closed),
                // Bounded by what rustls holds, and counted below.
                Input::Stray(_) => {}
            }
            if stray >= STRAY_BYTES_PER_TURN {
                break;
            }
            match tls.read_tls(&mut TryIo(&self.stream)) {
                Ok(0) => return Ok(Input::Closed),
                // Encrypted bytes count, since empty records could go on without end.
                Ok(count) => stray += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
            tls.process_new_packets()
                .map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
        // Answers to key updates and the like. What the socket does not take goes with the next write.
        self.write_records(&mut tls)?;
        Ok(Input::Stray(stray))
    }
}

/// Lets rustls use a tokio socket without waiting.
struct TryIo<'a>(&'a TcpStream);

impl Read for TryIo<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for TryIo<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The place where one piece of an HTTP/2 response waits for hyper.
#[derive(Debug, Default)]
pub struct BodySink(RefCell<BodyState>);

#[derive(Debug, Default)]
struct BodyState {
    chunk: Option<Bytes>,
    /// Whether a part of the chunk was taken already.
    is_cut: bool,
    end: Option<BodyEnd>,
    /// Whether hyper has just taken a piece and may not have written it yet.
    handed_over: bool,
    /// Whether hyper dropped the body: the stream was reset or the connection ended.
    gone: bool,
    body: Option<Waker>,
    /// The session, waiting for its chunk to be taken.
    writing: Option<Waker>,
    /// The session, waiting for the end of the body. Deliveries do not wake it.
    watching: Option<Waker>,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyEnd {
    Complete,
    BrokenOff,
}

impl BodySink {
    /// Makes an empty sink, and the body that takes from it.
    pub fn new() -> (Rc<Self>, StreamBody) {
        let sink = Rc::new(Self::default());
        (Rc::clone(&sink), StreamBody(sink))
    }

    fn try_send(&self, bytes: &Bytes) -> io::Result<Sent> {
        let mut state = self.0.borrow_mut();
        if state.gone {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if state.chunk.is_some() {
            return Ok(Sent {
                taken: 0,
                flushed: false,
            });
        }
        state.chunk = Some(bytes.clone());
        wake(&mut state.body);
        Ok(Sent {
            taken: bytes.len(),
            flushed: true,
        })
    }

    fn poll_empty(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if state.gone {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        if state.chunk.is_none() {
            return Poll::Ready(Ok(()));
        }
        state.writing = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_gone(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.borrow_mut();
        if state.gone {
            return Poll::Ready(Ok(()));
        }
        state.watching = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Returns whether hyper still has the body. A response has no input.
    fn input(&self) -> Input {
        if self.0.borrow().gone {
            Input::Closed
        } else {
            Input::Stray(0)
        }
    }

    fn give_up(&self) {
        let mut state = self.0.borrow_mut();
        let waiting = state.chunk.as_ref().map_or(0, Bytes::len);
        if waiting > PIECE_BYTES_MAX {
            state.chunk = None;
            // The peer may have a part of it. Only a broken end tells that it is not the whole.
            state.end = Some(BodyEnd::BrokenOff);
        }
    }

    fn end(&self, end: BodyEnd) {
        let mut state = self.0.borrow_mut();
        state.end.get_or_insert(end);
        wake(&mut state.body);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// The error that makes a stream look broken: hyper resets the HTTP/2 stream.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the event stream was broken off")]
pub struct BrokenOff;

/// The body of an HTTP/2 event stream, or the source of a poll's response.
#[derive(Debug)]
pub struct StreamBody(Rc<BodySink>);

impl StreamBody {
    /// Takes the next whole piece. The caller books it. None at the end.
    pub fn poll_whole(&mut self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.0.0.borrow_mut();
        if let Some(chunk) = state.chunk.take() {
            wake(&mut state.writing);
            return Poll::Ready(Some(chunk));
        }
        if state.end.is_some() {
            return Poll::Ready(None);
        }
        state.body = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes the next piece, of at most [`PIECE_BYTES_MAX`] bytes. None at the end.
    ///
    /// # Errors
    ///
    /// The stream ends and must look broken.
    pub fn poll_piece(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        {
            // The rest of a long piece stays here, where the waiting session books it.
            let state = &mut *self.0.0.borrow_mut();
            if let Some(chunk) = &mut state.chunk {
                state.handed_over = true;
                // A copy, so that a part does not keep the memory of the whole.
                if chunk.len() > PIECE_BYTES_MAX {
                    let part = Bytes::copy_from_slice(&chunk.split_to(PIECE_BYTES_MAX));
                    state.is_cut = true;
                    return Poll::Ready(Some(Ok(part)));
                }
                if state.is_cut {
                    *chunk = Bytes::copy_from_slice(chunk);
                    state.is_cut = false;
                }
            } else if state.end == Some(BodyEnd::BrokenOff) {
                if !state.handed_over {
                    return Poll::Ready(Some(Err(BrokenOff)));
                }
                // A reset drops what waits to be written. The last piece woke the connection's task, which
                // therefore writes before it polls this body again.
                state.handed_over = false;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        self.poll_whole(cx).map(|chunk| chunk.map(Ok))
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        let mut state = self.0.0.borrow_mut();
        state.gone = true;
        wake(&mut state.writing);
        wake(&mut state.watching);
    }
}
