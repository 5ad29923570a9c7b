//! Whether the history accepts updates.

use std::sync::Arc;

/// Whether the history accepts updates, for readiness and for the decision to exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Appends are accepted.
    Ok,
    /// Appends are accepted, but a stored part cannot be read. The failed read is retried about
    /// once a second until it succeeds.
    Unreadable {
        /// The fault as one line of text.
        reason: Arc<str>,
    },
    /// Appends are refused until a probe, made about once a second, succeeds. Reads continue.
    Refusing {
        /// The fault as one line of text.
        reason: Arc<str>,
    },
    /// The writer found damage: appends are refused, and retention stops. Undamaged parts stay
    /// readable. This process never recovers.
    Damaged {
        /// The fault as one line of text.
        reason: Arc<str>,
    },
    /// A sync failed: the contents of the disk are unknown, so nothing is acknowledged any more.
    ///
    /// This process never recovers. The server exits, and the next start finds out what the disk
    /// contains.
    Poisoned {
        /// The fault as one line of text.
        reason: Arc<str>,
    },
}
