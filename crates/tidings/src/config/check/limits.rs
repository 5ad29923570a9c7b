//! `[limits]` beside the limits of other tables: what may be sent must fit into what may be held.

use super::Checks;
use crate::config::tables::limits::LimitOptions;

impl Checks<'_> {
    /// Warns of each of `lengths`, keys that bound what a peer may send at once, that is above what may
    /// be held for its connection: nothing of that length ever arrives.
    pub(super) fn lengths(&mut self, limits: &LimitOptions, lengths: &[(&str, usize)]) {
        let held = limits.held_bytes_per_connection_max;
        for (key, bytes_max) in lengths.iter().filter(|(_, bytes_max)| *bytes_max > held) {
            self.warnings.push(format!(
                "{key}: {bytes_max} is more than limits.held_bytes_per_connection_max ({held}), \
                 beyond which a peer is refused: write at most {held}, or raise that limit"
            ));
        }
    }
}
