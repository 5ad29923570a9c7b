//! For each rule that is skipped, its checker must notice in some scenario.

use tidings_history::sabotage::{Rule, skip};
use tidings_sim::{Scenario, run};

/// The number of seeds within which a skipped rule must be noticed.
const SEEDS: u64 = 100;

#[track_caller]
fn check(rule: Rule, scenario: &str, expected: &str) {
    let scenario = Scenario::by_name(scenario).expect("a scenario");
    skip(Some(rule));
    let noticed = (0..SEEDS).find_map(|seed| run(scenario, seed).broken);
    skip(None);
    let noticed = noticed.unwrap_or_else(|| panic!("{rule:?} was skipped and nobody noticed"));
    assert!(noticed.contains(expected), "{rule:?}: {noticed}");
}

#[test]
fn an_answer_before_the_commit_is_noticed() {
    check(
        Rule::AnswerAfterCommit,
        "sync-faults",
        "was acknowledged but is not stored",
    );
}

#[test]
fn becoming_live_in_two_steps_is_noticed() {
    check(Rule::LiveInOneStep, "reconnects", ": a gap");
}

#[test]
fn not_reading_again_what_a_full_socket_refused_is_noticed() {
    check(Rule::ReadAgainAfterLag, "lagging", ": a gap");
}

#[test]
fn sending_what_a_replay_covers_is_noticed() {
    check(Rule::NothingTwice, "lagging", ": out of order");
}

#[test]
fn an_untold_gap_is_noticed() {
    check(Rule::TellOfGaps, "retention", ": a gap");
}

#[test]
fn an_id_that_is_believed_in_another_line_is_noticed() {
    check(
        Rule::VouchForIds,
        "going-back",
        "in another line of history",
    );
}

#[test]
fn a_replay_that_does_not_ask_the_grants_is_noticed() {
    check(
        Rule::AskGrantsOnReplay,
        "reconnects",
        "invariant 5, private by grant",
    );
}

#[test]
fn a_clock_that_is_believed_is_noticed() {
    check(Rule::OwnClock, "clock", "was removed");
}

#[test]
fn an_unbounded_ring_is_noticed() {
    check(Rule::BoundTheRing, "lagging", "invariant 7, bounded memory");
}

#[test]
fn a_subscription_that_stays_is_noticed() {
    check(Rule::TellOfLeaving, "reconnects", "presence shows");
}

#[test]
fn a_ghost_of_a_crash_is_noticed() {
    check(Rule::EndGhosts, "crashes", "events say");
}

#[test]
fn matchers_that_stay_are_noticed() {
    check(
        Rule::GiveMatchersBack,
        "reconnects",
        "invariant 9, true presence",
    );
}
