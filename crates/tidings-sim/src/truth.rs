//! The expected state, kept apart from the hub: which updates were acknowledged, which are on disk,
//! and, by a simpler matcher than the hub's, who must receive what.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::position::Position;
use tidings_core::update::{IdSource, Update, Visibility};

/// What a simulated subscriber subscribes to and may read.
#[derive(Clone, Debug)]
pub struct Interest {
    /// A topic, or all topics below a folder (`/t/` for the pattern `/t/:id`).
    pub wanted: Wanted,
    /// The folder of private updates that its token grants, if it has one.
    pub granted: Option<String>,
}

/// The two kinds of matchers in the simulation.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// One topic.
    Exact(String),
    /// Every topic directly below a folder.
    Below(String),
}

impl Interest {
    /// Returns whether this subscriber should receive `update`.
    pub fn concerns(&self, update: &Update) -> bool {
        let wanted = update.topics.iter().any(|topic| match &self.wanted {
            Wanted::Exact(name) => topic.as_str() == name,
            Wanted::Below(folder) => is_below(topic.as_str(), folder),
        });
        wanted && self.may_read(update)
    }

    /// Returns whether this subscriber may read `update`.
    pub fn may_read(&self, update: &Update) -> bool {
        let granted = |folder: &String| {
            update
                .topics
                .iter()
                .any(|topic| is_below(topic.as_str(), folder))
        };
        update.visibility == Visibility::Public || self.granted.as_ref().is_some_and(granted)
    }
}

fn is_below(topic: &str, folder: &str) -> bool {
    topic
        .strip_prefix(folder)
        .is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
}

/// Everything that was ever committed, by event id, over all crashes.
#[derive(Debug, Default)]
pub struct Truth {
    by_id: HashMap<String, Arc<Update>>,
    by_position: BTreeMap<u64, Arc<Update>>,
    acknowledged: Vec<(String, u64)>,
    /// When each position was first seen on the disk: the elapsed time, and the number of crashes
    /// so far.
    seen: BTreeMap<u64, (Duration, u32)>,
    /// Updates that were committed and are gone because the history went back.
    lost: Vec<Arc<Update>>,
}

impl Truth {
    /// Records what is on the disk.
    pub fn on_disk(&mut self, updates: &[Arc<Update>]) {
        for update in updates.iter().rev() {
            if self.by_id.contains_key(update.id.as_str()) {
                break;
            }
            self.by_id
                .insert(update.id.as_str().to_owned(), Arc::clone(update));
            self.by_position
                .insert(update.position.get(), Arc::clone(update));
        }
    }

    /// Records when new positions came to the disk.
    pub fn on_age(&mut self, elapsed: Duration, crashes: u32) {
        for position in self.by_position.keys().rev() {
            if self.seen.contains_key(position) {
                break;
            }
            self.seen.insert(*position, (elapsed, crashes));
        }
    }

    /// Checks that everything removed up to `trimmed` was `age_max` old. A hub that starts may
    /// assume that it was stopped for up to a quarter of that.
    ///
    /// # Errors
    ///
    /// The update that was removed too early.
    pub fn check_ages(
        &self,
        trimmed: Position,
        age_max: Duration,
        elapsed: Duration,
        crashes: u32,
    ) -> Result<(), String> {
        let mut seen = self.seen.range(..=trimmed.get());
        let Some((position, (since, crashes_then))) = seen.next_back() else {
            return Ok(());
        };
        let age = elapsed.saturating_sub(*since);
        let believed = (crashes - crashes_then) * age_max / 4;
        if age + believed < age_max {
            return Err(format!(
                "position {position} was removed {age:?} after it was stored, with {believed:?} of \
                 assumed downtime (invariant 3, acknowledged is kept)"
            ));
        }
        Ok(())
    }

    /// Forgets what a crash has undone, so that its position can be reused.
    pub fn on_crash(&mut self, updates: &[Arc<Update>], trimmed: Position) {
        let last = updates.last().map_or(trimmed, |update| update.position);
        self.by_id.retain(|_, update| update.position <= last);
        self.by_position
            .retain(|position, _| *position <= last.get());
        self.seen.retain(|position, _| *position <= last.get());
    }

    /// Records that the history went back: the missing updates are lost, and subscribers must be
    /// told.
    pub fn on_restore(&mut self, updates: &[Arc<Update>], trimmed: Position) {
        let last = updates.last().map_or(trimmed, |update| update.position);
        let lost = self.by_id.values().filter(|update| update.position > last);
        self.lost.extend(lost.cloned());
        self.on_crash(updates, trimmed);
        self.acknowledged
            .retain(|(id, _)| self.by_id.contains_key(id));
    }

    /// Checks that the hub has given no id to two updates (invariant 4, no silent gap).
    ///
    /// # Errors
    ///
    /// The repeated id.
    pub fn check_ids(&self) -> Result<(), String> {
        let again = self.lost.iter().find(|lost| {
            let now = self.by_id.get(lost.id.as_str());
            now.is_some_and(|now| now.id_source == IdSource::Hub && now != *lost)
        });
        match again {
            None => Ok(()),
            Some(lost) => Err(format!(
                "{} was assigned twice (invariant 4, no silent gap)",
                lost.id
            )),
        }
    }

    /// Records an acknowledgement: the id, and the number in the update's data.
    pub fn on_acknowledged(&mut self, id: String, number: u64) {
        self.acknowledged.push((id, number));
    }

    /// Returns everything that was committed between two positions, without these, whether or not
    /// it is still stored.
    pub fn between(&self, after: Position, before: Position) -> impl Iterator<Item = &Arc<Update>> {
        let range = (
            Bound::Excluded(after.get()),
            Bound::Excluded(before.get().max(after.get() + 1)),
        );
        self.by_position.range(range).map(|(_, update)| update)
    }

    /// Returns the update with this id.
    pub fn update(&self, id: &str) -> Option<&Arc<Update>> {
        self.by_id.get(id)
    }

    /// Checks that everything acknowledged is stored, unless retention removed it (invariant 3,
    /// acknowledged is kept).
    ///
    /// # Errors
    ///
    /// The missing update.
    pub fn check_acknowledged(
        &self,
        updates: &[Arc<Update>],
        trimmed: Position,
    ) -> Result<(), String> {
        let kept: HashMap<&str, &Update> = updates
            .iter()
            .map(|update| (update.id.as_str(), update.as_ref()))
            .collect();
        for (id, number) in &self.acknowledged {
            let was = self.by_id.get(id);
            if was.is_some_and(|update| update.position <= trimmed) {
                continue;
            }
            match kept.get(id.as_str()) {
                Some(update) if number_of(&update.data) == Some(*number) => {}
                Some(update) => {
                    return Err(format!(
                        "{id} was acknowledged as number {number}, but stored as {:?}",
                        update.data
                    ));
                }
                None => {
                    return Err(format!(
                        "{id}, number {number}, was acknowledged but is not stored"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks that positions are dense (invariant 4, no silent gap).
    ///
    /// # Errors
    ///
    /// The hole.
    pub fn check_dense(updates: &[Arc<Update>]) -> Result<(), String> {
        for pair in updates.windows(2) {
            if let [one, next] = pair
                && next.position != one.position.next()
            {
                return Err(format!(
                    "{:?} is followed by {:?}",
                    one.position, next.position
                ));
            }
        }
        Ok(())
    }
}

/// Returns the number that a simulated publisher writes before its data.
pub fn number_of(data: &str) -> Option<u64> {
    data.split(' ').next()?.parse().ok()
}
