//! Tidings: one small program that gives any web application real-time push.
//! Nothing but the list of rooms; the command line is in `cli`, and `lab` is a whole hub in one
//! thread for the simulator.

#![expect(unreachable_pub, reason = "`pub` says here: used by another module")]

mod access;
mod account;
mod answers;
mod binding;
mod broker;
mod cli;
mod clock;
mod config;
mod http;
mod ingest;
pub mod lab;
mod metrics;
mod open_files;
mod output;
mod posted;
mod presence;
mod refusal;
mod router;
mod server;
mod session;
mod shard;
mod signals;
mod subscribing;
mod tasks;
mod tls;

pub use cli::run;
