//! For each rule that is skipped, its checker must notice in some scenario.

use tidings_cluster::sabotage as member;
use tidings_history::sabotage::{Rule, skip};
use tidings_sim::{Scenario, cluster, run};

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

/// The same for clusters, which take longer: a rule of the hub or of its member.
#[track_caller]
fn check_cluster(rule: impl Into<AnyRule>, scenario: &str, expected: &str) {
    const SEEDS: u64 = 30;
    let rule = rule.into();
    let scenario = cluster::Scenario::by_name(scenario).expect("a scenario");
    let set = |on: bool| match rule {
        AnyRule::Hub(rule) => skip(on.then_some(rule)),
        AnyRule::Member(rule) => member::skip(on.then_some(rule)),
    };
    set(true);
    let noticed = (0..SEEDS).find_map(|seed| cluster::run(scenario, seed).broken);
    set(false);
    let noticed = noticed.unwrap_or_else(|| panic!("{rule:?} was skipped and nobody noticed"));
    assert!(noticed.contains(expected), "{rule:?}: {noticed}");
}

#[derive(Clone, Copy, Debug)]
enum AnyRule {
    Hub(Rule),
    Member(member::Rule),
}

impl From<Rule> for AnyRule {
    fn from(rule: Rule) -> Self {
        Self::Hub(rule)
    }
}

impl From<member::Rule> for AnyRule {
    fn from(rule: member::Rule) -> Self {
        Self::Member(rule)
    }
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

#[test]
fn a_hub_that_does_not_hear_others_is_noticed() {
    check_cluster(Rule::HearOthers, "cluster-calm", "promise 11, presence");
}

#[test]
fn a_doubt_that_is_called_a_refusal_is_noticed() {
    check_cluster(
        member::Rule::SayInDoubt,
        "cluster-disk-faults",
        "promise 1, acknowledged",
    );
}

#[test]
fn sending_again_as_something_new_is_noticed() {
    check_cluster(
        member::Rule::RepeatAsOne,
        "cluster-lost-replies",
        "promise 3, once",
    );
}

#[test]
fn a_hub_that_does_not_ask_its_engine_again_is_noticed() {
    check_cluster(
        member::Rule::LookAgain,
        "cluster-lost-replies",
        "promise 5, engine away",
    );
}

#[test]
fn a_dead_hub_that_nobody_answers_for_is_noticed() {
    check_cluster(
        Rule::AnswerForTheDead,
        "cluster-presence",
        "promise 11, presence",
    );
}

#[test]
fn an_acknowledged_update_that_is_not_published_anew_is_noticed() {
    check_cluster(
        member::Rule::PublishAnew,
        "cluster-split-primary",
        "promise 4",
    );
}

#[test]
fn a_line_that_is_followed_without_a_look_at_its_prints_is_noticed() {
    check_cluster(
        member::Rule::ComparePrints,
        "cluster-split-primary",
        "promise",
    );
}

#[test]
fn a_hub_that_does_not_ask_others_for_what_it_missed_is_noticed() {
    check_cluster(
        member::Rule::FetchMissed,
        "cluster-fetches",
        "promise 12, away for long",
    );
}

#[test]
fn a_cursor_that_is_believed_on_another_line_is_noticed_in_a_cluster() {
    check_cluster(
        Rule::VouchForIds,
        "cluster-split-primary",
        "promise 2, one order",
    );
}

#[test]
fn a_message_that_a_hub_does_not_pass_on_is_noticed() {
    check_cluster(
        Rule::PassMessagesOn,
        "cluster-hub-crashes",
        "promise 9, messages",
    );
}
