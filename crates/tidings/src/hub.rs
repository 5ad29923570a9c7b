//! The hub: everything between the doors and the history. Publishers come in by [`ingest`], subscribers by
//! [`subscribing`]; the [`router`] brings what was stored to the [`shard`]s, each of which writes it to
//! its [`session`]s. Nothing here knows HTTP.

pub(crate) mod account;
pub(crate) mod answers;
pub(crate) mod ingest;
pub(crate) mod options;
pub(crate) mod posted;
pub(crate) mod presence;
pub(crate) mod refusal;
pub(crate) mod router;
pub(crate) mod session;
pub(crate) mod shard;
pub(crate) mod subscribing;
