//! The subscriptions, as a tree of prefixes. The cost of a message depends on its length and its
//! number of receivers, but not on the number of subscriptions.

use smallvec::SmallVec;

/// The subscriptions of a publishing socket's peers. A peer is a number that the caller chooses.
#[derive(Debug)]
pub struct Prefixes {
    nodes: Vec<Node>,
    /// Nodes that can be reused.
    free: Vec<u32>,
}

/// One prefix, and the peers that subscribed to exactly this prefix.
#[derive(Debug, Default)]
struct Node {
    children: SmallVec<[(u8, u32); 2]>,
    peers: SmallVec<[u32; 2]>,
}

const ROOT: u32 = 0;

impl Default for Prefixes {
    fn default() -> Self {
        Self::new()
    }
}

impl Prefixes {
    /// Makes a table without subscriptions.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
        }
    }

    /// Returns the number of nodes in the table: at most one for each byte of each prefix.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len() - self.free.len()
    }

    /// Returns whether there are no subscriptions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 1 && self.everything().is_empty()
    }

    /// Returns the peers that subscribed to everything, in order.
    #[must_use]
    pub fn everything(&self) -> &[u32] {
        self.nodes.first().map_or(&[], |root| &root.peers)
    }

    /// Returns whether all subscriptions are to everything.
    #[must_use]
    pub fn only_everything(&self) -> bool {
        self.len() == 1
    }

    /// Adds a subscription. Adding it again changes nothing.
    pub fn insert(&mut self, prefix: &[u8], peer: u32) {
        let mut at = ROOT;
        for &byte in prefix {
            at = match self.child(at, byte) {
                Some(child) => child,
                None => self.grow(at, byte),
            };
        }
        if let Some(node) = self.nodes.get_mut(at as usize)
            && let Err(place) = node.peers.binary_search(&peer)
        {
            node.peers.insert(place, peer);
        }
    }

    /// Removes a subscription, if it exists.
    pub fn remove(&mut self, prefix: &[u8], peer: u32) {
        let mut path: SmallVec<[u32; 64]> = SmallVec::new();
        path.push(ROOT);
        let mut at = ROOT;
        for &byte in prefix {
            match self.child(at, byte) {
                Some(child) => at = child,
                None => return,
            }
            path.push(at);
        }
        if let Some(node) = self.nodes.get_mut(at as usize)
            && let Ok(place) = node.peers.binary_search(&peer)
        {
            node.peers.remove(place);
        }
        // Nodes that are no longer used are removed, starting at the end of the prefix.
        for (&byte, edge) in prefix.iter().zip(path.windows(2)).rev() {
            let &[parent, child] = edge else { break };
            let needed = |node: &Node| !node.peers.is_empty() || !node.children.is_empty();
            if self.nodes.get(child as usize).is_none_or(needed) {
                break;
            }
            if let Some(node) = self.nodes.get_mut(parent as usize) {
                node.children.retain(|(of, _)| *of != byte);
            }
            self.free.push(child);
        }
    }

    /// Calls `visit` with each peer that subscribed to a non-empty prefix of `topic`. A peer with
    /// several such subscriptions is visited several times.
    pub fn visit(&self, topic: &[u8], mut visit: impl FnMut(u32)) {
        let mut at = ROOT;
        for &byte in topic {
            let Some(child) = self.child(at, byte) else {
                return;
            };
            at = child;
            let peers = self.nodes.get(at as usize).map(|node| &node.peers);
            peers.into_iter().flatten().for_each(|&peer| visit(peer));
        }
    }

    fn child(&self, of: u32, byte: u8) -> Option<u32> {
        let children = &self.nodes.get(of as usize)?.children;
        let place = children.binary_search_by_key(&byte, |(byte, _)| *byte);
        children.get(place.ok()?).map(|(_, child)| *child)
    }

    fn grow(&mut self, parent: u32, byte: u8) -> u32 {
        let child = match self.free.pop() {
            Some(free) => free,
            None => {
                self.nodes.push(Node::default());
                // The callers' bound on nodes is far below `u32::MAX`.
                u32::try_from(self.nodes.len() - 1).unwrap_or(ROOT)
            }
        };
        if let Some(node) = self.nodes.get_mut(parent as usize)
            && let Err(place) = node.children.binary_search_by_key(&byte, |(byte, _)| *byte)
        {
            node.children.insert(place, (byte, child));
        }
        child
    }
}

#[cfg(test)]
mod tests;
