//! Seeds of every scenario, the same log from the same seed, and hubs with a skipped rule that the
//! checkers must notice (`--features sabotage`). The slow form tries 2,000 seeds of each.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends at the first thing that is not as expected"
)]

mod contract;
mod driver;
mod fetching;
mod leases;
mod messages;
#[cfg(feature = "sabotage")]
mod sabotage;

use tidings_sim::{SCENARIOS, Scenario, cluster, run};

/// Seeds of each scenario, in the fast and in the slow form.
const SEEDS: u64 = 25;
const MANY_SEEDS: u64 = 2000;
/// Seeds of each cluster, which has three hubs.
const CLUSTER_SEEDS: u64 = 3;

#[track_caller]
fn check(name: &str) {
    check_seeds(name, SEEDS);
}

#[track_caller]
fn check_seeds(name: &str, seeds: u64) {
    let scenario = Scenario::by_name(name).expect("a scenario");
    for seed in 0..seeds {
        if let Some(broken) = run(scenario, seed).broken {
            panic!("{name}, seed {seed}: {broken}\ncargo xtask sim {name} --seed {seed} --log");
        }
    }
}

#[test]
fn calm() {
    check("calm");
}

#[test]
fn reconnects() {
    check("reconnects");
}

#[test]
fn lagging() {
    check("lagging");
}

#[test]
fn crashes() {
    check("crashes");
}

#[test]
fn full_disk() {
    check("full-disk");
}

#[test]
fn sync_faults() {
    check("sync-faults");
}

#[test]
fn retention() {
    check("retention");
}

#[test]
fn going_back() {
    check("going-back");
}

#[test]
fn clock() {
    check("clock");
}

#[test]
#[ignore = "slow: 2,000 seeds of every scenario"]
fn many_seeds_of_every_scenario() {
    for scenario in SCENARIOS {
        check_seeds(scenario.name, MANY_SEEDS);
    }
}

#[test]
fn clusters() {
    for scenario in cluster::CLUSTERS {
        check_cluster(scenario.name, CLUSTER_SEEDS);
    }
}

#[test]
#[ignore = "slow: 2,000 seeds of every cluster"]
fn many_seeds_of_every_cluster() {
    for scenario in cluster::CLUSTERS {
        check_cluster(scenario.name, MANY_SEEDS);
    }
}

/// Its subscription had a number of a hub alone; the hub ended it when it heard of it under the other one.
#[test]
fn a_subscriber_may_come_before_its_hub_knows_the_cluster() {
    let scenario = cluster::Scenario::by_name("cluster-disk-faults").expect("a scenario");
    assert_eq!(cluster::run(scenario, 13).broken, None);
}

/// A hub restarted, and heard the end of the answer to a roll call that was older than what it had read from its file.
#[test]
fn a_hub_that_restarts_keeps_what_began_after_the_last_roll_call() {
    let scenario = cluster::Scenario::by_name("cluster-disk-faults").expect("a scenario");
    assert_eq!(cluster::run(scenario, 1368).broken, None);
}

/// A begin that a fork had lost was published anew after the end of the subscription, whose hub took it for the one that
/// it had published itself.
#[test]
fn a_begin_that_is_published_anew_after_its_end_is_ended_again() {
    let scenario = cluster::Scenario::by_name("cluster-everything").expect("a scenario");
    for seed in [11_941, 11_994] {
        assert_eq!(cluster::run(scenario, seed).broken, None, "{seed}");
    }
}

/// The same, while the end was on its way, and was not stored after all.
#[test]
fn a_begin_that_is_published_anew_is_ended_although_an_end_was_refused() {
    let scenario = cluster::Scenario::by_name("cluster-split-primary").expect("a scenario");
    assert_eq!(cluster::run(scenario, 31_390).broken, None);
}

/// It had been away too long, and crashed again before it had asked for what began meanwhile.
#[test]
fn a_hub_that_crashes_before_its_roll_call_calls_it_after_the_next_start() {
    let scenario = cluster::Scenario::by_name("cluster-away-too-long").expect("a scenario");
    assert_eq!(cluster::run(scenario, 51_328).broken, None);
}

/// The engine had taken it, and another hub had it; then the engine lost it, and the bound was lowered.
#[test]
fn an_update_that_was_taken_and_lost_is_not_called_too_large() {
    let scenario = cluster::Scenario::by_name("cluster-everything").expect("a scenario");
    assert_eq!(cluster::run(scenario, 112).broken, None);
}

#[track_caller]
fn check_cluster(name: &str, seeds: u64) {
    let scenario = cluster::Scenario::by_name(name).expect("a scenario");
    for seed in 0..seeds {
        if let Some(broken) = cluster::run(scenario, seed).broken {
            panic!("{name}, seed {seed}: {broken}\ncargo xtask sim {name} --seed {seed} --log");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_log() {
    for scenario in SCENARIOS {
        let (one, other) = (run(scenario, 7), run(scenario, 7));
        assert_eq!(one.log, other.log, "{}", scenario.name);
        assert!(one.log.len() > 100, "{} does too little", scenario.name);
    }
}
