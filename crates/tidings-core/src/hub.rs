//! One shard's subscribers, by their matchers. The matchers of an update are found once for all
//! shards, in [`index`](crate::index); sessions do the sending.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::index::MatcherId;

/// A subscriber of one shard. A slot is reused after its subscriber has left; a pair of slot and
/// generation is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId {
    /// The slot in the shard's table.
    pub slot: u32,
    /// How many subscribers had the slot before.
    pub generation: u32,
}

/// The subscribers of one shard, by matcher. Adding or removing a subscriber takes time in
/// proportion to its own matchers, routing in proportion to the receivers. The total number of
/// subscribers affects neither.
#[derive(Debug, Default)]
pub struct Hub {
    audiences: HashMap<MatcherId, SmallVec<[Seat; 2]>, RandomState>,
    members: HashMap<SubscriberId, SmallVec<[Place; 1]>, RandomState>,
}

/// One subscriber in the audience of one matcher.
#[derive(Clone, Copy, Debug)]
struct Seat {
    subscriber: SubscriberId,
    /// Whether the subscriber may also sit in other audiences, and so be found twice.
    elsewhere: Elsewhere,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Elsewhere {
    No,
    Maybe,
}

/// Where a subscriber sits in one audience.
#[derive(Clone, Copy, Debug)]
struct Place {
    matcher: MatcherId,
    /// Index into the audience.
    seat: u32,
}

impl Hub {
    /// Makes a hub without subscribers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds matchers to what `subscriber` receives. Matchers that it already has are skipped.
    pub fn add(&mut self, subscriber: SubscriberId, matchers: &[MatcherId]) {
        if matchers.is_empty() {
            return;
        }
        let places = self.members.entry(subscriber).or_default();
        for &matcher in matchers {
            if places.iter().any(|place| place.matcher == matcher) {
                continue;
            }
            let audience = self.audiences.entry(matcher).or_default();
            // More than 2^32 seats do not fit into memory.
            let seat = u32::try_from(audience.len()).unwrap_or(u32::MAX);
            audience.push(Seat {
                subscriber,
                elsewhere: Elsewhere::No,
            });
            places.push(Place { matcher, seat });
        }
        if places.len() > 1 {
            for place in places {
                if let Some(seat) = seat_mut(&mut self.audiences, *place) {
                    seat.elsewhere = Elsewhere::Maybe;
                }
            }
        }
    }

    /// Removes matchers from what `subscriber` receives. Matchers that it does not have are
    /// ignored. A subscriber without matchers is forgotten.
    pub fn remove(&mut self, subscriber: SubscriberId, matchers: &[MatcherId]) {
        for &matcher in matchers {
            let Some(places) = self.members.get_mut(&subscriber) else {
                return;
            };
            let Some(index) = places.iter().position(|place| place.matcher == matcher) else {
                continue;
            };
            let place = places.swap_remove(index);
            if places.is_empty() {
                self.members.remove(&subscriber);
            }
            self.vacate(place);
        }
        shrink(&mut self.members);
        shrink(&mut self.audiences);
    }

    /// Replaces the content of `receivers` with the subscribers that have any of the `matching`
    /// matchers, each once, in no particular order.
    ///
    /// `matching` comes from [`MatcherIndex::matching`](crate::MatcherIndex::matching): sorted and
    /// without duplicates.
    pub fn route(&self, matching: &[MatcherId], receivers: &mut Vec<SubscriberId>) {
        debug_assert!(
            matching.is_sorted_by(|one, next| one < next),
            "sorted, each once"
        );
        receivers.clear();
        for &matcher in matching {
            let Some(audience) = self.audiences.get(&matcher) else {
                continue;
            };
            if matching.len() == 1 {
                receivers.extend(audience.iter().map(|seat| seat.subscriber));
                continue;
            }
            for seat in audience {
                if seat.elsewhere == Elsewhere::No || self.meets_first(*seat, matcher, matching) {
                    receivers.push(seat.subscriber);
                }
            }
        }
    }

    /// Returns how many subscribers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether there are no subscribers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns whether `matcher` is the smallest id in `matching` that this subscriber has. The
    /// subscriber is counted for that matcher only.
    fn meets_first(&self, seat: Seat, matcher: MatcherId, matching: &[MatcherId]) -> bool {
        let Some(places) = self.members.get(&seat.subscriber) else {
            return false;
        };
        !places
            .iter()
            .any(|place| place.matcher < matcher && matching.binary_search(&place.matcher).is_ok())
    }

    /// Empties a seat. The last seat of the audience moves into its place.
    fn vacate(&mut self, place: Place) {
        let Some(audience) = self.audiences.get_mut(&place.matcher) else {
            return;
        };
        let index = place.seat as usize;
        audience.swap_remove(index);
        if let Some(moved) = audience.get(index) {
            let places = self.members.get_mut(&moved.subscriber);
            let place_of_moved = places
                .into_iter()
                .flatten()
                .find(|other| other.matcher == place.matcher);
            if let Some(other) = place_of_moved {
                other.seat = place.seat;
            }
        }
        if audience.is_empty() {
            self.audiences.remove(&place.matcher);
        } else if audience.spilled() && audience.len() < audience.capacity() / 4 {
            audience.shrink_to_fit();
        }
    }
}

fn seat_mut(
    audiences: &mut HashMap<MatcherId, SmallVec<[Seat; 2]>, RandomState>,
    place: Place,
) -> Option<&mut Seat> {
    audiences
        .get_mut(&place.matcher)?
        .get_mut(place.seat as usize)
}

/// Gives memory back once three quarters are unused: a few subscribers may have had many matchers.
fn shrink<K: Eq + Hash, V>(table: &mut HashMap<K, V, RandomState>) {
    if table.capacity() > SHRINK_FROM && table.len() < table.capacity() / 4 {
        table.shrink_to(table.len() * 2);
    }
}

/// Tables smaller than this are not worth shrinking.
const SHRINK_FROM: usize = 1024;

#[cfg(test)]
mod tests;
