//! The account of the resources that peers use: connections, sessions and memory, per connection, per
//! address and in total. Every transport books here, and only this module decides whether there is room.
//!
//! ```text
//! accept ──▶ Holder (a connection, or a SockJS session) ──▶ Address ──▶ Account
//!               │ take(kind, bytes)      adds to all three, or to none
//!               ▼
//!            Charge ── gives back when dropped; may travel with the bytes
//! ```
//!
//! Booking is a few relaxed additions. Only the start and the end of a holder take a lock. Deliveries take
//! none: a frame that subscribers share is booked for a peer only if its socket does not take it.
//! The module knows no HTTP; `http/problem` turns an [`OverLimit`] into a response.

mod kind;
mod matchers;
mod memory;
mod place;
mod rate;

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use hashbrown::HashMap;

use crate::metrics::PeerMemoryCounters;

pub use self::kind::{Kind, Limit, OverLimit};
pub use self::matchers::Booked;
pub use self::memory::machine_bytes;
pub use self::place::{Crowded, Place, PlaceBounds, Seat};
pub(crate) use self::rate::keys as keys_of_rates;
pub use self::rate::{Meter, OverRate, RateBounds};

/// Bytes of a response, or of a part of it, that are not booked: the charge of its connection or stream covers
/// them.
pub const COVERED_BYTES_MAX: usize = 1024;

/// Limits on the bytes that may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// For one connection, or one SockJS session.
    pub holder_max: usize,
    /// For one address.
    pub address_max: usize,
    /// In total.
    pub total_max: usize,
    /// For all SockJS sessions together.
    pub sockjs_max: usize,
    /// Unindexed patterns, not bytes: for one address.
    pub unindexed_address_max: usize,
    /// The same in total.
    pub unindexed_max: usize,
    /// How often a peer may do something.
    pub rates: RateBounds,
}

/// The bytes and places that are taken in the process, and their limits.
#[derive(Debug)]
pub struct Account {
    bounds: ArcSwap<Bounds>,
    places: place::Places,
    held: AtomicUsize,
    unindexed: AtomicUsize,
    register: Mutex<matchers::Register>,
    by_kind: [AtomicUsize; Kind::ALL.len()],
    refused: [[AtomicU64; Kind::ALL.len()]; Limit::ALL.len()],
    addresses: Mutex<HashMap<IpAddr, Arc<Address>>>,
    rates: rate::Rates,
}

/// The bytes and places that one address takes.
#[derive(Debug)]
struct Address {
    ip: IpAddr,
    held: AtomicUsize,
    unindexed: AtomicUsize,
    /// Holders. Changed only with the table locked, because the last one removes the address from it.
    holders: AtomicUsize,
    places: [AtomicUsize; Place::ALL.len()],
}

/// One connection or session, for which bytes are held. Its place is given back when the last reference to it
/// is dropped.
pub struct Holder {
    account: Arc<Account>,
    address: Arc<Address>,
    place: Place,
    scope: Scope,
    held: AtomicUsize,
    /// The proxy's connection, whose place is taken for as long as its client's.
    _through: Option<Arc<Self>>,
}

/// Which limits apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    All,
    /// Those that are not for one address: a trusted proxy speaks for many clients.
    Total,
    /// None: operators need responses from a full hub.
    None,
}

/// Bytes that are booked for a peer. Gives them back when dropped.
#[derive(Debug)]
pub struct Charge {
    holder: Arc<Holder>,
    bytes: usize,
    kind: Kind,
}

impl Account {
    /// Makes an account with nothing booked.
    pub fn new(
        bounds: Bounds,
        connections: PlaceBounds,
        sockjs_sessions: PlaceBounds,
    ) -> Arc<Self> {
        Arc::new(Self {
            bounds: ArcSwap::from_pointee(bounds),
            places: place::Places::new(connections, sockjs_sessions),
            held: AtomicUsize::new(0),
            unindexed: AtomicUsize::new(0),
            register: Mutex::default(),
            by_kind: Default::default(),
            refused: Default::default(),
            addresses: Mutex::default(),
            rates: rate::Rates::new(),
        })
    }

