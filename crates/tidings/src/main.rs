//! Tidings: one small program that gives any web application real-time push.
//! Nothing but the list of rooms and the start; the command line is in `cli`.

#![expect(unreachable_pub, reason = "in a binary, `pub` says: used by another module")]

mod auth;
mod cli;
mod config;
mod http;
mod ingest;
mod metrics;
mod posted;
mod router;
mod server;
mod session;
mod shard;
mod tasks;
mod tls;

use std::process::ExitCode;

/// Small allocations of long-lived connections are what this program is made of.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
