//! Spans: what became of an update, for a collector of traces (OpenTelemetry).
//!
//! A sampled update has a span `publish`, below it `commit`, and on each shard that writes it one `deliver`,
//! which is linked to the publisher and counts subscribers instead of naming them. What a subscriber reads later has
//! a span `replay` for each time that it catches up. Nothing here waits: spans go
//! into a bounded queue, and those that find it full are counted and dropped.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use tidings_core::trace::TraceContext;
use tidings_core::update::Update;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Spans that wait for the exporter.
pub const SPANS_WAITING_MAX: usize = 4096;
/// The longest text of an attribute in bytes; a longer one is cut.
const TEXT_BYTES_MAX: usize = 256;
/// The links of a replay; more updates are only counted.
const LINKS_MAX: usize = 32;

/// Which updates have spans.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether the publisher decides, if its update has a trace.
    pub by_parent: bool,
    /// The part of the other updates that is sampled, from 0 to 1.
    pub ratio: f64,
}

impl Sampler {
    /// Decides about an update by the id of its trace alone, so that all hubs decide alike.
    fn samples(&self, parent: Option<TraceContext>, trace_id: &[u8; 16]) -> bool {
        if let Some(parent) = parent.filter(|_| self.by_parent) {
            return parent.is_sampled();
        }
        let [.., a, b, c, d, e, f, g] = *trace_id;
        let random = u64::from_be_bytes([0, a, b, c, d, e, f, g]);
        // Both are below 2^56, which a floating-point number holds almost exactly.
        (random as f64) < self.ratio * (1_u64 << 56) as f64
    }
}

/// A span that has ended.
#[derive(Debug)]
pub struct Span {
    /// What was done.
    pub name: &'static str,
    /// Who is on the other side.
    pub kind: Kind,
    /// The span itself.
    pub context: TraceContext,
    /// The span above it, by its id.
    pub parent: Option<[u8; 8]>,
    /// The spans that caused it, in traces of their own.
    pub links: Vec<TraceContext>,
    /// When it began, in nanoseconds since the Unix epoch.
    pub begun_ns: u64,
    /// When it ended, likewise.
    pub ended_ns: u64,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Moments within it.
    pub events: Vec<(&'static str, u64)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// The kind of a span, by its number in OpenTelemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work within the hub.
    Internal = 1,
    /// A publisher waits for an answer.
    Server = 2,
    /// Messages are sent.
    Producer = 4,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
}

/// What one subscriber reads from the history or the ring, of traced updates.
#[derive(Debug)]
pub(crate) struct Replaying {
    begun: Instant,
    causes: Vec<TraceContext>,
    updates: u64,
}

/// Makes spans. Every thread has the same one.
#[derive(Debug)]
pub struct Tracer {
    sampler: Sampler,
    spans: mpsc::Sender<Span>,
    dropped: Counter,
    /// The same moment on both clocks.
    epoch: (Instant, SystemTime),
}

/// A publish that is under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Publishing {
    /// The span `publish`.
    context: TraceContext,
    parent: Option<TraceContext>,
    begun: Instant,
    enqueued: Instant,
}

impl Publishing {
    /// Returns what the deliveries of the update are linked to: the publisher's span or, without one, the hub's own.
    pub(crate) fn cause(&self) -> TraceContext {
        self.parent.map_or(self.context, TraceContext::sampled)
    }
}

/// The delivery of one update by one shard.
#[derive(Debug)]
pub(crate) struct Delivering {
    pub(crate) index: usize,
    cause: TraceContext,
    durable: Instant,
    first: Option<Instant>,
    last: Instant,
    subscribers: u64,
    bytes: u64,
}

impl Tracer {
    /// Makes a tracer, and the queue that the exporter reads. `dropped` counts spans that find it full.
    pub fn new(sampler: Sampler, dropped: Counter) -> (Arc<Self>, mpsc::Receiver<Span>) {
        let (spans, receiver) = mpsc::channel(SPANS_WAITING_MAX);
        let tracer = Self {
            sampler,
            spans,
            dropped,
            epoch: (Instant::now(), SystemTime::now()),
        };
        (Arc::new(tracer), receiver)
    }

    /// Begins the span of a publish, if it is sampled. `parent` is the publisher's span.
    pub(crate) fn publishing(
        &self,
        parent: Option<TraceContext>,
        begun: Instant,
    ) -> Option<Publishing> {
        let trace_id = parent.map_or_else(random, |parent| *parent.trace_id());
        if !self.sampler.samples(parent, &trace_id) {
            return None;
        }
        Some(Publishing {
            context: TraceContext::new(trace_id, random(), true)?,
            parent,
            begun,
            enqueued: Instant::now(),
        })
    }

