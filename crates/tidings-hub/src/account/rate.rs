//! Limits on how often a peer may do something: token buckets, for the subject of a token and for an address. All
//! shards share them.
//!
//! A bucket is one number: when it will be full again (the generic cell rate algorithm). So a bucket that is full is
//! the same as none, and forgetting it changes nothing.
//!
//! ```text
//! hash of a subject or address ──▶ set of 8 entries, behind a lock that is held for a few comparisons
//!                                    entry: the hash, and one bucket for each rate
//! ```
//!
//! The table has a fixed size. If all entries of a set are in use, the one that is closest to full gives way: it loses
//! least, at most one burst. Somebody who is over a limit stays in the table, whatever strangers do.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tidings_auth::Identity;

use super::{Holder, Scope};

/// Sets of entries. With [`ENTRIES`], 65,536 peers; 2 MiB, taken when the first limit is set.
const SETS: usize = 8192;
/// Entries of one set.
const ENTRIES: usize = 8;
/// Bits of an IPv6 address that belong to one network. Its owner can use all addresses in it.
const IPV6_NETWORK_BITS: u32 = 64;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rate {
    Publishes,
    PublishedBytes,
    Subscribes,
}

impl Rate {
    const ALL: [Self; 3] = [Self::Publishes, Self::PublishedBytes, Self::Subscribes];

    fn noun(self) -> &'static str {
        match self {
            Self::Publishes => "publishes",
            Self::PublishedBytes => "published bytes",
            Self::Subscribes => "subscribes",
        }
    }
}

/// For whom it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    Subject,
    Address,
}

/// The keys of the limits, by rate and then by whom.
const KEYS: [[&str; 2]; Rate::ALL.len()] = [
    [
        "limits.publishes_per_second_per_subject_max",
        "limits.publishes_per_second_per_address_max",
    ],
    [
        "limits.published_bytes_per_second_per_subject_max",
        "limits.published_bytes_per_second_per_address_max",
    ],
    [
        "limits.subscribes_per_second_per_subject_max",
        "limits.subscribes_per_second_per_address_max",
    ],
];

/// Limits per second; none for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateBounds {
    /// Of publishes, by subject and by address.
    pub publishes: [Option<u32>; 2],
    /// Of bytes of published data.
    pub published_bytes: [Option<u32>; 2],
    /// Of subscribes.
    pub subscribes: [Option<u32>; 2],
    /// How long the full rate may have been saved up: the size of a bucket.
    pub burst: Duration,
}

impl RateBounds {
    fn of(&self, rate: Rate, whom: Whom) -> Option<u32> {
        let [subject, address] = match rate {
            Rate::Publishes => self.publishes,
            Rate::PublishedBytes => self.published_bytes,
            Rate::Subscribes => self.subscribes,
        };
        match whom {
            Whom::Subject => subject,
            Whom::Address => address,
        }
    }

    fn any(&self, whom: Whom, costs: &[(Rate, u64)]) -> bool {
        costs.iter().any(|(rate, _)| self.of(*rate, whom).is_some())
    }
}

/// Why something has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "more than {max} {} per second by {} ({}); try again in {} s",
    .rate.noun(),
    match .whom { Whom::Subject => "the subject of this token", Whom::Address => "this address" },
    self.key(),
    self.retry_after_secs()
)]
pub struct OverRate {
    rate: Rate,
    whom: Whom,
    max: u32,
    wait: Duration,
}

impl OverRate {
    /// Returns the key of the limit.
    pub(crate) fn key(&self) -> &'static str {
        let [subject, address] = keys_of(self.rate);
        match self.whom {
            Whom::Subject => subject,
            Whom::Address => address,
        }
    }

    /// Returns the whole seconds after which there is room.
    pub(crate) fn retry_after_secs(&self) -> u64 {
        (self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0)).max(1)
    }
}

/// Who does something. Both parts count, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub struct Meter<'a> {
    /// The peer.
    pub holder: &'a Holder,
    /// Its token. Only one with a subject counts.
    pub identity: Option<&'a Identity>,
}

impl Meter<'_> {
    /// Counts a publish with `bytes` of data.
    ///
    /// # Errors
    ///
    /// The limit that it would exceed. Nothing is counted then.
    pub(crate) fn publish(&self, bytes: usize) -> Result<(), OverRate> {
        self.count(&[(Rate::Publishes, 1), (Rate::PublishedBytes, bytes as u64)])
    }

    /// Counts a subscribe.
    ///
    /// # Errors
    ///
    /// The limit that it would exceed. Nothing is counted then.
    pub(crate) fn subscribe(&self) -> Result<(), OverRate> {
        self.count(&[(Rate::Subscribes, 1)])
    }

    fn count(&self, costs: &[(Rate, u64)]) -> Result<(), OverRate> {
        let account = &self.holder.account;
        let bounds = account.bounds.load().rates;
        let rates = &account.rates;
        let subject = self.identity.and_then(|identity| {
            let subject = identity.subject.as_deref()?;
            let limited = bounds.any(Whom::Subject, costs);
            limited.then(|| rates.hash((&*identity.issuer, subject)))
        });
        let limited = self.holder.scope == Scope::All && bounds.any(Whom::Address, costs);
        let address = limited.then(|| rates.hash(network(self.holder.ip())));
        if let Some(subject) = subject {
            rates.take(&bounds, Whom::Subject, subject, costs)?;
        }
        let Some(address) = address else {
            return Ok(());
        };
        let taken = rates.take(&bounds, Whom::Address, address, costs);
        if let Some(subject) = subject.filter(|_| taken.is_err()) {
            rates.give_back(&bounds, subject, costs);
        }
        taken
    }
}

