//! The names of the engine's keys. `docs/formats/cluster-redis.md` has them all.

use tidings_access::Name;
use tidings_cluster::engine::{Key, Sender};

/// The keys of one cluster. They have one hash tag, so that a Redis Cluster keeps them on one node.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// What is between the braces.
    pub(crate) tag: String,
    prefix: String,
    pub(crate) head: String,
    pub(crate) log: String,
    pub(crate) marks: String,
    pub(crate) leases: String,
}

impl Keys {
    pub(crate) fn new(name: &Name) -> Self {
        let tag = format!("t:{name}");
        let prefix = format!("{{{tag}}}:");
        let key = |suffix: &str| format!("{prefix}{suffix}");
        Self {
            head: key("head"),
            log: key("log"),
            marks: key("marks"),
            leases: key("leases"),
            tag,
            prefix,
        }
    }

    /// The answers to the last batches of a sender's node.
    pub(crate) fn answers(&self, sender: Sender) -> String {
        format!("{}answers:{}", self.prefix, sender.node)
    }

    /// The position of what came with an idempotency key first.
    pub(crate) fn taken(&self, key: &Key) -> Vec<u8> {
        [self.prefix.as_bytes(), b"key:", key.bytes()].concat()
    }

    /// What a node leaves to whoever claims it.
    pub(crate) fn record(&self, holder: &str) -> String {
        format!("{}record:{holder}", self.prefix)
    }

    /// Who claimed a node.
    pub(crate) fn claimed(&self, holder: &str) -> String {
        format!("{}claimed:{holder}", self.prefix)
    }

    /// A lease with a name.
    pub(crate) fn named(&self, name: &str) -> String {
        format!("{}lease:{name}", self.prefix)
    }

    /// What the holders of a lease with a name leave.
    pub(crate) fn note(&self, name: &str) -> String {
        format!("{}note:{name}", self.prefix)
    }
}

/// A sender in keys and values: `NODE.BOOT`.
pub(crate) fn holder(sender: Sender) -> String {
    format!("{}.{}", sender.node, sender.boot)
}
