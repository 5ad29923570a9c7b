//! The hub: everything between the doors and the history. Publishers enter through [`ingest`], subscribers
//! through [`subscribing`]. The [`router`] sends stored updates to the [`shard`]s, and each shard writes them
//! to its [`session`]s. Nothing here knows HTTP.

pub mod account;
pub mod answers;
pub mod clock;
pub mod control;
pub mod ingest;
pub mod metrics;
pub mod options;
pub mod posted;
pub mod presence;
pub mod refusal;
pub mod router;
pub mod session;
pub mod shard;
pub mod steering;
pub mod subscribing;
pub mod tasks;
pub mod traces;
