//! The behaviour of each kind of subscriber: what it does next, and when.

use std::time::Duration;

use fastrand::Rng;

/// A kind of subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Stays, and was there before the first update: the order of a topic is known from it.
    Witness,
    /// Stays; comes back from its cursor when its connection ends.
    Steady,
    /// Leaves by itself, and comes back from its cursor or anew.
    Roamer,
    /// Stops reading for a while, often for so long that it falls behind, sometimes for so long
    /// that the hub ends its connection.
    Slow,
    /// Reads from the oldest update that is kept, then leaves and does it again.
    Historian,
    /// Comes with a cursor from some time ago, reads from there on, and does it again.
    Returner,
}

/// What a subscriber does when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Connects, after its cursor if it has one.
    Resume,
    /// Connects without a cursor, or with the one of its role.
    Begin,
    /// Ends its connection.
    Leave,
    /// Reads nothing from here on.
    Pause,
    /// Reads again.
    Read,
}

/// What a subscriber is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    Away,
    Reading,
    Pausing,
}

impl Role {
    /// Returns the role of subscriber `number` of `count`: of twenty, twelve stay, four come and
    /// go, two are slow, one reads from the beginning and one from an old cursor.
    pub(crate) fn of(number: usize) -> Self {
        match number % 20 {
            3 | 8 | 13 | 18 => Self::Roamer,
            5 | 15 => Self::Slow,
            9 => Self::Historian,
            19 => Self::Returner,
            _ => Self::Steady,
        }
    }

    /// Says whether the subscriber wants every update to the end of the run, through all its
    /// connections.
    pub(crate) fn stays_to_the_end(self) -> bool {
        match self {
            Self::Witness | Self::Steady | Self::Roamer | Self::Slow => true,
            Self::Historian | Self::Returner => false,
        }
    }

    /// Returns what comes next.
    pub(crate) fn next(self, doing: Doing, rng: &mut Rng) -> Deed {
        match (self, doing) {
            (Self::Witness | Self::Steady | Self::Slow, Doing::Away) => Deed::Resume,
            (Self::Roamer, Doing::Away) => match rng.u8(0..3) {
                0 => Deed::Begin,
                _ => Deed::Resume,
            },
            (Self::Historian | Self::Returner, Doing::Away) => Deed::Begin,
            (Self::Slow, Doing::Reading) => Deed::Pause,
            (_, Doing::Pausing) => Deed::Read,
            (
                Self::Witness | Self::Steady | Self::Roamer | Self::Historian | Self::Returner,
                Doing::Reading,
            ) => Deed::Leave,
        }
    }

    /// Returns how long the subscriber does what it began, before its next deed. Nothing: for ever.
    pub(crate) fn lasting(self, doing: Doing, rng: &mut Rng) -> Option<Duration> {
        let secs = |rng: &mut Rng, from: f64, to: f64| {
            Some(Duration::from_secs_f64(from + (to - from) * rng.f64()))
        };
        match (self, doing) {
            (Self::Witness | Self::Steady, Doing::Reading) => None,
            (Self::Witness | Self::Steady | Self::Slow, Doing::Away) => secs(rng, 0.02, 0.2),
            (Self::Roamer, Doing::Reading) => secs(rng, 1.0, 40.0),
            (Self::Roamer, Doing::Away) => secs(rng, 0.05, 20.0),
            (Self::Slow, Doing::Reading) => secs(rng, 2.0, 10.0),
            (_, Doing::Pausing) => match rng.u8(0..10) {
                // Longer than `limits.stall_timeout_secs` of the hubs that `cargo xtask` starts.
                0 => secs(rng, 12.0, 20.0),
                _ => secs(rng, 1.0, 8.0),
            },
            (Self::Historian, Doing::Reading) => secs(rng, 5.0, 20.0),
            (Self::Historian, Doing::Away) => secs(rng, 5.0, 30.0),
            (Self::Returner, Doing::Reading) => secs(rng, 2.0, 10.0),
            (Self::Returner, Doing::Away) => secs(rng, 1.0, 10.0),
        }
    }
}
