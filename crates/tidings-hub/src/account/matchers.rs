//! The cost of matchers: their memory, and the work that they cause for each update.
//!
//! A pattern is in memory once, however many subscribers use it. So it is booked once in total, once per
//! address, and once per use on a connection. The text of an exact matcher belongs to its subscriber.
//!
//! A pattern is *unindexed* if no literal part distinguishes it from many others: an update that may match one
//! of them is compared with all of them. Their number is bounded per address and in total.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use hashbrown::HashMap;
use tidings_core::index::Crowds;
use tidings_core::matcher::Matcher;

use super::{Account, COVERED_BYTES_MAX, Charge, Holder, Kind, OverLimit};

/// Patterns that nothing tells apart and that do not count as unindexed yet.
pub(super) const CROWD_MIN: usize = 16;
/// Bytes that a pattern takes in the tables here and in the index, beside its own.
const PATTERN_OVERHEAD_BYTES: usize = 512;

/// The patterns in use. One lock: it is taken when a subscription begins or ends, never by an update.
#[derive(Debug, Default)]
pub(super) struct Register {
    patterns: HashMap<Matcher, Use>,
    /// How often an address uses each pattern.
    by_address: HashMap<(IpAddr, Matcher), usize>,
    crowds: Crowds,
}

#[derive(Debug)]
struct Use {
    count: usize,
    unindexed: bool,
}

/// The matchers of one subscriber. Gives them back when dropped.
#[derive(Debug, Default)]
pub struct Booked {
    /// Bytes of the exact matchers.
    text_bytes: usize,
    /// None if there are only a few short texts.
    booking: Option<Box<Booking>>,
}

#[derive(Debug)]
struct Booking {
    texts: Charge,
    patterns: Vec<Matcher>,
    holder: Arc<Holder>,
}

impl Booked {
    /// Books more matchers. A pattern that others use too is replaced by their copy.
    ///
    /// # Errors
    ///
    /// The limit that they would exceed. Nothing more is booked then.
    pub(crate) fn add(
        &mut self,
        holder: &Arc<Holder>,
        matchers: &mut [Matcher],
    ) -> Result<(), OverLimit> {
        let text_bytes = self.text_bytes + bytes_of_texts(matchers);
        let has_patterns = matchers.iter().any(Matcher::is_pattern);
        if self.booking.is_none() && text_bytes <= COVERED_BYTES_MAX && !has_patterns {
            self.text_bytes = text_bytes;
            return Ok(());
        }
        let booking = self.booking.get_or_insert_with(|| {
            Box::new(Booking {
                texts: holder.book(Kind::Matchers, 0),
                patterns: Vec::new(),
                holder: Arc::clone(holder),
            })
        });
        booking.texts.resize(booked(text_bytes))?;
        if let Err(refusal) = booking.add_patterns(matchers) {
            booking
                .texts
                .give_back(booked(text_bytes) - booked(self.text_bytes));
            return Err(refusal);
        }
        self.text_bytes = text_bytes;
        Ok(())
    }

    /// Gives matchers back. Each of them was booked.
    pub(crate) fn remove(&mut self, matchers: &[Matcher]) {
        let before = self.text_bytes;
        self.text_bytes = before.saturating_sub(bytes_of_texts(matchers));
        let Some(booking) = &mut self.booking else {
            return;
        };
        booking
            .texts
            .give_back(booked(before) - booked(self.text_bytes));
        let (left, kept) = std::mem::take(&mut booking.patterns)
            .into_iter()
            .partition(|pattern| matchers.contains(pattern));
        booking.patterns = kept;
        booking.holder.leave_patterns(left);
    }
}

impl Booking {
    fn add_patterns(&mut self, matchers: &mut [Matcher]) -> Result<(), OverLimit> {
        let known = self.patterns.len();
        let mut register = self.holder.account.register();
        let mut result = Ok(());
        for matcher in matchers.iter_mut().filter(|matcher| matcher.is_pattern()) {
            self.holder.enter_pattern(&mut register, matcher);
            self.patterns.push(matcher.clone());
            result = self.holder.check(Kind::Matchers, bytes_of_pattern(matcher));
            if result.is_err() {
                break;
            }
        }
        drop(register);
        if result.is_err() {
            let left = self.patterns.split_off(known);
            self.holder.leave_patterns(left);
        }
        result
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.patterns);
        self.holder.leave_patterns(left);
    }
}

