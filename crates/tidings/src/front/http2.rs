//! One HTTP/2 connection. Each stream counts like a connection, books its memory in the account, and ends if the peer
//! reads nothing of its answer for the stall time.
//!
//! ```text
//! hyper ──execute──▶ Streams ──▶ Watched { hyper's future of one stream, Progress }
//!                                   │ polls it                     ▲ offered, taken
//!                                   ▼                              │
//!                               service ──▶ answer ──▶ Paced { body in small pieces }
//! ```
//!
//! A peer keeps a stream's window closed by sending no WINDOW_UPDATE, and hyper waits for it forever. So `Watched`
//! polls hyper's future of a stream and knows when the peer last read something. Dropping that future resets the
//! stream (RFC 9113, 8.1: CANCEL).

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::connection::{Failure, HEAD_BYTES_MAX};
use super::stream::Stream;
use super::tunnel;
use crate::http::Site;
use crate::http::client::Client;
use crate::http::io_state::IoState;
use crate::http::problem::Problem;
use crate::http::{self, Answer, Body, ConnectionInfo};
use tidings_hub::account::{Charge, Kind, Seat};
use tidings_hub::metrics::count;
use tidings_hub::session::socket::PIECE_BYTES_MAX;
use tidings_hub::tasks;

/// Interval of PINGs to a silent peer, and the timeout for its answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// Bytes that a peer may send on one stream, and on all streams together, before they are read. Whoever reads bytes
/// books them; bytes in these windows are not booked.
const WINDOW_BYTES: (u32, u32) = (64 * 1024, 128 * 1024);
/// Bytes booked for a stream: its state in hyper and h2, and a piece in h2's queue.
const STREAM_BYTES: usize = PIECE_BYTES_MAX;
/// Bytes booked for an HTTP/2 connection in addition to those of any connection: h2's tables and buffers.
const CONNECTION_BYTES: usize = 16 * 1024;

/// Serves a connection to its end.
pub(super) async fn serve(
    site: &Rc<Site>,
    stream: Stream,
    info: ConnectionInfo,
) -> Result<(), Failure> {
    let _cost = info
        .holder
        .take(Kind::Connection, CONNECTION_BYTES)
        .map_err(Failure::Refused)?;
    let asked = Rc::new(Cell::new(false));
    let streams = Streams::new(site);
    let service = {
        let (site, asked, streams) = (Rc::clone(site), Rc::clone(&asked), streams.clone());
        service_fn(move |request: Request<Incoming>| {
            let (site, info, streams) = (Rc::clone(&site), info.clone(), streams.clone());
            asked.set(true);
            async move {
                let progress = streams.polled();
                let response = respond(&site, &info, &progress, request).await;
                let paced = |body| Paced::new(body, progress, site.transport_stall());
                Ok::<_, Infallible>(response.map(paced))
            }
        })
    };
    let limits = &site.config().limits;
    let mut connection = Box::pin(
        http2::Builder::new(streams)
            .timer(TokioTimer::new())
            .enable_connect_protocol()
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .initial_stream_window_size(WINDOW_BYTES.0)
            .initial_connection_window_size(WINDOW_BYTES.1)
            .max_concurrent_streams(limits.streams_per_connection_max)
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .serve_connection(TokioIo::new(stream), service),
    );
    let mut stages = site.stages();
    // hyper itself would wait forever for the preface and the first request.
    let mut patience = pin!(sleep(limits.head));
    loop {
        tokio::select! {
            result = connection.as_mut() => return result.map_err(Failure::Http),
            () = patience.as_mut(), if !patience.is_elapsed() => {
                if !asked.get() {
                    return Err(Failure::HeadTimeout);
                }
            }
            Ok(()) = stages.changed() => connection.as_mut().graceful_shutdown(),
        }
    }
}

/// Answers the request of one stream, or refuses it if there are too many.
async fn respond(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    progress: &Rc<Progress>,
    request: Request<Incoming>,
) -> Response<Body> {
    let site = &site.now();
    let client = Client::of(site, info.clone(), &request);
    if let Err(problem) = progress.begin(info, &client.info) {
        count(&site.metrics().requests_refused, problem.name());
        return problem.into_response();
    }
    // A reset stream drops its answer, so nobody needs the connection's I/O state.
    let io_state = Rc::<IoState>::default();
    let info = &client.info;
    match http::answer(site, &client, &io_state, request).await {
        Answer::Response(response) => response,
        Answer::OldUpgrade(_) => Problem::not_found().into_response(),
        Answer::Stream(stream) => stream.into_http2(site, info).await,
        Answer::Upgrade(upgrade) => {
            let (response, tunnel, pipe) = upgrade.into_http2(site, info);
            tasks::spawn(tunnel::pump(tunnel, pipe, Rc::clone(progress)));
            response
        }
    }
}

