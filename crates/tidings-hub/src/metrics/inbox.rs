//! The metrics of updates that applications publish by SQL.

use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tidings_core::histogram::Histogram;

use super::durations::histogram;
use super::labels::REFUSALS;
use super::{ByReason, by_reason, counter, gauge};

/// The counters of the inbox. On a hub that does not read it, the gauges are 0.
#[derive(Debug)]
pub struct InboxCounters {
    /// 1 while this hub reads the inbox for its cluster, else 0.
    pub held: Gauge,
    /// Rows published by this hub.
    pub published: Counter,
    /// Rows moved to the refused ones by this hub.
    pub refused: ByReason,
    /// Attempts to read the inbox, or to publish what was read, that failed and are repeated.
    pub faults: Counter,
    /// From the insertion of a row until its update is stored.
    pub delay: Arc<Histogram>,
    /// Committed rows that wait, counted up to a bound.
    pub waiting: Gauge,
    /// Refused rows that nobody has removed.
    pub refused_rows: Gauge,
}

impl InboxCounters {
    pub(super) fn new(r: &mut Registry) -> Self {
        Self {
            held: gauge(
                r,
                "inbox_held",
                "1 while this hub publishes what comes by SQL, else 0",
            ),
            published: counter(r, "inbox_published", "Updates published by SQL"),
            refused: by_reason(
                r,
                "inbox_refused",
                "Updates published by SQL that the hub refused, and moved to inbox_refused",
                REFUSALS,
            ),
            faults: counter(
                r,
                "inbox_faults",
                "Failed attempts to read or publish what comes by SQL; each is repeated",
            ),
            delay: histogram(
                r,
                "inbox_delay",
                "Time from publish() in SQL until the update is stored, the publisher's transaction included",
            ),
            waiting: gauge(
                r,
                "inbox_rows",
                "Committed updates in the inbox, counted up to 10000",
            ),
            refused_rows: gauge(
                r,
                "inbox_refused_rows",
                "Refused updates in inbox_refused that nobody has removed",
            ),
        }
    }
}
