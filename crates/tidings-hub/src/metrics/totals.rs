//! The figures that operators watch live, as plain numbers.

use super::labels::{CONNECTIONS_REFUSED, REFUSALS};
use super::{ByReason, Metrics, Reason, Transport};

/// Sums since the start of the process, and what is open now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Updates acknowledged to publishers.
    pub published: u64,
    /// Live updates written to subscribers.
    pub delivered: u64,
    /// Bytes of these.
    pub delivered_bytes: u64,
    /// Updates written from the history.
    pub replayed: u64,
    /// Times a subscriber fell behind.
    pub lags: u64,
    /// Subscribers that were told of a gap.
    pub gaps: u64,
    /// Requests, frames and connections refused, for any reason.
    pub refused: u64,
    /// Subscribers connected now.
    pub subscribers: u64,
}

impl Metrics {
    /// Returns the figures of this moment.
    pub fn totals(&self) -> Totals {
        let requests = [
            &self.publish_refused,
            &self.subscribe_refused,
            &self.requests_refused,
        ];
        let refused: u64 = requests.iter().map(|family| sum(family, REFUSALS)).sum();
        Totals {
            published: self.updates.get(),
            delivered: self.deliveries.get(),
            delivered_bytes: self.delivered_bytes.get(),
            replayed: self.replayed.get(),
            lags: self.lagging.get(),
            gaps: self.gaps.get(),
            refused: refused + sum(&self.connections_refused, CONNECTIONS_REFUSED),
            subscribers: u64::try_from(self.subscribers.get()).unwrap_or(0),
        }
    }

    /// Returns how many subscribers are connected by each transport.
    pub fn sessions_by_transport(&self) -> impl Iterator<Item = (Transport, u64)> {
        let transports = Transport::ALL.into_iter();
        let transports = transports.filter(|one| *one != Transport::Http);
        transports.map(|transport| (transport, self.sessions.open(transport)))
    }
}

fn sum(family: &ByReason, reasons: &[&'static str]) -> u64 {
    let counters = reasons.iter().filter_map(|reason| {
        let counter = family.get(&Reason { reason })?;
        Some(counter.get())
    });
    counters.sum()
}
