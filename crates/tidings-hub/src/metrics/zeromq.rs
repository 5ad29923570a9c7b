//! The metrics of the ZeroMQ broker, inside the hub and standalone. Every loss has a reason here.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
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
    held: Family<Direction, Gauge>,
}

/// Whether messages come in or go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Direction {
    direction: &'static str,
}

impl Direction {
    /// Of inputs.
    pub const IN: Self = Self { direction: "in" };
    /// Of outputs.
    pub const OUT: Self = Self { direction: "out" };
}

impl Counters {
    /// Makes every counter, at zero.
    pub fn new(registry: &mut Registry) -> Self {
        let r = registry;
        let held = Family::default();
        let help = "Sockets that this hub serves for its cluster: SUB inputs, PUSH outputs";
        r.register("zeromq_held", help, held.clone());
        for direction in [Direction::IN, Direction::OUT] {
            drop(held.get_or_create(&direction));
        }
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
            held,
        }
    }

    /// Sets how many sockets the hub serves for its cluster.
    pub fn set_held(&self, direction: Direction, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.held.get_or_create(&direction).set(count);
    }
}