/// Returns what counts as one peer: an IPv4 address, or a network of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let host_bits = u128::BITS - IPV6_NETWORK_BITS;
            IpAddr::V6((address.to_bits() >> host_bits << host_bits).into())
        }
    }
}

fn keys_of(rate: Rate) -> [&'static str; 2] {
    let [publishes, bytes, subscribes] = KEYS;
    match rate {
        Rate::Publishes => publishes,
        Rate::PublishedBytes => bytes,
        Rate::Subscribes => subscribes,
    }
}

/// The buckets of all peers.
#[derive(Debug)]
pub(super) struct Rates {
    began: Instant,
    hasher: RandomState,
    sets: OnceLock<Box<[Mutex<Set>]>>,
    /// Refusals, by rate and then by whom.
    refused: [[AtomicU64; 2]; Rate::ALL.len()],
}

type Set = [Entry; ENTRIES];

/// The buckets of one peer.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    peer: u64,
    /// When each bucket is full again, in nanoseconds since `began`.
    full_at: [u64; Rate::ALL.len()],
}

impl Entry {
    /// Returns when all its buckets are full: from then on it is the same as none.
    fn last_full_at(&self) -> u64 {
        self.full_at.iter().copied().max().unwrap_or_default()
    }
}

impl Rates {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            hasher: RandomState::new(),
            sets: OnceLock::new(),
            refused: Default::default(),
        }
    }

    fn hash(&self, peer: impl Hash) -> u64 {
        self.hasher.hash_one(peer)
    }

    fn now(&self) -> u64 {
        nanos(self.began.elapsed())
    }

    fn take(
        &self,
        bounds: &RateBounds,
        whom: Whom,
        peer: u64,
        costs: &[(Rate, u64)],
    ) -> Result<(), OverRate> {
        let now = self.now();
        let taken = self.with_entry(peer, now, |entry| {
            take_from(entry, bounds, whom, costs, now)
        });
        let taken = taken.unwrap_or(Ok(()));
        if let Err(over) = &taken {
            let [subject, address] = self.refusals_of(over.rate);
            let count = match whom {
                Whom::Subject => subject,
                Whom::Address => address,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Undoes a take for a subject, because the limit of the address was reached.
    fn give_back(&self, bounds: &RateBounds, peer: u64, costs: &[(Rate, u64)]) {
        self.with_entry(peer, self.now(), |entry| {
            for &(rate, cost) in costs {
                if let Some(max) = bounds.of(rate, Whom::Subject)
                    && let Some(full_at) = entry.full_at.get_mut(rate as usize)
                {
                    *full_at = full_at.saturating_sub(time_of(cost, max));
                }
            }
        });
    }

    /// Uses the entry of a peer, new if it has none.
    fn with_entry<T>(&self, peer: u64, now: u64, work: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let sets = self.sets.get_or_init(|| {
            let sets = std::iter::repeat_with(Mutex::<Set>::default);
            sets.take(SETS).collect()
        });
        let index = usize::try_from(peer >> 32).unwrap_or_default() % SETS;
        // Every state of an entry is a valid one, even if a panic left it behind.
        let mut set = sets
            .get(index)?
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = set.iter().position(|entry| entry.peer == peer);
        let index = known.or_else(|| {
            // Entries that are full are equally good; else the one that loses least.
            let worth = |entry: &Entry| entry.last_full_at().saturating_sub(now);
            let places = set.iter().enumerate();
            let (index, _) = places.min_by_key(|(_, entry)| worth(entry))?;
            Some(index)
        })?;
        let entry = set.get_mut(index)?;
        if known.is_none() {
            *entry = Entry {
                peer,
                ..Entry::default()
            };
        }
        Some(work(entry))
    }

    fn refusals_of(&self, rate: Rate) -> &[AtomicU64; 2] {
        let [publishes, bytes, subscribes] = &self.refused;
        match rate {
            Rate::Publishes => publishes,
            Rate::PublishedBytes => bytes,
            Rate::Subscribes => subscribes,
        }
    }

    /// Returns each limit's key and how often it refused.
    pub(super) fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Rate::ALL.into_iter().flat_map(|rate| {
            let counts = self.refusals_of(rate).iter();
            let counts = counts.map(|count| count.load(Ordering::Relaxed));
            keys_of(rate).into_iter().zip(counts.collect::<Vec<_>>())
        })
    }
}

/// Returns the keys of all limits on rates.
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    KEYS.into_iter().flatten()
}

/// Takes all `costs` from the buckets, or none.
fn take_from(
    entry: &mut Entry,
    bounds: &RateBounds,
    whom: Whom,
    costs: &[(Rate, u64)],
    now: u64,
) -> Result<(), OverRate> {
    let burst = nanos(bounds.burst);
    let mut after = entry.full_at;
    for &(rate, cost) in costs {
        let Some(max) = bounds.of(rate, whom) else {
            continue;
        };
        let Some(full_at) = after.get_mut(rate as usize) else {
            continue;
        };
        let missing = full_at.saturating_sub(now);
        let cost = time_of(cost, max);
        // A full bucket is enough for what is larger than it: otherwise that could never happen.
        if missing > 0 && missing.saturating_add(cost) > burst {
            let wait = missing.min((missing.saturating_add(cost)) - burst);
            return Err(OverRate {
                rate,
                whom,
                max,
                wait: Duration::from_nanos(wait),
            });
        }
        *full_at = now.saturating_add(missing).saturating_add(cost);
    }
    entry.full_at = after;
    Ok(())
}

/// Returns the nanoseconds in which `count` come in at `per_second`.
fn time_of(count: u64, per_second: u32) -> u64 {
    let nanos = u128::from(count) * 1_000_000_000 / u128::from(per_second.max(1));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