impl Holder {
    /// Counts one use of a pattern, and replaces it by the copy that others use.
    fn enter_pattern(&self, register: &mut Register, matcher: &mut Matcher) {
        let bytes = bytes_of_pattern(matcher);
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let (unindexed, first) = register.enter(matcher);
        if first {
            self.account.held.fetch_add(bytes, Ordering::Relaxed);
            let kind = self.account.of_kind(Kind::Matchers);
            kind.fetch_add(bytes, Ordering::Relaxed);
            let count = usize::from(unindexed);
            self.account.unindexed.fetch_add(count, Ordering::Relaxed);
        }
        let here = (self.address.ip, matcher.clone());
        let count = register.by_address.entry(here).or_default();
        *count += 1;
        if *count == 1 {
            self.address.held.fetch_add(bytes, Ordering::Relaxed);
            let count = usize::from(unindexed);
            self.address.unindexed.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn leave_patterns(&self, patterns: Vec<Matcher>) {
        if patterns.is_empty() {
            return;
        }
        let mut register = self.account.register();
        for pattern in &patterns {
            self.leave_pattern(&mut register, pattern);
        }
        register.shrink();
        drop(register);
        // Freed here, after the lock is released.
        drop(patterns);
    }

    fn leave_pattern(&self, register: &mut Register, matcher: &Matcher) {
        let bytes = bytes_of_pattern(matcher);
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        let (unindexed, last) = register.leave(matcher);
        if last {
            self.account.held.fetch_sub(bytes, Ordering::Relaxed);
            let kind = self.account.of_kind(Kind::Matchers);
            kind.fetch_sub(bytes, Ordering::Relaxed);
            let count = usize::from(unindexed);
            self.account.unindexed.fetch_sub(count, Ordering::Relaxed);
        }
        let here = (self.address.ip, matcher.clone());
        let Some(count) = register.by_address.get_mut(&here) else {
            return;
        };
        *count -= 1;
        if *count == 0 {
            register.by_address.remove(&here);
            self.address.held.fetch_sub(bytes, Ordering::Relaxed);
            let count = usize::from(unindexed);
            self.address.unindexed.fetch_sub(count, Ordering::Relaxed);
        }
    }
}

impl Account {
    /// Returns how many unindexed patterns there are.
    pub(crate) fn unindexed_patterns(&self) -> usize {
        self.unindexed.load(Ordering::Relaxed)
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        // The counts stay correct even if a holder panicked halfway.
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register {
    /// Counts one use. Returns whether the pattern is unindexed, and whether this is its first use.
    fn enter(&mut self, matcher: &mut Matcher) -> (bool, bool) {
        if let Some((shared, used)) = self.patterns.get_key_value_mut(matcher) {
            used.count += 1;
            *matcher = shared.clone();
            return (used.unindexed, false);
        }
        let unindexed = self.crowds.add(matcher) >= CROWD_MIN;
        let used = Use {
            count: 1,
            unindexed,
        };
        self.patterns.insert(matcher.clone(), used);
        (unindexed, true)
    }

    /// Counts one use less. Returns whether the pattern is unindexed, and whether this was its last use.
    fn leave(&mut self, matcher: &Matcher) -> (bool, bool) {
        let Some(used) = self.patterns.get_mut(matcher) else {
            return (false, false);
        };
        used.count -= 1;
        let (unindexed, last) = (used.unindexed, used.count == 0);
        if last {
            self.patterns.remove(matcher);
            self.crowds.remove(matcher);
        }
        (unindexed, last)
    }

    fn shrink(&mut self) {
        if self.patterns.len() < self.patterns.capacity() / 4 {
            self.patterns.shrink_to(self.patterns.len() * 2);
        }
        if self.by_address.len() < self.by_address.capacity() / 4 {
            self.by_address.shrink_to(self.by_address.len() * 2);
        }
    }
}

/// Returns the bytes of the matchers that are not patterns.
fn bytes_of_texts(matchers: &[Matcher]) -> usize {
    let texts = matchers.iter().filter(|matcher| !matcher.is_pattern());
    texts.map(Matcher::bytes).sum()
}

/// Returns what is booked for so many bytes of texts. A few bytes are covered by the charge of the connection.
fn booked(text_bytes: usize) -> usize {
    if text_bytes > COVERED_BYTES_MAX {
        text_bytes
    } else {
        0
    }
}

fn bytes_of_pattern(matcher: &Matcher) -> usize {
    matcher.bytes() + PATTERN_OVERHEAD_BYTES
}
