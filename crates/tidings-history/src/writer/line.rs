//! How the prints of a history follow from each other.

use tidings_core::{Draft, Position, Print, PrintKey};

use crate::options::Order;

/// Makes the prints of one history.
pub(super) enum Line {
    /// As it orders its updates itself (`docs/formats/history.md`, "Prints").
    Own(PrintKey),
    /// As the relay does.
    Relay(PrintKey),
}

impl Line {
    pub(super) fn new(order: Order) -> Self {
        let key = PrintKey::new(order.epoch().secret());
        match order {
            Order::Own(_) => Self::Own(key),
            Order::Relay(_) => Self::Relay(key),
        }
    }

    /// Returns the print of `draft` at `position`, where `previous` is that of the position before.
    pub(super) fn print(
        &self,
        previous: Option<Print>,
        position: Position,
        published_ms: u64,
        draft: &Draft,
        note: &[u8],
    ) -> Print {
        match self {
            Self::Own(key) => key.print(previous, position, published_ms, draft),
            // Ordered by a history of its own, before a cluster adopted it.
            Self::Relay(key) if note.is_empty() => {
                key.print(previous, position, published_ms, draft)
            }
            Self::Relay(key) => {
                tidings_cluster::link(previous, published_ms, key.digest(draft, note))
            }
        }
    }

    /// As [`print`](Self::print), by the rule with which a relay may have formed `got`: each engine has one.
    pub(super) fn print_like(
        &self,
        got: Option<Print>,
        previous: Option<Print>,
        position: Position,
        published_ms: u64,
        draft: &Draft,
        note: &[u8],
    ) -> Print {
        let usual = self.print(previous, position, published_ms, draft, note);
        match self {
            Self::Relay(key) if got.is_some_and(|got| got != usual) => {
                let digest = key.digest(draft, note);
                let other = tidings_cluster::link_sha256(previous, published_ms, digest);
                if got == Some(other) { other } else { usual }
            }
            Self::Own(_) | Self::Relay(_) => usual,
        }
    }
}
