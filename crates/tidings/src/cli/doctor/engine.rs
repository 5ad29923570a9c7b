//! The engine of the cluster: settings with which it loses updates.

use tidings_cluster::safety::{Finding as Unsafe, Severity};

use super::{Finding, PATIENCE};
use crate::cluster::{self, Seen};
use crate::config::Config;

const CHECK: &str = "engine";

/// Checks the engine of a configuration, as the hub does at its start.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let Some(options) = &config.cluster else {
        return Vec::new();
    };
    let mut options = options.clone();
    options.start_within = options.start_within.min(PATIENCE);
    let name = options.engine.cluster().to_string();
    let seen = match cluster::look(&options) {
        Ok(seen) => seen,
        Err(error) => {
            return vec![Finding::problem(
                CHECK,
                format!("{:#}", anyhow::Error::from(error)),
                "the hub does not start, and publishing waits while a running one cannot reach it",
                "cluster.url, or the firewall between the hub and the engine",
            )];
        }
    };
    let mut findings: Vec<Finding> = seen.findings.iter().map(unsafe_one).collect();
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, found(&name, &seen)));
    }
    findings.extend(without_others(&options));
    if let Some(untold) = seen.untold {
        findings.push(Finding::ok(CHECK, untold.0));
    }
    findings
}

/// Warns of a hub that gives nothing to the others, or gets nothing from them.
fn without_others(options: &cluster::Options) -> Option<Finding> {
    let (found, change) = match (&options.address, &options.peer_token) {
        (Some(_), Some(_)) => return None,
        (None, Some(_)) => (
            "the other hubs cannot fetch updates from this one: cluster.address is not set",
            "cluster.address: the URL of admin.address, as the other hubs reach it",
        ),
        (_, None) => (
            "hubs cannot fetch updates from each other: cluster.peer_token_file is not set",
            "cluster.peer_token_file, the same token on all hubs, and cluster.address",
        ),
    };
    let why = "a hub with an empty disk, or one that was away for longer than the engine keeps \
               updates, has a gap in its history";
    Some(Finding::warning(CHECK, found, why, change))
}

fn unsafe_one(one: &Unsafe) -> Finding {
    let (found, change) = (one.problem.clone(), one.remedy.clone());
    match one.severity {
        Severity::Warn => {
            let why = "updates that were acknowledged may be lost, or new ones refused";
            Finding::warning(CHECK, found, why, change)
        }
        Severity::Refuse => Finding::problem(CHECK, found, "hubs do not start with it", change),
    }
}

fn found(name: &str, seen: &Seen) -> String {
    let alive = seen.hubs.iter().filter(|hub| hub.alive).count();
    match &seen.line {
        None => format!("its settings are safe; it has no cluster {name} yet"),
        Some(line) => {
            let last = line.last.get();
            format!(
                "its settings are safe; the cluster {name} is there: {alive} hubs alive, {last} updates so far"
            )
        }
    }
}