    /// Changes the limits. What is booked beyond them stays booked, and nothing is added to it.
    pub fn set_limits(
        &self,
        bounds: Bounds,
        connections: PlaceBounds,
        sockjs_sessions: PlaceBounds,
    ) {
        self.bounds.store(Arc::new(bounds));
        self.places.set_bounds(connections, sockjs_sessions);
    }

    /// Returns the booked bytes of all kinds.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Returns the booked bytes of one kind.
    pub fn held_of(&self, kind: Kind) -> usize {
        self.by_kind
            .get(kind.index())
            .map_or(0, |held| held.load(Ordering::Relaxed))
    }

    /// Returns how often bytes of a kind were refused because of a limit.
    pub(crate) fn refused(&self, limit: Limit, kind: Kind) -> u64 {
        self.refused
            .get(limit.index())
            .and_then(|kinds| kinds.get(kind.index()))
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Returns how many connections are open.
    pub fn connections(&self) -> usize {
        self.places.open(Place::Connection)
    }

    /// Returns how many HTTP/2 streams are open.
    pub(crate) fn streams(&self) -> usize {
        self.places.open(Place::Stream)
    }

    /// Takes a place for a peer at `ip`, within the limits of `scope`.
    ///
    /// # Errors
    ///
    /// The limit that is reached.
    pub fn admit(
        self: &Arc<Self>,
        ip: IpAddr,
        place: Place,
        scope: Scope,
    ) -> Result<Arc<Holder>, Crowded> {
        self.admit_through(None, ip, place, scope)
    }

    fn admit_through(
        self: &Arc<Self>,
        through: Option<Arc<Holder>>,
        ip: IpAddr,
        place: Place,
        scope: Scope,
    ) -> Result<Arc<Holder>, Crowded> {
        let mut addresses = self.addresses();
        let address = addresses.entry(ip).or_insert_with(|| Address::new(ip));
        if let Err(crowded) = self.places.take(scope, &address.places, place) {
            if address.holders.load(Ordering::Relaxed) == 0 {
                addresses.remove(&ip);
            }
            return Err(crowded);
        }
        let address = address.held_once_more();
        drop(addresses);
        Ok(Arc::new(Holder {
            account: Arc::clone(self),
            address,
            place,
            scope,
            held: AtomicUsize::new(0),
            _through: through,
        }))
    }

    /// Takes a place for a connection to which no limit applies.
    pub fn admit_always(self: &Arc<Self>, ip: IpAddr) -> Arc<Holder> {
        let mut addresses = self.addresses();
        let address = addresses.entry(ip).or_insert_with(|| Address::new(ip));
        self.places.take_always(&address.places, Place::Connection);
        let address = address.held_once_more();
        drop(addresses);
        Arc::new(Holder {
            account: Arc::clone(self),
            address,
            place: Place::Connection,
            scope: Scope::None,
            held: AtomicUsize::new(0),
            _through: None,
        })
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<Address>>> {
        // The counts stay correct even if a holder panicked halfway.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn of_kind(&self, kind: Kind) -> &AtomicUsize {
        // Every kind has its place in the list. A test of `kind` checks it.
        self.by_kind.get(kind.index()).unwrap_or(&self.held)
    }

    /// Sets the metrics of the account.
    pub fn report(&self, metrics: &PeerMemoryCounters) {
        for (key, times) in self.rates.refusals() {
            metrics.set_rate_limited(key, times);
        }
        metrics.set_streams(self.streams());
        metrics.set_unindexed_patterns(self.unindexed_patterns());
        for kind in Kind::ALL {
            metrics.set_bytes(kind.name(), self.held_of(kind));
            for limit in Limit::ALL {
                if limit.is_for(kind) {
                    let times = self.refused(limit, kind);
                    metrics.set_refused(limit.name(), kind.name(), times);
                }
            }
        }
    }
}

impl Address {
    fn new(ip: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            ip,
            held: AtomicUsize::new(0),
            unindexed: AtomicUsize::new(0),
            holders: AtomicUsize::new(0),
            places: Default::default(),
        })
    }

