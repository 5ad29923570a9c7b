//! Rules that can be skipped, one at a time, to show that the simulator's checkers notice. Without
//! the feature `sabotage` every question here is answered at compile time: nothing is skipped.

/// A rule of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A publisher is answered after the commit that covers its update
    /// (invariant 3, acknowledged is kept).
    AnswerAfterCommit,
    /// A subscriber becomes live in one step with the look that finds nothing left
    /// (invariant 4, no silent gap).
    LiveInOneStep,
    /// What a full socket did not take is read again (invariant 4, no silent gap).
    ReadAgainAfterLag,
    /// What a cursor or a replay covers already is not sent again (invariant 4, no silent gap).
    NothingTwice,
    /// Retention that overtakes a subscriber is told (invariant 4, no silent gap).
    TellOfGaps,
    /// Replay asks the grants again (invariant 5, private by grant).
    AskGrantsOnReplay,
    /// The ring of recent updates is bounded in bytes (invariant 7, bounded memory).
    BoundTheRing,
    /// Who leaves gives the matchers back (invariant 9, true presence).
    GiveMatchersBack,
    /// The end of a subscription is told to presence (invariant 9, true presence).
    TellOfLeaving,
    /// An id is believed only where it fits the update that is found (invariant 4, no silent gap).
    VouchForIds,
    /// Updates grow old by the time that passes, whatever the machine's clock shows
    /// (invariant 3, acknowledged is kept).
    OwnClock,
    /// What a process that died said of subscriptions is taken back (invariant 9, true presence).
    EndGhosts,
}

#[cfg(feature = "sabotage")]
std::thread_local! {
    static SKIPPED: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Skips `rule` in this thread from now on, and no other.
#[cfg(feature = "sabotage")]
pub fn skip(rule: Option<Rule>) {
    SKIPPED.set(rule);
}

/// Returns whether `rule` is to be skipped.
#[cfg(feature = "sabotage")]
#[must_use]
pub fn skips(rule: Rule) -> bool {
    SKIPPED.get() == Some(rule)
}

/// Returns whether `rule` is to be skipped: never.
#[cfg(not(feature = "sabotage"))]
#[must_use]
pub const fn skips(_rule: Rule) -> bool {
    false
}
