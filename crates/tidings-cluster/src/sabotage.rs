//! Rules of a member that can be skipped, one at a time, to show that the simulator's checkers
//! notice. Without the feature `sabotage`, nothing can be skipped, and the questions cost nothing.

/// A rule of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A publisher whose update may have been taken is told so, and not that it was refused (promise 1,
    /// acknowledged).
    SayInDoubt,
    /// What may have been taken is sent again so that it is taken once (promise 3, once).
    RepeatAsOne,
    /// A hub whose engine is away asks it again (promise 5, engine away).
    LookAgain,
    /// What was acknowledged on a line that is left is published anew (promise 4, nothing
    /// acknowledged is dropped).
    PublishAnew,
    /// A line is compared by its prints before it is followed (promise 2, one order).
    ComparePrints,
    /// What the engine does not keep any more is fetched from another hub (promise 12, away for long).
    FetchMissed,
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
