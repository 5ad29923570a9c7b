//! Whether the history takes updates.

use std::sync::Arc;

/// Whether the history takes updates, for readiness and for the decision to end the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Appends are taken.
    Ok,
    /// Appends are taken, and something that is kept cannot be read. What failed is read again about
    /// once a second, until it succeeds.
    Unreadable {
        /// The fault as one line of text.
        reason: Arc<str>,
    },
    /// Appends are refused until a probe, made about once a second, succeeds. Reads go on.
    Refusing {
        /// The fault as one line of text.
        reason: Arc<str>,
    },
    /// The writer found damage: appends are refused, and nothing is removed any more. Reads of what is
    /// whole go on. It never heals in this process.
    Damaged {
        /// The fault as one line of text.
        reason: Arc<str>,
    },
    /// A sync failed: what the disk holds is in doubt, so nothing is acknowledged any more.
    ///
    /// It never heals in this process. The server ends, and finds out at the next start what
    /// the disk holds.
    Poisoned {
        /// The fault as one line of text.
        reason: Arc<str>,
    },
}
