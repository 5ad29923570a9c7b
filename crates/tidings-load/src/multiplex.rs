//! One HTTP/2 connection with its event streams, driven by the epoll set without a runtime: the
//! crate `h2` reads and writes the frames, and is polled when the socket is ready.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use http::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::BenchError;
use crate::link::{Arrived, Link};
use crate::mark::{Mark, Scanner};
use crate::subscriber::ended;

/// Bytes that the hub may send before it receives a window update, per stream and per connection:
/// as in browsers.
const STREAM_WINDOW: u32 = 6 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 15 * 1024 * 1024;

/// An HTTP/2 connection.
pub(crate) struct Multiplex {
    connection: Connection<Pipe, Bytes>,
    requests: SendRequest<Bytes>,
    streams: Vec<Stream>,
    /// Set when the connection itself must be polled.
    woken: Arc<Flag>,
    /// Streams that must be polled.
    ready: Arc<Ready>,
    bytes: u64,
}

/// An event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The hub accepted the subscription.
    Opened,
    /// An update arrived.
    Mark(Mark),
}

struct Stream {
    account: usize,
    phase: Phase,
    waker: Waker,
    scanner: Scanner,
}

enum Phase {
    Requested(ResponseFuture),
    Open(RecvStream),
}

impl std::fmt::Debug for Multiplex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Multiplex")
            .field("streams", &self.streams.len())
            .finish_non_exhaustive()
    }
}

impl Multiplex {
    /// Starts HTTP/2 on a new connection.
    ///
    /// # Errors
    ///
    /// The connection fails.
    pub(crate) fn open(link: Link) -> io::Result<Self> {
        let handshake = Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .enable_push(false)
            .handshake::<_, Bytes>(Pipe {
                link,
                drained: false,
            });
        // The handshake only writes, and the socket waits until everything is sent, so one poll
        // completes it.
        let mut context = Context::from_waker(Waker::noop());
        let (requests, connection) = match pin!(handshake).poll(&mut context) {
            Poll::Ready(result) => result.map_err(io::Error::other)?,
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        };
        Ok(Self {
            connection,
            requests,
            streams: Vec::new(),
            woken: Arc::default(),
            ready: Arc::default(),
            bytes: 0,
        })
    }

    /// Sends a subscription. The previous one must have been answered. `account` is its number in
    /// the ledger.
    ///
    /// # Errors
    ///
    /// The connection fails, or the hub allows no more streams.
    pub(crate) fn subscribe(&mut self, request: &Request<()>, account: usize) -> io::Result<()> {
        let mut context = Context::from_waker(Waker::noop());
        match self.requests.poll_ready(&mut context) {
            Poll::Ready(result) => result.map_err(io::Error::other)?,
            Poll::Pending => return Err(io::Error::other("the hub allows no more streams")),
        }
        let (response, _body) =
            (self.requests.send_request(request.clone(), true)).map_err(io::Error::other)?;
        let place = self.streams.len();
        let ready = Arc::clone(&self.ready);
        self.streams.push(Stream {
            account,
            phase: Phase::Requested(response),
            waker: Waker::from(Arc::new(StreamWaker { place, ready })),
            scanner: Scanner::default(),
        });
        self.ready.lock().push(place);
        self.woken.0.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Returns the bytes of all event streams.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads what is available and calls `on_event` with the number of the stream's account.
    ///
    /// # Errors
    ///
    /// [`BenchError::Refused`] if a response is not an event stream; [`BenchError::Connection`] if
    /// the connection or a stream ended.
    /// the connection or a stream ended.
    pub(crate) fn on_readable(
        &mut self,
        mut on_event: impl FnMut(usize, Event),
    ) -> Result<(), BenchError> {
        let waker = Waker::from(Arc::clone(&self.woken));
        loop {
            self.woken.0.store(false, Ordering::Relaxed);
            match Pin::new(&mut self.connection).poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => return Err(BenchError::Connection(ended())),
                Poll::Ready(Err(error)) => return Err(broken(error)),
            }
            let ready = std::mem::take(&mut *self.ready.lock());
            for place in ready {
                if let Some(stream) = self.streams.get_mut(place) {
                    self.bytes += stream.read(&mut on_event)?;
                }
            }
            // Reading frees window space, which the connection may have to announce to the hub.
            if !self.woken.0.load(Ordering::Relaxed) && self.ready.lock().is_empty() {
                return Ok(());
            }
        }
    }
}

impl Stream {
    /// Reads what the connection has for this stream. Returns the number of bytes.
    fn read(&mut self, on_event: &mut impl FnMut(usize, Event)) -> Result<u64, BenchError> {
        let account = self.account;
        let mut context = Context::from_waker(&self.waker);
        if let Phase::Requested(response) = &mut self.phase {
            match Pin::new(response).poll(&mut context) {
                Poll::Pending => return Ok(0),
                Poll::Ready(response) => self.phase = opened(response.map_err(broken)?)?,
            }
            on_event(account, Event::Opened);
        }
        let Phase::Open(body) = &mut self.phase else {
            return Ok(0);
        };
        let mut bytes = 0;
        loop {
            match body.poll_data(&mut context) {
                Poll::Pending => return Ok(bytes),
                Poll::Ready(None) => return Err(BenchError::Connection(ended())),
                Poll::Ready(Some(piece)) => {
                    let piece = piece.map_err(broken)?;
                    bytes += piece.len() as u64;
                    (body.flow_control().release_capacity(piece.len())).map_err(broken)?;
                    self.scanner
                        .scan(&piece, |mark| on_event(account, Event::Mark(mark)));
                }
            }
        }
    }
}

fn opened(response: Response<RecvStream>) -> Result<Phase, BenchError> {
    if response.status() != StatusCode::OK {
        return Err(BenchError::Refused {
            request: "subscription",
            status: response.status().to_string(),
            detail: "over HTTP/2".to_owned(),
        });
    }
    Ok(Phase::Open(response.into_body()))
}

fn broken(error: h2::Error) -> BenchError {
    BenchError::Connection(io::Error::other(error))
}

/// The socket for `h2`: reads never wait, writes always do.
struct Pipe {
    link: Link,
    /// Whether the last read emptied the socket, so that the next call needs no system call. Epoll
    /// reports later data.
    drained: bool,
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.drained) {
            return Poll::Pending;
        }
        let space = buffer.initialize_unfilled();
        let size = space.len();
        match self.link.read(space)? {
            Arrived::Bytes(count) => {
                self.drained = count < size && self.link.short_read_is_last();
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Arrived::Nothing => Poll::Pending,
            Arrived::End => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.link.send(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Records that the connection must be polled again.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The streams that must be polled.
#[derive(Debug, Default)]
struct Ready(Mutex<Vec<usize>>);

impl Ready {
    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes one stream.
#[derive(Debug)]
struct StreamWaker {
    place: usize,
    ready: Arc<Ready>,
}

impl Wake for StreamWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().push(self.place);
    }
}
