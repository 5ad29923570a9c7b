//! What hubs must have fetched from each other: nothing is left out that another one has.

use tidings_core::position::Position;

use super::World;

/// What a hub has.
pub(super) struct Held {
    oldest: Position,
    last: Position,
    holes: u64,
}

impl World<'_> {
    /// Returns what each hub has.
    pub(super) fn held(&self) -> Vec<Held> {
        let hubs = self.hubs.iter().map(|hub| Held {
            oldest: hub.disk.oldest(),
            last: hub.disk.last(),
            holes: hub
                .running
                .as_ref()
                .map_or(0, |running| running.host.member().counters().holes),
        });
        hubs.collect()
    }

    /// Checks that no hub went on after updates that it missed, although another one had them all.
    pub(super) fn check_fetched(&self, before: &[Held]) -> Result<(), String> {
        if !self.scenario.fetches {
            return Ok(());
        }
        let now = self.held();
        let grew = |index: usize| {
            let holes = |all: &[Held]| all.get(index).map_or(0, |held| held.holes);
            holes(&now) > holes(before)
        };
        let end = self.healed_from;
        for (index, held) in before.iter().enumerate().filter(|(index, _)| grew(*index)) {
            let mut others = before.iter().enumerate();
            let whole = others.find(|(other, theirs)| {
                let follows = theirs.oldest <= held.last.next() && theirs.last.next() >= end;
                *other != index && !grew(*other) && follows
            });
            if let Some((other, _)) = whole {
                return Err(format!(
                    "hub {index} ended at {} and went on without what hub {other} has (promise 12, \
                     away for long)",
                    held.last
                ));
            }
        }
        Ok(())
    }
}
