//! The hub's part in a cluster: what the operator says about it, the checks of the engine, joining, and
//! the way to the other hubs.
//!
//! What a member of a cluster does is in `tidings-cluster`, what an engine is in a crate of its own
//! (`tidings-redis`, `tidings-postgresql`).

mod adopting;
mod engine;
mod identity;
mod joining;
mod looking;
mod peers;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use tidings_cluster::record::Setting;

pub(crate) use self::adopting::{Adopted, adopt};
pub use self::engine::EngineOptions;
pub(crate) use self::joining::join;
pub(crate) use self::looking::{Begun, Seen, begin, look};
pub use self::peers::PeerToken;
pub(crate) use self::schema::apply;

/// What a hub is told about its cluster.
#[derive(Debug, Clone)]
pub struct Options {
    /// The engine.
    pub engine: EngineOptions,
    /// The name of this hub, for people.
    pub node: String,
    /// The URL at which other hubs reach its operators' listener, without a slash at its end.
    pub address: Option<Arc<str>>,
    /// What it presents to other hubs. Without it, it fetches nothing from them.
    pub peer_token: Option<PeerToken>,
    /// The settings that hubs of one cluster share.
    pub shared: Arc<[Setting]>,
    /// The names of what one hub of the cluster does, beside presence.
    pub leases: Vec<Arc<str>>,
    /// Whether a hub without a history may begin a cluster whose name is not in use.
    pub create: bool,
    /// How long a publish waits while the engine is away.
    pub wait_max: Duration,
    /// How long a start waits for the engine.
    pub start_within: Duration,
    /// Pause between two looks at an inbox that is empty, with an engine that has one.
    pub inbox_poll: Duration,
}

/// The name of the lease of the hub that reads the inbox of the engine.
pub(crate) const INBOX_LEASE: &str = "inbox";

/// Most publishes that wait for the engine.
const WAITING_MAX: usize = 16 * 1024;
/// Most bytes of updates that wait for the engine.
const WAITING_BYTES_MAX: u64 = 64 * 1024 * 1024;
