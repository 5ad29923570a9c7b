//! Rules that can be skipped, one at a time, to show that the simulator's checkers notice. Without
//! the feature `sabotage`, nothing can be skipped, and the questions cost nothing.

/// A rule of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A publisher is answered after the commit that covers its update
    /// (invariant 3, acknowledged is kept).
    AnswerAfterCommit,
    /// A subscriber goes live in one step with the look that finds nothing left to read
    /// (invariant 4, no silent gap).
    LiveInOneStep,
    /// What a full socket did not take is read again (invariant 4, no silent gap).
    ReadAgainAfterLag,
    /// An update that a cursor or a replay covers is not sent again (invariant 4, no silent gap).
    NothingTwice,
    /// A subscriber that retention overtook is told (invariant 4, no silent gap).
    TellOfGaps,
    /// Replay asks the grants again (invariant 5, private by grant).
    AskGrantsOnReplay,
    /// The ring of recent updates is bounded in bytes (invariant 7, bounded memory).
    BoundTheRing,
    /// A session that ends releases its matchers (invariant 9, true presence).
    GiveMatchersBack,
    /// Presence is told of the end of a subscription (invariant 9, true presence).
    TellOfLeaving,
    /// An id is known only if it matches the print of the update (invariant 4, no silent gap).
    VouchForIds,
    /// Updates age by elapsed time, whatever the machine's clock shows
    /// (invariant 3, acknowledged is kept).
    OwnClock,
    /// Subscriptions that a crashed process announced are ended (invariant 9, true presence).
    EndGhosts,
    /// In a cluster, the table of a hub has what other hubs publish (promise 11, presence).
    HearOthers,
    /// In a cluster, a hub that lives ends the subscriptions of one that has died (promise 11, presence).
    AnswerForTheDead,
    /// A message for hubs reaches the handler of each (promise 9, messages).
    PassMessagesOn,
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
