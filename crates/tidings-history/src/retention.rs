//! Finds the position up to which retention removes. The writer does the removal.

use tidings_core::Position;

use crate::options::{PresenceRetention, Retention};
use crate::storage::{Extent, Mark, Storage, StorageError};

/// Returns the last position that `retention` removes. `extent.trimmed_through` if there is none.
///
/// Marks never decrease with the position, so a binary search finds the cut: about twenty look-ups in a million
/// updates.
///
/// # Errors
///
/// A mark cannot be read.
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
    let updates = extent.last_mark.updates_through;
    let before_newest = |storage: &mut dyn Storage| {
        // A single update that exceeds the limits alone stays. Otherwise nobody could ever receive it.
        let others = updates.saturating_sub(1);
        if others <= extent.trimmed_mark.updates_through {
            return Ok(extent.trimmed_through);
        }
        first_not(storage, extent, |mark| mark.updates_through < others)
    };
    if let Some(updates_max) = retention.updates_max {
        let ending = updates.saturating_sub(updates_max);
        if ending > extent.trimmed_mark.updates_through {
            let over = |mark: Mark| mark.updates_through < ending;
            let last_over = first_not(storage, extent, over)?;
            goal = goal.max(last_over.min(before_newest(storage)?));
        }
    }
    if let Some(bytes_max) = retention.bytes_max {
        let total = extent.last_mark.bytes_through;
        if total.saturating_sub(extent.trimmed_mark.bytes_through) > bytes_max {
            let over = |mark: Mark| total.saturating_sub(mark.bytes_through) > bytes_max;
            let first_within = first_not(storage, extent, over)?;
            goal = goal.max(first_within.min(before_newest(storage)?));
        }
    }
    if let Some(age_max) = retention.age_max {
        let age_max_ms = u64::try_from(age_max.as_millis()).unwrap_or(u64::MAX);
        if let Some(published_max_ms) = now_ms.checked_sub(age_max_ms) {
            let old = |mark: Mark| mark.published_ms <= published_max_ms;
            let first_young = first_not(storage, extent, old)?;
            let last_old = Position::new(first_young.get().saturating_sub(1));
            // A range that had only presence events does not count as trimmed: a subscriber that resumes there
            // has missed nothing, and must not be told of a gap.
            if storage.mark(last_old)?.is_some() {
                goal = goal.max(last_old);
            }
        }
    }
    Ok(goal)
}

/// Returns the last position up to which `retention` removes presence events. `extent.presence_trimmed_through`
/// if there are none to remove.
///
/// # Errors
///
/// A mark cannot be read.
pub(crate) fn presence_goal(
    retention: &PresenceRetention,
    storage: &mut dyn Storage,
    extent: &Extent,
    now_ms: u64,
) -> Result<Position, StorageError> {
    // The newest position stays. Otherwise the next start would assign it again.
    let newest_stays = Position::new(extent.last.get().saturating_sub(1));
    let (start, removed) = presence_removed(storage, extent)?;
    let total = events(extent.last, extent.last_mark);
    if newest_stays <= start || total == removed {
        return Ok(extent.presence_trimmed_through);
    }
    let too_old_ms = retention.age_max.and_then(|age_max| {
        let age_max_ms = u64::try_from(age_max.as_millis()).unwrap_or(u64::MAX);
        now_ms.checked_sub(age_max_ms)
    });
    let ending = total.saturating_sub(retention.events_max);
    let over = |position: Position, mark: Mark| {
        let too_old = too_old_ms.is_some_and(|limit| mark.published_ms <= limit);
        events(position, mark) <= ending || too_old
    };
    let first_kept = first_where_not(storage, extent, start, over)?;
    let goal = Position::new(first_kept.get() - 1).min(newest_stays);
    if goal <= start {
        return Ok(extent.presence_trimmed_through);
    }
    Ok(goal)
}

/// Returns the end of the next slice of the removal up to `goal`.
///
/// # Errors
///
/// A mark cannot be read.
pub(crate) fn presence_slice(
    storage: &mut dyn Storage,
    extent: &Extent,
    goal: Position,
) -> Result<Position, StorageError> {
    let (start, removed) = presence_removed(storage, extent)?;
    let within = |position, mark| events(position, mark) - removed <= PRESENCE_SLICE_MAX;
    let first_beyond = first_where_not(storage, extent, start, within)?;
    Ok(Position::new(first_beyond.get() - 1).min(goal))
}

/// Returns the position up to which presence events were removed, and how many there were up to there.
fn presence_removed(
    storage: &mut dyn Storage,
    extent: &Extent,
) -> Result<(Position, u64), StorageError> {
    let start = extent.presence_trimmed_through.max(extent.trimmed_through);
    let mark = storage.mark(start)?.unwrap_or(extent.trimmed_mark);
    Ok((start, events(start, mark)))
}

/// Returns how many presence events there were up to a position with this mark: every position without an
/// update.
fn events(position: Position, mark: Mark) -> u64 {
    position.get().saturating_sub(mark.updates_through)
}

/// Maximum number of presence events removed at once.
const PRESENCE_SLICE_MAX: u64 = 512;

/// Returns the first stored position whose mark is not `over`, or the one after the last.
fn first_not(
    storage: &mut dyn Storage,
    extent: &Extent,
    over: impl Fn(Mark) -> bool,
) -> Result<Position, StorageError> {
    first_where_not(storage, extent, extent.trimmed_through, |_, mark| {
        over(mark)
    })
}

/// Returns the first position after `start` whose mark is not `over`, or the one after the last.
fn first_where_not(
    storage: &mut dyn Storage,
    extent: &Extent,
    start: Position,
    over: impl Fn(Position, Mark) -> bool,
) -> Result<Position, StorageError> {
    let mut low = start.get().saturating_add(1);
    let mut high = extent.last.get().saturating_add(1);
    while low < high {
        let middle = Position::new(low + (high - low) / 2);
        let mark = storage.mark(middle)?.unwrap_or(extent.trimmed_mark);
        if over(middle, mark) {
            low = middle.get() + 1
        } else {
            high = middle.get()
        }
    }
    Ok(Position::new(low))
}
