//! A position in our own history. Subscribers see it as an event id.

use std::fmt;

/// A position in the history of this hub: 1 for the first update, then without gaps.
///
/// It never leaves the process unsealed; see [`IdSeal`](crate::IdSeal).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// The position before the first update.
    pub const ZERO: Self = Self(0);

    /// Makes a position from its stored number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Returns the next position. The greatest one, which no history reaches, returns itself.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn positions_are_dense_and_start_after_zero() {
        assert_eq!(Position::ZERO.next(), Position::new(1));
        assert!(Position::ZERO < Position::new(1));
        assert_eq!(Position::new(u64::MAX).next().get(), u64::MAX);
    }
}