    /// Counts a holder. The table is locked.
    fn held_once_more(self: &Arc<Self>) -> Arc<Self> {
        self.holders.fetch_add(1, Ordering::Relaxed);
        Arc::clone(self)
    }
}

impl Holder {
    /// Returns the address that it counts against.
    pub fn ip(&self) -> IpAddr {
        self.address.ip
    }

    /// Takes a place for a client at `ip` that came through this connection, which is a trusted proxy's. The
    /// connection's own place stays taken for as long.
    ///
    /// # Errors
    ///
    /// The limit of the client's address is reached.
    pub fn for_client(self: &Arc<Self>, ip: IpAddr, scope: Scope) -> Result<Arc<Self>, Crowded> {
        let through = Some(Arc::clone(self));
        self.account
            .admit_through(through, ip, Place::Client, scope)
    }

    /// Takes a place for a SockJS session of this peer, which outlives the connection.
    ///
    /// # Errors
    ///
    /// The limit that is reached.
    pub(crate) fn for_session(&self) -> Result<Arc<Self>, Crowded> {
        let (ip, scope) = (self.ip(), self.scope);
        self.account.admit(ip, Place::SockJsSession, scope)
    }

    /// Books `bytes` for as long as the charge lives.
    ///
    /// # Errors
    ///
    /// The limit that they would exceed. Nothing is booked then.
    pub fn take(self: &Arc<Self>, kind: Kind, bytes: usize) -> Result<Charge, OverLimit> {
        self.add_within(kind, bytes)?;
        Ok(Charge {
            holder: Arc::clone(self),
            bytes,
            kind,
        })
    }

    /// Books `bytes` regardless of the limits: for bytes that are held already, and bounded elsewhere. Others are
    /// refused earlier then.
    pub fn book(self: &Arc<Self>, kind: Kind, bytes: usize) -> Charge {
        self.add(kind, bytes);
        Charge {
            holder: Arc::clone(self),
            bytes,
            kind,
        }
    }

    /// Books `bytes` for as long as any part of them is held. Up to a kilobyte is covered by the charge of the
    /// connection or stream.
    ///
    /// # Errors
    ///
    /// The limit that they would exceed.
    pub(crate) fn wrap(self: &Arc<Self>, kind: Kind, bytes: Bytes) -> Result<Bytes, OverLimit> {
        if bytes.len() <= COVERED_BYTES_MAX {
            return Ok(bytes);
        }
        Ok(self.take(kind, bytes.len())?.wrap(bytes))
    }

    /// Takes a place for one stream of this connection.
    ///
    /// # Errors
    ///
    /// The limit that is reached.
    pub fn seat_stream(self: &Arc<Self>) -> Result<Seat, Crowded> {
        Seat::take(self)
    }

    /// Returns whether more of `kind` may be held.
    pub(crate) fn may_hold(&self, kind: Kind) -> bool {
        self.scope == Scope::None || self.exceeded(kind, 0).is_none()
    }

    fn add_within(&self, kind: Kind, bytes: usize) -> Result<(), OverLimit> {
        self.add(kind, bytes);
        self.check(kind, bytes)
            .inspect_err(|_| self.subtract(kind, bytes))
    }