/// The progress of one stream's answer, and what the stream books.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The stream's task.
    waker: RefCell<Option<Waker>>,
    /// When the stream ends unless the peer reads something. None while nothing waits for the peer.
    deadline: Cell<Option<Instant>>,
    cost: RefCell<Option<(Seat, Charge)>>,
}

impl Progress {
    /// Takes a place for the stream, and books its memory for the client.
    fn begin(&self, info: &ConnectionInfo, client: &ConnectionInfo) -> Result<(), Problem> {
        let seat = info
            .holder
            .seat_stream()
            .map_err(Problem::too_many_connections)?;
        let charge = client
            .holder
            .take(Kind::Stream, STREAM_BYTES)
            .map_err(Problem::from)?;
        *self.cost.borrow_mut() = Some((seat, charge));
        Ok(())
    }

    /// Ends the stream after at most `patience`.
    pub(crate) fn end_within(&self, patience: Duration) {
        self.await_within(patience);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Ends the stream unless the peer reads something within `patience`. Call it while the stream is polled:
    /// [`Watched`] then checks the deadline.
    fn await_within(&self, patience: Duration) {
        self.deadline.set(Instant::now().checked_add(patience));
    }

    fn keep_waker(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *waker = Some(cx.waker().clone());
        }
    }

    fn idle(&self) {
        self.deadline.set(None);
    }
}

/// Spawns hyper's futures of the streams of one connection.
#[derive(Clone)]
struct Streams(Rc<StreamsInner>);

struct StreamsInner {
    site: Rc<Site>,
    /// The progress of the stream that is being polled.
    polled: RefCell<Option<Rc<Progress>>>,
}

impl Streams {
    fn new(site: &Rc<Site>) -> Self {
        Self(Rc::new(StreamsInner {
            site: Rc::clone(site),
            polled: RefCell::default(),
        }))
    }

    /// Returns the progress of the stream that is being polled.
    fn polled(&self) -> Rc<Progress> {
        self.0.polled.borrow().clone().unwrap_or_default()
    }
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + 'static,
{
    fn execute(&self, future: F) {
        // A future that a stream spawns belongs to that stream: the sending half of its tunnel.
        let progress = self.polled();
        tasks::spawn(Watched {
            future: Box::pin(future),
            progress,
            streams: self.clone(),
            alarm: None,
        });
    }
}

/// A stream that ends when its peer reads nothing for too long.
struct Watched<F> {
    future: Pin<Box<F>>,
    progress: Rc<Progress>,
    streams: Streams,
    /// Reads the deadline only when it fires, so that a delivery does not need to move it.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<F: Future<Output = ()>> Future for Watched<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let polled = &this.streams.0.polled;
        let before = polled.replace(Some(Rc::clone(&this.progress)));
        let ended = this.future.as_mut().poll(cx);
        polled.replace(before);
        if ended.is_ready() {
            return ended;
        }
        this.progress.keep_waker(cx);
        while let Some(deadline) = this.progress.deadline.get() {
            let alarm = this
                .alarm
                .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if deadline <= Instant::now() {
                this.streams
                    .0
                    .site
                    .metrics()
                    .peer_memory
                    .responses_stalled
                    .inc();
                return Poll::Ready(());
            }
            alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// A body that hyper gets in small pieces. It notes when the peer has read one: hyper asks for the next piece when
/// the window had room for the last.
struct Paced {
    body: Body,
    /// The rest of the body's current piece.
    rest: Bytes,
    progress: Rc<Progress>,
    stall: Duration,
}

impl Paced {
    fn new(body: Body, progress: Rc<Progress>, stall: Duration) -> Self {
        if !body.is_end_stream() {
            progress.await_within(stall);
        }
        Self {
            body,
            rest: Bytes::new(),
            progress,
            stall,
        }
    }

    /// Cuts off the next piece. The last byte of an answer is a piece of its own: the stream ends with it, and by then
    /// everything before it must have had room in the window.
    fn cut(&mut self) -> Bytes {
        let len = self.rest.len().min(PIECE_BYTES_MAX);
        let last = len == self.rest.len() && self.body.is_end_stream();
        let piece = self
            .rest
            .split_to(if last && len > 1 { len - 1 } else { len });
        self.progress.await_within(self.stall);
        piece
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(self.cut()))));
        }
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => {
                self.progress.idle();
                Poll::Pending
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) => {
                    self.rest = bytes;
                    Poll::Ready(Some(Ok(Frame::data(self.cut()))))
                }
                Err(other) => Poll::Ready(Some(Ok(other))),
            },
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        match hint.exact() {
            Some(bytes) => hint.set_exact(bytes + rest),
            None => hint = SizeHint::default(),
        }
        hint
    }
}
