//! Whole hubs in one thread from one seed: the real rules of ingest, history, router, shards and
//! sessions, with time, disk, network and crashes under the seed's control, and checkers for the
//! invariants of ARCHITECTURE.md. One file for each scenario in `scenarios`.

pub mod cluster;
pub mod disk;
pub mod lab;
pub mod scenarios;
pub mod subscriber;
pub mod truth;
pub mod world;

pub use scenarios::{SCENARIOS, Scenario};
pub use world::run;
