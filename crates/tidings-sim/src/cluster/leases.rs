//! The leases of a model: by the server's own clock, which may be set.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_cluster::engine::{Claimed, Lease, LeaseName, Leased, NodeLease, Sender};

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Leases {
    nodes: BTreeMap<Sender, Node>,
    claimed: BTreeMap<Sender, Sender>,
    named: BTreeMap<Arc<str>, (Sender, u64)>,
}

#[derive(Debug, Clone)]
struct Node {
    until_ms: u64,
    record: Arc<[u8]>,
}

impl Leases {
    /// Takes or renews a lease.
    pub(super) fn take(&mut self, lease: &Lease, now_ms: u64) -> Leased {
        let (holder, until_ms) = (lease.holder, now_ms + lease.ttl_ms);
        match &lease.name {
            LeaseName::Node => {
                if let Some(by) = self.claimed.get(&holder) {
                    return Leased::HeldBy(*by);
                }
                let node = self.nodes.entry(holder).or_insert_with(|| Node {
                    until_ms,
                    record: Arc::default(),
                });
                node.until_ms = until_ms;
                if let Some(record) = &lease.record {
                    node.record = Arc::clone(record);
                }
                Leased::Held
            }
            LeaseName::Named(name) => {
                let held = self.named.get(name);
                match held.filter(|(by, until)| *by != holder && *until > now_ms) {
                    Some((by, _)) => Leased::HeldBy(*by),
                    None => {
                        self.named.insert(Arc::clone(name), (holder, until_ms));
                        Leased::Held
                    }
                }
            }
        }
    }

    /// Returns the leases of all nodes that nobody claimed.
    pub(super) fn list(&self, now_ms: u64) -> Vec<NodeLease> {
        let nodes = self.nodes.iter().map(|(holder, node)| NodeLease {
            holder: *holder,
            record: Arc::clone(&node.record),
            alive: node.until_ms > now_ms,
        });
        nodes.collect()
    }

    /// Claims a node whose lease has lapsed.
    pub(super) fn claim(&mut self, dead: Sender, by: Sender, now_ms: u64) -> Claimed {
        match self.nodes.get(&dead) {
            None => Claimed::Gone,
            Some(node) if node.until_ms > now_ms => Claimed::Alive,
            Some(node) => {
                let record = Arc::clone(&node.record);
                self.nodes.remove(&dead);
                self.claimed.insert(dead, by);
                Claimed::Won(record)
            }
        }
    }
}
