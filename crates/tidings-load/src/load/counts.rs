//! The counts of a run: what the subscribers received, when, and whether it was complete.

use crate::clock::now_ns;
use crate::histogram::Histogram;
use crate::ledger::Ledger;
use crate::mark::Mark;

/// The counts since the start or the last `reset`.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) ledger: Ledger,
    /// Updates passed to publishers, per topic.
    pub(crate) published: Vec<u32>,
    pub(crate) opened: u64,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// From the request of a subscription to its response.
    pub(crate) opening: Histogram,
    /// From an update's due time to its arrival.
    pub(crate) latency: Histogram,
    /// From sending an update to its acknowledgement.
    pub(crate) acknowledgement: Histogram,
    /// How late the most recent update was sent.
    pub(crate) late_ns: u64,
    /// When the last delivery arrived.
    pub(crate) last_delivery_ns: u64,
    /// The ids of acknowledged updates, every `keep_every`-th one; none if that is zero.
    pub(crate) ids: Vec<String>,
    pub(crate) keep_every: u64,
    /// Every delivery, if set. For runs with few deliveries, whose connections do not have one
    /// topic each as the ledger requires. The ledger then records nothing.
    pub(crate) log: Option<Vec<Delivery>>,
    /// When each update of the first topic started and finished arriving, by its number, if
    /// requested.
    pub(crate) spans: Option<Vec<Span>>,
}

/// The time that an update took to reach its subscribers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    /// When the update was due; zero if nothing has arrived.
    pub(crate) due_ns: u64,
    /// When the first subscriber received it, and when the last did.
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
}

/// One update that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delivery {
    /// The subscriber.
    pub(crate) account: usize,
    pub(crate) mark: Mark,
    /// When it arrived.
    pub(crate) at_ns: u64,
}

impl Counts {
    pub(super) fn new(topics: usize) -> Self {
        Self {
            ledger: Ledger::new(topics),
            published: vec![0; topics],
            opened: 0,
            sent: 0,
            acknowledged: 0,
            opening: Histogram::new(),
            latency: Histogram::new(),
            acknowledgement: Histogram::new(),
            late_ns: 0,
            last_delivery_ns: 0,
            ids: Vec::new(),
            keep_every: 0,
            log: None,
            spans: None,
        }
    }

    pub(super) fn on_opened(&mut self, requested_ns: u64) {
        self.opened += 1;
        self.opening.record(now_ns().saturating_sub(requested_ns));
    }

    pub(super) fn on_delivery(&mut self, account: usize, mark: Mark, now: u64) {
        match &mut self.log {
            Some(log) => log.push(Delivery {
                account,
                mark,
                at_ns: now,
            }),
            None => self.ledger.on_delivery(account, mark.topic, mark.number),
        }
        if let Some(spans) = &mut self.spans
            && mark.topic == 0
        {
            note_span(spans, mark, now);
        }
        self.latency.record(now.saturating_sub(mark.due_ns));
        self.last_delivery_ns = self.last_delivery_ns.max(now);
    }

    /// Resets the measured times; the ledger continues.
    pub(crate) fn reset(&mut self) {
        self.latency = Histogram::new();
        self.acknowledgement = Histogram::new();
        self.late_ns = 0;
    }
}

fn note_span(spans: &mut Vec<Span>, mark: Mark, now: u64) {
    let number = mark.number as usize;
    if number >= spans.len() {
        spans.resize(number + 1, Span::default());
    }
    if let Some(span) = spans.get_mut(number) {
        if span.due_ns == 0 {
            (span.due_ns, span.first_ns) = (mark.due_ns, now);
        }
        span.last_ns = now;
    }
}
