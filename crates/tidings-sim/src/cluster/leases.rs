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
    notes: BTreeMap<Arc<str>, Arc<[u8]>>,
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
                    return Leased::HeldBy(*by, None);
                }
                let node = self.nodes.entry(holder).or_insert_with(|| Node {
                    until_ms,
                    record: Arc::default(),
                });
                node.until_ms = until_ms;
                if let Some(record) = &lease.record {
                    node.record = Arc::clone(record);
                }
                Leased::Held(None)
            }
            LeaseName::Named(name) => self.take_named(name, lease, now_ms),
        }
    }

    fn take_named(&mut self, name: &Arc<str>, lease: &Lease, now_ms: u64) -> Leased {
        let held = self.named.get(name).filter(|(_, until)| *until > now_ms);
        let (me, gives_up) = (lease.holder, lease.ttl_ms == 0);
        if let Some((by, _)) = held.filter(|(by, _)| *by != me) {
            return Leased::HeldBy(*by, self.notes.get(name).cloned());
        }
        let leaves = held.is_some() || !gives_up;
        if let Some(note) = lease.record.as_ref().filter(|_| leaves) {
            self.notes.insert(Arc::clone(name), Arc::clone(note));
        }
        match gives_up {
            true => drop(self.named.remove(name)),
            false => drop(
                self.named
                    .insert(Arc::clone(name), (me, now_ms + lease.ttl_ms)),
            ),
        }
        Leased::Held(self.notes.get(name).cloned())
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
