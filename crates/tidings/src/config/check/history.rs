//! The options of the history, from `[history]` and `[presence]`.

use std::path::Path;

use tidings_cluster::Epoch;
use tidings_history::Order;

use super::Checks;
use crate::config::tables::history::{HistoryKind, HistoryTable};
use crate::config::tables::presence::PresenceTable;

impl Checks<'_> {
    pub(super) fn history(
        &mut self,
        table: &HistoryTable,
        presence: &PresenceTable,
        data_dir: &Path,
    ) -> Option<tidings_history::Options> {
        if table.path.is_some() && table.kind != HistoryKind::File {
            let advice = "is set, but history.kind is not \"file\": remove one of the two";
            self.contradiction("history.path", advice);
        }
        let mut secret = [0; 32];
        if let Err(error) = getrandom::fill(&mut secret) {
            let reason = format!("the system provides no random bytes: {error}");
            self.invalid("history", reason);
            return None;
        }
        Some(tidings_history::Options {
            kind: table.kind(data_dir),
            retention: table.retention(presence.retention()),
            queue_max: HISTORY_QUEUE_MAX,
            group_max: HISTORY_GROUP_MAX,
            reads_max: HISTORY_READS_MAX,
            cache_bytes_max: HISTORY_CACHE_BYTES_MAX,
            order: Order::Own(Epoch::new(secret)),
        })
    }
}

/// Maximum number of drafts queued for the history's writer; beyond it publishers get 503.
const HISTORY_QUEUE_MAX: usize = 16 * 1024;

/// Maximum number of updates committed as one group.
const HISTORY_GROUP_MAX: usize = 1024;

/// Maximum number of requests queued for the history's reader.
const HISTORY_READS_MAX: usize = 64 * 1024;

/// Size of the history's page cache in bytes of updates.
const HISTORY_CACHE_BYTES_MAX: usize = 16 * 1024 * 1024;
