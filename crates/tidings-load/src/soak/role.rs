//! The behaviour of each kind of subscriber: what it does next, and when.

use std::time::Duration;

use fastrand::Rng;

/// A kind of subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Stays, and is connected before the first update, so that the order of its topic is known.
    Witness,
    /// Stays. Resumes from its cursor when its connection ends.
    Steady,
    /// Leaves from time to time, and resumes from its cursor or begins again.
    Roamer,
    /// Stops reading for a while, often long enough to fall behind, sometimes long enough for the
    /// hub to close its connection.
    Slow,
    /// Reads from the oldest retained update, then leaves and begins again.
    Historian,
    /// Resumes from an older cursor, reads for a while, and begins again.
    Returner,
}

/// An action of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Connects with its cursor, if it has one.
    Resume,
    /// Connects without a cursor, or with the one of its role.
    Begin,
    /// Ends its connection.
    Leave,
    /// Stops reading.
    Pause,
    /// Continues reading.
    Read,
}

/// The current state of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    Away,
    Reading,
    Pausing,
}

impl Role {
    /// Returns the role of subscriber `number`. Of twenty, twelve stay, four come and go, two are
    /// slow, one reads from the beginning and one from an old cursor.
    pub(crate) fn of(number: usize) -> Self {
        match number % 20 {
            3 | 8 | 13 | 18 => Self::Roamer,
            5 | 15 => Self::Slow,
            9 => Self::Historian,
            19 => Self::Returner,
            _ => Self::Steady,
        }
    }

    /// Returns whether the subscriber must receive every update until the end of the run, through
    /// all its connections.
    pub(crate) fn stays_to_the_end(self) -> bool {
        match self {
            Self::Witness | Self::Steady | Self::Roamer | Self::Slow => true,
            Self::Historian | Self::Returner => false,
        }
    }

    /// Returns the next action.
    pub(crate) fn next(self, activity: Activity, rng: &mut Rng) -> Action {
        match (self, activity) {
            (Self::Witness | Self::Steady | Self::Slow, Activity::Away) => Action::Resume,
            (Self::Roamer, Activity::Away) => match rng.u8(0..3) {
                0 => Action::Begin,
                _ => Action::Resume,
            },
            (Self::Historian | Self::Returner, Activity::Away) => Action::Begin,
            (Self::Slow, Activity::Reading) => Action::Pause,
            (_, Activity::Pausing) => Action::Read,
            (
                Self::Witness | Self::Steady | Self::Roamer | Self::Historian | Self::Returner,
                Activity::Reading,
            ) => Action::Leave,
        }
    }

    /// Returns how long the subscriber stays in this state before its next action; `None` means
    /// forever.
    pub(crate) fn duration(self, activity: Activity, rng: &mut Rng) -> Option<Duration> {
        let secs = |rng: &mut Rng, from: f64, to: f64| {
            Some(Duration::from_secs_f64(from + (to - from) * rng.f64()))
        };
        match (self, activity) {
            (Self::Witness | Self::Steady, Activity::Reading) => None,
            (Self::Witness | Self::Steady | Self::Slow, Activity::Away) => secs(rng, 0.02, 0.2),
            (Self::Roamer, Activity::Reading) => secs(rng, 1.0, 40.0),
            (Self::Roamer, Activity::Away) => secs(rng, 0.05, 20.0),
            (Self::Slow, Activity::Reading) => secs(rng, 2.0, 10.0),
            (_, Activity::Pausing) => match rng.u8(0..10) {
                // Longer than `limits.stall_timeout_secs` of the hubs that `cargo xtask` starts.
                0 => secs(rng, 12.0, 20.0),
                _ => secs(rng, 1.0, 8.0),
            },
            (Self::Historian, Activity::Reading) => secs(rng, 5.0, 20.0),
            (Self::Historian, Activity::Away) => secs(rng, 5.0, 30.0),
            (Self::Returner, Activity::Reading) => secs(rng, 2.0, 10.0),
            (Self::Returner, Activity::Away) => secs(rng, 1.0, 10.0),
        }
    }
}
