//! The engine against real servers, each started by the test on a free port in a folder of its own.
//!
//! PostgreSQL and PgBouncer are Debian's; `cargo xtask deps` installs them, and the oldest server that hubs
//! use into `conformance/oldest`. All tests but one take the newest version in `/usr/lib/postgresql`. Neither runs
//! as root: a test that is root starts them as the user `postgres`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says what must hold by failing"
)]

mod harness;

mod checks;
mod contract;
mod foreign;
mod format;
mod hubs;
mod inbox;
mod killed;
mod login;
mod standby;
mod upgrade;
