//! The engine on Redis and Valkey: one server, a primary that Sentinels name, or one slot of a Redis
//! Cluster; from version 6.2 on, without a command that only newer ones have.
//!
//! The line is a stream, and a hash beside it is its head. Every change is one script, so that it
//! is done as a whole; `docs/formats/cluster-redis.md` describes keys and entries.
//!
//! ```text
//! options    where, how much, how long          script   the Lua scripts, by their digests
//! topology   which server is the primary        answer   what the scripts say, taken apart
//! connection one socket, one command at a time  checks   what makes a server unsafe
//! engine     the verbs                          error    what a failure means for a call
//! ```
//!
//! A future of the engine must run on a Tokio runtime with its network and its time.

mod answer;
mod checks;
mod connection;
mod engine;
mod error;
mod keys;
mod options;
mod script;
mod topology;

pub use checks::{Problem, VERSION_MIN, Version, permissions};
pub use engine::Redis;
pub use options::{
    ADDRESSES_MAX, Acknowledge, Encryption, Options, Place, PlaceError, Timeouts, Unguarded,
    WINDOW_BYTES_MIN,
};
