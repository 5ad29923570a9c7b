//! Finds how far retention removes. The removing itself is the writer's.

use tidings_core::Position;

use crate::options::Retention;
use crate::storage::{Extent, Mark, Storage, StorageError};

/// Returns the last position that `retention` removes; `extent.trimmed_through` if none.
///
/// Marks never decrease from one position to the next, so a binary search finds the cut with
/// about twenty look-ups in a million updates.
///
/// # Errors
///
/// What the storage says when a mark cannot be read.
pub(crate) fn goal(
    retention: &Retention,
    storage: &mut dyn Storage,
    extent: &Extent,
    now_ms: u64,
) -> Result<Position, StorageError> {
    let mut goal = extent.trimmed_through;
    if extent.last <= goal {
        return Ok(goal);
    }
    // A single update that is over the limits by itself stays, or nobody could ever receive it.
    let newest_stays = Position::new(extent.last.get().saturating_sub(1));
    if let Some(updates_max) = retention.updates_max {
        let cut = extent.last.get().saturating_sub(updates_max);
        goal = goal.max(Position::new(cut).min(newest_stays));
    }
    if let Some(bytes_max) = retention.bytes_max {
        let total = extent.last_mark.bytes_through;
        if total.saturating_sub(extent.trimmed_bytes) > bytes_max {
            let over = |mark: Mark| total.saturating_sub(mark.bytes_through) > bytes_max;
            let first_within = first_not(storage, extent, over)?;
            goal = goal.max(first_within.min(newest_stays));
        }
    }
    if let Some(age_max) = retention.age_max {
        let age_max_ms = u64::try_from(age_max.as_millis()).unwrap_or(u64::MAX);
        if let Some(published_max_ms) = now_ms.checked_sub(age_max_ms) {
            let old = |mark: Mark| mark.published_ms <= published_max_ms;
            let first_young = first_not(storage, extent, old)?;
            goal = goal.max(Position::new(first_young.get().saturating_sub(1)));
        }
    }
    Ok(goal)
}

/// Returns the first kept position whose mark is not `over`, or the one after the last.
fn first_not(
    storage: &mut dyn Storage,
    extent: &Extent,
    over: impl Fn(Mark) -> bool,
) -> Result<Position, StorageError> {
    let mut low = extent.trimmed_through.get().saturating_add(1);
    let mut high = extent.last.get().saturating_add(1);
    while low < high {
        let middle = low + (high - low) / 2;
        let mark = storage.mark(Position::new(middle))?;
        if mark.is_some_and(&over) {
            low = middle + 1
        } else {
            high = middle
        }
    }
    Ok(Position::new(low))
}
