//! Which engine orders the updates. Nothing else in the hub knows one engine from another.

use tidings_access::Name;
use tidings_cluster::safety::Inspect;
use tidings_nats::Nats;
use tidings_postgresql::Postgresql;
use tidings_redis::Redis;

/// Which engine, and how it is reached.
#[derive(Debug, Clone)]
pub enum EngineOptions {
    /// Redis or Valkey.
    Redis(tidings_redis::Options),
    /// PostgreSQL.
    Postgresql(tidings_postgresql::Options),
    /// NATS JetStream.
    Nats(tidings_nats::Options),
}

impl EngineOptions {
    /// Makes the engine. It connects when it is called, on the thread that calls it.
    pub(super) fn make(&self) -> Box<dyn Inspect> {
        match self {
            Self::Redis(options) => Box::new(Redis::new(options.clone())),
            Self::Postgresql(options) => Box::new(Postgresql::new(options.clone())),
            Self::Nats(options) => Box::new(Nats::new(options.clone())),
        }
    }

    /// Returns how the inbox is reached in which applications publish, if the engine has one.
    pub(crate) const fn inbox(&self) -> Option<&tidings_postgresql::Options> {
        match self {
            Self::Redis(_) | Self::Nats(_) => None,
            Self::Postgresql(options) => Some(options),
        }
    }

    /// Returns the most bytes of an update for which the servers of the engine are checked at a start,
    /// if they may refuse a larger one.
    pub(crate) const fn update_bytes_max(&self) -> Option<u64> {
        match self {
            Self::Redis(_) | Self::Postgresql(_) => None,
            Self::Nats(options) => Some(options.update_bytes_max),
        }
    }

    /// Returns the name of the cluster.
    pub(crate) const fn cluster(&self) -> &Name {
        match self {
            Self::Redis(options) => &options.name,
            Self::Postgresql(options) => &options.name,
            Self::Nats(options) => &options.name,
        }
    }
}
