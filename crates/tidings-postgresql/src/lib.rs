//! The engine on PostgreSQL, from version 14 on, without an extension and without a superuser.
//!
//! Everything is in one schema, which has the name of the cluster. Each call is one function there,
//! and a transaction of its own; `docs/formats/cluster-postgresql.md` describes tables and functions.
//!
//! ```text
//! options    where, who, TLS, how much          schema   the tables and functions, as SQL
//! servers    which of several is the primary    checks   what makes a server unsafe
//! connection one socket, one call at a time     error    what a failure means for a call
//! engine     the verbs                          wake     when a follower looks again
//! ```
//!
//! A call is sent as an unnamed statement, so that a pooler may give each one another session. No
//! call changes its session.
//!
//! A future of the engine must run on a Tokio runtime with its network and its time.

mod checks;
mod connection;
mod engine;
mod error;
pub mod inbox;
mod options;
mod schema;
mod servers;
mod wake;

pub use checks::{Problem, VERSION_MIN, Version};
pub use engine::Postgresql;
pub use options::{
    ADDRESSES_MAX, Acknowledge, Encryption, Options, Place, PlaceError, SCHEMA_BYTES_MAX, Timeouts,
    WINDOW_BYTES_MIN, unusable_name,
};
pub use schema::{Roles, SCHEMA_VERSION, schema};
