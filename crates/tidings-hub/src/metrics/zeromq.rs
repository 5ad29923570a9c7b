//! The metrics of the ZeroMQ broker, inside the hub and standalone. Every loss has a reason here.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::{REFUSALS, ZEROMQ_CLOSED, ZEROMQ_DROPPED};
use super::{ByReason, by_reason, counter, gauge, in_bytes};

/// The counters of the ZeroMQ broker.
#[derive(Debug)]
pub struct Counters {
    /// ZeroMQ connections open now.
    pub peers: Gauge,
    /// Subscriptions of the connected ZeroMQ peers.
    pub subscriptions: Gauge,
    /// ZeroMQ messages received.
    pub received: Counter,
    /// ZeroMQ messages handed to peers' sockets.
    pub sent: Counter,
    /// ZeroMQ messages dropped on their way to a peer, by reason.
    pub dropped: ByReason,
    /// ZeroMQ messages that were received and not published, by reason.
    pub refused: ByReason,
    /// ZeroMQ connections that ended, by reason.
    pub closed: ByReason,
    /// Bytes queued for ZeroMQ peers now.
    pub queued_bytes: Gauge,
}

impl Counters {
    /// Makes every counter, at zero.
    pub fn new(registry: &mut Registry) -> Self {
        let r = registry;
        Self {
            peers: gauge(r, "zeromq_peers", "ZeroMQ connections open now"),
            subscriptions: gauge(r, "zeromq_subscriptions", "Subscriptions of ZeroMQ peers"),
            received: counter(r, "zeromq_received", "ZeroMQ messages received"),
            sent: counter(r, "zeromq_sent", "ZeroMQ messages handed to peers' sockets"),
            dropped: by_reason(
                r,
                "zeromq_dropped",
                "ZeroMQ messages dropped",
                ZEROMQ_DROPPED,
            ),
            refused: by_reason(
                r,
                "zeromq_refused",
                "ZeroMQ messages that the hub does not publish",
                &[REFUSALS, &["unparsable_passed"]].concat(),
            ),
            closed: by_reason(
                r,
                "zeromq_peers_closed",
                "ZeroMQ connections that ended",
                ZEROMQ_CLOSED,
            ),
            queued_bytes: in_bytes(r, "zeromq_queued", "Bytes that wait for ZeroMQ peers"),
        }
    }
}
