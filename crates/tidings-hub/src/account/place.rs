//! Places: limits on the number of connections, HTTP/2 streams and SockJS sessions, in total and per
//! address. A stream counts as a connection, which it would be over HTTP/1.1. So does, for the address of its
//! client, a request that a trusted proxy passes on; in total only the proxy's connection counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;

use super::{Holder, Scope};

/// A kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A connection.
    Connection,
    /// An HTTP/2 stream.
    Stream,
    /// A SockJS session without a connection of its own.
    SockJsSession,
    /// A request, or what became of it, that came through a trusted proxy.
    Client,
}

impl Place {
    pub(super) const ALL: [Self; 4] = [
        Self::Connection,
        Self::Stream,
        Self::SockJsSession,
        Self::Client,
    ];

    /// Returns the kinds that count for the same limit of an address.
    fn counted_with(self) -> &'static [Self] {
        match self {
            Self::Connection | Self::Stream | Self::Client => {
                &[Self::Connection, Self::Stream, Self::Client]
            }
            Self::SockJsSession => &[Self::SockJsSession],
        }
    }

    /// Returns the kinds that count for the same total.
    fn totalled_with(self) -> &'static [Self] {
        match self {
            Self::Connection | Self::Stream => &[Self::Connection, Self::Stream],
            Self::SockJsSession => &[Self::SockJsSession],
            Self::Client => &[],
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

impl Crowded {
    /// Returns its label in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Address => "address",
        }
    }
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

    /// Takes a place in total and at an address, as far as limits apply, or neither.
    pub(super) fn take(
        &self,
        scope: Scope,
        here: &[AtomicUsize; Place::ALL.len()],
        place: Place,
    ) -> Result<(), Crowded> {
        let bounds = self.bounds(place);
        let (total_max, here_max) = match scope {
            Scope::All => (bounds.total_max, bounds.per_address_max),
            Scope::Total => (bounds.total_max, 0),
            Scope::None => (0, 0),
        };
        take_within(&self.taken, place, place.totalled_with(), total_max)
            .map_err(|()| Crowded::Total)?;
        take_within(here, place, place.counted_with(), here_max).map_err(|()| {
            self.give_back(place);
            Crowded::Address
        })
    }

    /// Takes a place whatever the limits are.
    pub(super) fn take_always(&self, here: &[AtomicUsize; Place::ALL.len()], place: Place) {
        for taken in [&self.taken, here] {
            change(taken, place, |taken| {
                taken.fetch_add(1, Ordering::Relaxed);
            });
        }
    }

    pub(super) fn open(&self, place: Place) -> usize {
        count(&self.taken, place)
    }

    pub(super) fn give_back(&self, place: Place) {
        Self::give_back_at(&self.taken, place);
    }

    pub(super) fn give_back_at(taken: &[AtomicUsize; Place::ALL.len()], place: Place) {
        change(taken, place, |taken| {
            taken.fetch_sub(1, Ordering::Relaxed);
        });
    }

    fn bounds(&self, place: Place) -> PlaceBounds {
        let bounds = match place {
            Place::Connection | Place::Stream | Place::Client => &self.connections,
            Place::SockJsSession => &self.sockjs_sessions,
        };
        **bounds.load()
    }
}

/// Takes one place unless more than `max` of the `counted` kinds would be taken. Zero sets no limit.
fn take_within(
    taken: &[AtomicUsize; Place::ALL.len()],
    place: Place,
    counted: &[Place],
    max: usize,
) -> Result<(), ()> {
    change(taken, place, |taken| {
        taken.fetch_add(1, Ordering::Relaxed);
    });
    let all: usize = counted.iter().map(|place| count(taken, *place)).sum();
    if max > 0 && all > max {
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
        places.take(holder.scope, &holder.address.places, Place::Stream)?;
        Ok(Self(Arc::clone(holder)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.account.places.give_back(Place::Stream);
        Places::give_back_at(&self.0.address.places, Place::Stream);
    }
}
