//! The hub: everything between the doors and the history. Publishers come in by [`ingest`], subscribers by
//! [`subscribing`]; the [`router`] brings what was stored to the [`shard`]s, each of which writes it to
//! its [`session`]s. Nothing here knows HTTP.

pub mod account;
pub mod answers;
pub mod clock;
pub mod ingest;
pub mod metrics;
pub mod options;
pub mod posted;
pub mod presence;
pub mod refusal;
pub mod router;
pub mod session;
pub mod shard;
pub mod subscribing;
pub mod tasks;