    /// Ends the spans of a publish.
    pub(crate) fn published(&self, publishing: Publishing, outcome: Result<&Update, String>) {
        let now = Instant::now();
        let (update, error) = match outcome {
            Ok(update) => (Some(update), None),
            Err(error) => (None, Some(cut(&error))),
        };
        if update.is_some()
            && let Some(context) = below(publishing.context)
        {
            self.send(Span {
                name: "commit",
                kind: Kind::Internal,
                context,
                parent: Some(*publishing.context.span_id()),
                links: Vec::new(),
                begun_ns: self.at(publishing.enqueued),
                ended_ns: self.at(now),
                attributes: Vec::new(),
                events: Vec::new(),
                error: None,
            });
        }
        self.send(Span {
            name: "publish",
            kind: Kind::Server,
            context: publishing.context,
            parent: publishing.parent.map(|parent| *parent.span_id()),
            links: Vec::new(),
            begun_ns: self.at(publishing.begun),
            ended_ns: self.at(now),
            attributes: update.map(about).unwrap_or_default(),
            events: Vec::new(),
            error,
        });
    }

    /// Ends the span of a delivery that reached a subscriber.
    pub(crate) fn delivered(&self, delivering: &Delivering, update: &Update, shard: usize) {
        let Some(first) = delivering.first else {
            return;
        };
        let Some(context) = TraceContext::new(random(), random(), true) else {
            return;
        };
        let mut attributes = about(update);
        attributes.push(("tidings.shard", Attribute::Number(shard as u64)));
        attributes.push((
            "tidings.subscribers",
            Attribute::Number(delivering.subscribers),
        ));
        attributes.push(("tidings.bytes", Attribute::Number(delivering.bytes)));
        let (first, last) = (self.at(first), self.at(delivering.last));
        self.send(Span {
            name: "deliver",
            kind: Kind::Producer,
            context,
            parent: None,
            links: vec![delivering.cause],
            begun_ns: self.at(delivering.durable),
            ended_ns: last,
            attributes,
            events: vec![("first write", first), ("last write", last)],
            error: None,
        });
    }

    /// Ends the span of a replay that had traced updates.
    pub(crate) fn replayed(&self, replaying: Replaying, shard: usize) {
        if replaying.updates == 0 {
            return;
        }
        let Some(context) = TraceContext::new(random(), random(), true) else {
            return;
        };
        self.send(Span {
            name: "replay",
            kind: Kind::Producer,
            context,
            parent: None,
            links: replaying.causes,
            begun_ns: self.at(replaying.begun),
            ended_ns: self.at(Instant::now()),
            attributes: vec![
                ("messaging.system", Attribute::Text("tidings".into())),
                ("tidings.shard", Attribute::Number(shard as u64)),
                ("tidings.updates", Attribute::Number(replaying.updates)),
            ],
            events: Vec::new(),
            error: None,
        });
    }

    fn send(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.dropped.inc();
        }
    }

    /// Returns a moment in nanoseconds since the Unix epoch.
    fn at(&self, instant: Instant) -> u64 {
        let (epoch, wall) = self.epoch;
        let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = match instant.checked_duration_since(epoch) {
            Some(since) => wall + since,
            None => wall.saturating_sub(epoch.duration_since(instant)),
        };
        u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Replaying {
    pub(crate) fn new(begun: Instant) -> Self {
        Self {
            begun,
            causes: Vec::new(),
            updates: 0,
        }
    }

    /// Counts an update that was sent, if it is traced.
    pub(crate) fn on_sent(&mut self, update: &Update) {
        let Some(cause) = update.trace else { return };
        self.updates += 1;
        if self.causes.len() < LINKS_MAX {
            self.causes.push(cause);
        }
    }
}

impl Delivering {
    /// Begins to count who gets an update, if it is traced.
    pub(crate) fn of(index: usize, update: &Update, durable: Instant) -> Option<Self> {
        Some(Self {
            index,
            cause: update.trace?,
            durable,
            first: None,
            last: durable,
            subscribers: 0,
            bytes: 0,
        })
    }

    /// Counts a write to a subscriber.
    pub(crate) fn on_written(&mut self, now: Instant, bytes: usize) {
        self.first.get_or_insert(now);
        self.last = now;
        self.subscribers += 1;
        self.bytes += bytes as u64;
    }
}

/// Returns the attributes of an update.
fn about(update: &Update) -> Vec<(&'static str, Attribute)> {
    let topic = cut(update.topics.canonical().as_str());
    vec![
        ("messaging.system", Attribute::Text("tidings".into())),
        ("messaging.destination.name", Attribute::Text(topic)),
        (
            "messaging.message.id",
            Attribute::Text(cut(update.id.as_str())),
        ),
        (
            "messaging.message.body.size",
            Attribute::Number(update.data.len() as u64),
        ),
    ]
}

/// Returns a new span of the same trace.
fn below(context: TraceContext) -> Option<TraceContext> {
    TraceContext::new(*context.trace_id(), random(), context.is_sampled())
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Returns random bytes. Guessing them does no harm.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fastrand::Rng::fill(&mut fastrand::Rng::new(), &mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
