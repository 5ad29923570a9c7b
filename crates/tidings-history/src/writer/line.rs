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
            Self::Relay(key) => {
                tidings_cluster::link(previous, published_ms, key.digest(draft, note))
            }
        }
    }
}
