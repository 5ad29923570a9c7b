//! Places: limits on the number of connections, HTTP/2 streams and SockJS sessions, in total and per
//! address. A stream counts as a connection, which it would be over HTTP/1.1.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use super::Holder;

/// A kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A connection.
    Connection,
    /// An HTTP/2 stream.
    Stream,
    /// A SockJS session without a connection of its own.
    SockJsSession,
}

impl Place {
    pub(super) const ALL: [Self; 3] = [Self::Connection, Self::Stream, Self::SockJsSession];

    /// Returns the kinds that count for the same limit.
    fn counted_with(self) -> &'static [Self] {
        match self {
            Self::Connection | Self::Stream => &[Self::Connection, Self::Stream],
            Self::SockJsSession => &[Self::SockJsSession],
        }
    }
}

/// How many places there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceBounds {
    /// Places in the whole process at once. Zero sets no limit.
    pub total_max: usize,
    /// Places of one address at once. Zero sets no limit.
    pub per_address_max: usize,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crowded {
    /// The total limit is reached.
    Total,
    /// The limit per address is reached.
    Address,
}

/// The places of the process.
#[derive(Debug)]
pub(super) struct Places {
    connections: ArcSwap<PlaceBounds>,
    sockjs_sessions: ArcSwap<PlaceBounds>,
    taken: [AtomicUsize; Place::ALL.len()],
}

impl Places {
    pub(super) fn new(connections: PlaceBounds, sockjs_sessions: PlaceBounds) -> Self {
        Self {
            connections: ArcSwap::from_pointee(connections),
            sockjs_sessions: ArcSwap::from_pointee(sockjs_sessions),
            taken: Default::default(),
        }
    }

    pub(super) fn set_bounds(&self, connections: PlaceBounds, sockjs_sessions: PlaceBounds) {
        self.connections.store(Arc::new(connections));
        self.sockjs_sessions.store(Arc::new(sockjs_sessions));
    }

    pub(super) fn open(&self, place: Place) -> usize {
        count(&self.taken, place)
    }

    pub(super) fn take(&self, place: Place) -> Result<(), Crowded> {
        take_within(&self.taken, place, self.bounds(place).total_max).map_err(|()| Crowded::Total)
    }

    pub(super) fn take_always(&self, place: Place) {
        change(&self.taken, place, |taken| {
            taken.fetch_add(1, Ordering::Relaxed);
        });
    }

    pub(super) fn give_back(&self, place: Place) {
        Self::give_back_at(&self.taken, place);
    }

    pub(super) fn take_at(
        &self,
        taken: &[AtomicUsize; Place::ALL.len()],
        place: Place,
    ) -> Result<(), Crowded> {
        let max = match self.bounds(place).per_address_max {
            0 => usize::MAX,
            max => max,
        };
        take_within(taken, place, max).map_err(|()| Crowded::Address)
    }

    pub(super) fn take_at_always(taken: &[AtomicUsize; Place::ALL.len()], place: Place) {
        change(taken, place, |taken| {
            taken.fetch_add(1, Ordering::Relaxed);
        });
    }

    pub(super) fn give_back_at(taken: &[AtomicUsize; Place::ALL.len()], place: Place) {
        change(taken, place, |taken| {
            taken.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn bounds(&self, place: Place) -> PlaceBounds {
        let bounds = match place {
            Place::Connection | Place::Stream => &self.connections,
            Place::SockJsSession => &self.sockjs_sessions,
        };
        **bounds.load()
    }
}

fn take_within(
    taken: &[AtomicUsize; Place::ALL.len()],
    place: Place,
    max: usize,
) -> Result<(), ()> {
    Places::take_at_always(taken, place);
    let all: usize = place
        .counted_with()
        .iter()
        .map(|place| count(taken, *place))
        .sum();
    if all > max {
        Places::give_back_at(taken, place);
        return Err(());
    }
    Ok(())
}

fn count(taken: &[AtomicUsize; Place::ALL.len()], place: Place) -> usize {
    taken
        .get(place as usize)
        .map_or(0, |taken| taken.load(Ordering::Relaxed))
}

fn change(
    taken: &[AtomicUsize; Place::ALL.len()],
    place: Place,
    change: impl FnOnce(&AtomicUsize),
) {
    if let Some(taken) = taken.get(place as usize) {
        change(taken);
    }
}

/// The place of one stream. Gives it back when dropped.
#[derive(Debug)]
pub struct Seat(Arc<Holder>);

impl Seat {
    pub(super) fn take(holder: &Arc<Holder>) -> Result<Self, Crowded> {
        let places = &holder.account.places;
        if holder.exempt {
            places.take_always(Place::Stream);
            Places::take_at_always(&holder.address.places, Place::Stream);
            return Ok(Self(Arc::clone(holder)));
        }
        places.take(Place::Stream)?;
        if let Err(crowded) = places.take_at(&holder.address.places, Place::Stream) {
            places.give_back(Place::Stream);
            return Err(crowded);
        }
        Ok(Self(Arc::clone(holder)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.account.places.give_back(Place::Stream);
        Places::give_back_at(&self.0.address.places, Place::Stream);
    }
}