    /// Checks the limits after `added` bytes were added.
    fn check(&self, kind: Kind, added: usize) -> Result<(), OverLimit> {
        if self.scope == Scope::None {
            return Ok(());
        }
        let Some(limit) = self.exceeded(kind, added) else {
            return Ok(());
        };
        let refused = self.account.refused.get(limit.index());
        if let Some(count) = refused.and_then(|kinds| kinds.get(kind.index())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let max = self.max_of(limit);
        tracing::debug!(
            kind = kind.name(),
            limit = limit.key(),
            max,
            "memory limit reached"
        );
        Err(OverLimit { limit, kind, max })
    }

    /// Returns the narrowest limit that is exceeded, after the bytes were added. If nothing was added, a limit
    /// that is only reached counts too.
    fn exceeded(&self, kind: Kind, added: usize) -> Option<Limit> {
        let over = |held: &AtomicUsize, limit| {
            let held = held.load(Ordering::Relaxed);
            let max = self.max_of(limit);
            (held > max || (added == 0 && held >= max)).then_some(limit)
        };
        let here = self.scope == Scope::All;
        over(&self.held, Limit::Connection)
            .or_else(|| over(here.then_some(&self.address.held)?, Limit::Address))
            .or_else(|| over(&self.account.held, Limit::Total))
            .or_else(|| {
                let sockjs = (kind == Kind::SockJs).then(|| self.account.of_kind(kind))?;
                over(sockjs, Limit::SockJs)
            })
            .or_else(|| {
                if kind != Kind::Matchers {
                    return None;
                }
                let patterns = here.then_some(&self.address.unindexed);
                patterns
                    .and_then(|patterns| over(patterns, Limit::UnindexedPerAddress))
                    .or_else(|| over(&self.account.unindexed, Limit::Unindexed))
            })
    }

    fn max_of(&self, limit: Limit) -> usize {
        let bounds = self.account.bounds.load();
        match limit {
            Limit::Connection => bounds.holder_max,
            Limit::Address => bounds.address_max,
            Limit::Total => bounds.total_max,
            Limit::SockJs => bounds.sockjs_max,
            Limit::UnindexedPerAddress => bounds.unindexed_address_max,
            Limit::Unindexed => bounds.unindexed_max,
        }
    }

    fn add(&self, kind: Kind, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
        self.address.held.fetch_add(bytes, Ordering::Relaxed);
        self.account.held.fetch_add(bytes, Ordering::Relaxed);
        self.account
            .of_kind(kind)
            .fetch_add(bytes, Ordering::Relaxed);
    }

    fn subtract(&self, kind: Kind, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.address.held.fetch_sub(bytes, Ordering::Relaxed);
        self.account.held.fetch_sub(bytes, Ordering::Relaxed);
        self.account
            .of_kind(kind)
            .fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holder")
            .field("ip", &self.address.ip)
            .field("place", &self.place)
            .field("held", &self.held)
            .finish_non_exhaustive()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.account.places.give_back(self.place);
        place::Places::give_back_at(&self.address.places, self.place);
        let mut addresses = self.account.addresses();
        if self.address.holders.fetch_sub(1, Ordering::Relaxed) == 1 {
            addresses.remove(&self.address.ip);
            if addresses.len() < addresses.capacity() / 4 {
                addresses.shrink_to_fit();
            }
        }
    }
}

impl Charge {
    /// Books `bytes` more.
    ///
    /// # Errors
    ///
    /// The limit that they would exceed. The charge is then unchanged.
    pub fn grow(&mut self, bytes: usize) -> Result<(), OverLimit> {
        self.holder.add_within(self.kind, bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Books `bytes` more regardless of the limits. See [`Holder::book`].
    pub(crate) fn add(&mut self, bytes: usize) {
        self.holder.add(self.kind, bytes);
        self.bytes += bytes;
    }

    /// Gives `bytes` back, or all if there are fewer.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.holder.subtract(self.kind, bytes);
        self.bytes -= bytes;
    }

    /// Moves `bytes` of it, or all if there are fewer, into a new charge.
    pub fn split(&mut self, bytes: usize) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self {
            holder: Arc::clone(&self.holder),
            bytes,
            kind: self.kind,
        }
    }

    /// Changes it to `bytes` in all.
    ///
    /// # Errors
    ///
    /// The limit that they would exceed. The charge is then unchanged.
    pub fn resize(&mut self, bytes: usize) -> Result<(), OverLimit> {
        match bytes.checked_sub(self.bytes) {
            Some(0) => Ok(()),
            Some(more) => self.grow(more),
            None => {
                self.give_back(self.bytes - bytes);
                Ok(())
            }
        }
    }

    /// Returns whether more of this kind may be held.
    pub(crate) fn may_hold(&self) -> bool {
        self.holder.may_hold(self.kind)
    }

    /// Attaches the charge to `bytes`. It is given back when the last part of them is dropped, on any thread.
    pub fn wrap(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Charged {
            bytes,
            _charge: self,
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.holder.subtract(self.kind, self.bytes);
    }
}

/// See [`Charge::wrap`].
struct Charged {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
pub(crate) mod tests;
