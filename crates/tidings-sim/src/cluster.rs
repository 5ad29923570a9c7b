//! Several whole hubs over a model of an engine, with the faults of real ones: one thread, one seed.
//!
//! What is checked is what a cluster promises (`docs/reference/cluster.md`): whatever is
//! acknowledged is in the one log, once; all hubs have the same log; no subscriber sees it go back
//! or misses something in silence, on whichever hub it comes back.
//!

pub mod engine;
pub mod hub;
mod leases;
pub mod model;
pub mod reader;
pub mod scenarios;
pub mod world;

pub use scenarios::{CLUSTERS, Scenario};
pub use world::run;
