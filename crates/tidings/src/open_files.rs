//! File descriptors: as many as the system allows, and no more connections than they allow. The rest is for the hub
//! itself and for its operators, who need responses from a full hub.

use rustix::process::{Resource, getrlimit, setrlimit};

use crate::config::Config;
use crate::front::accept::REFUSALS_MAX;

/// Files that one process has open beside connections: history, logs, wake-ups, connections of operators, and
/// connections to fetch keys.
const OWN_MAX: usize = 64;
/// Files that one shard has open beside its listeners and connections.
const SHARD_MAX: usize = 8;

/// Raises the limit of open files as far as the system allows: every connection needs one.
pub(crate) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
}

/// Lowers the limits of connections to what the limit of open files allows, and logs that. Otherwise peers could take
/// the last descriptor, which operators and the history need.
pub(crate) fn fit(config: &mut Config) {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return;
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let own = own(config);
    let connections = config.limits.connections_max;
    let peers = config
        .zeromq
        .as_ref()
        .map_or(0, |zeromq| zeromq.limits.peers_max);
    let wanted = connections.saturating_add(peers);
    let free = limit.saturating_sub(own);
    if wanted <= free {
        return;
    }
    let fit = |count| share(count, wanted, free);
    config.limits.connections_max = fit(connections);
    if let Some(zeromq) = &mut config.zeromq {
        zeromq.limits.peers_max = fit(peers);
    }
    tracing::warn!(
        nofile = limit,
        needed = wanted.saturating_add(own),
        connections_max = config.limits.connections_max,
        zeromq_peers_max = config.zeromq.as_ref().map(|zeromq| zeromq.limits.peers_max),
        "the limit of open files (nofile) is too low for limits.connections_max and \
         zeromq.peers_max, which are lowered to what it allows; raise it, for systemd by LimitNOFILE"
    );
}

/// Returns how many files the hub may have open with the connections that its limits allow.
pub(crate) fn needed(config: &Config) -> usize {
    let peers = config.zeromq.as_ref();
    let peers = peers.map_or(0, |zeromq| zeromq.limits.peers_max);
    let connections = config.limits.connections_max;
    connections
        .saturating_add(peers)
        .saturating_add(own(config))
}

/// Returns how many files the hub may have open beside the connections that its limits allow.
fn own(config: &Config) -> usize {
    let listeners = config.listens.len() + 2;
    let shard = SHARD_MAX + listeners * (1 + REFUSALS_MAX);
    OWN_MAX + config.server.shards * shard
}

/// Returns the share of `free` for `count` of `wanted`. At least one.
fn share(count: usize, wanted: usize, free: usize) -> usize {
    let share = count as u128 * free as u128 / wanted.max(1) as u128;
    usize::try_from(share).unwrap_or(count).max(1)
}
