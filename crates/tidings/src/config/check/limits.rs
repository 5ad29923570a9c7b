//! `[limits]` compared with limits of other tables: the largest message must fit into the held
//! bytes.

use super::Checks;
use crate::config::tables::limits::LimitOptions;

impl Checks<'_> {
    /// Warns about each key in `lengths` (limits of one message) that exceeds the bytes that may be
    /// held for a connection: a message of that length could never arrive.
    pub(super) fn lengths(&mut self, limits: &LimitOptions, lengths: &[(&str, usize)]) {
        let held = limits.peer_memory_bytes_per_connection_max;
        for (key, bytes_max) in lengths.iter().filter(|(_, bytes_max)| *bytes_max > held) {
            self.warnings.push(format!(
                "{key}: {bytes_max} is more than limits.peer_memory_bytes_per_connection_max ({held}), \
                 beyond which a peer is refused: write at most {held}, or raise that limit"
            ));
        }
    }
}
