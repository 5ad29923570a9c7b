//! The real binary, over real sockets. One module per subject; what all share is in `harness`.

#![expect(
    unreachable_pub,
    reason = "in a binary, `pub` says: used by another module"
)]
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first thing that is not as expected"
)]

mod harness;

mod authorization;
mod chat;
mod cli;
mod config;
mod cookies;
mod corpus;
mod cors;
mod crash;
mod full_disk;
mod hostile;
mod leaks;
mod lifecycle;
mod limits;
mod matchers;
mod problems;
mod publish;
mod reconcile;
mod replay;
mod shards;
mod smoke;
mod stalled;
mod subscribe;
mod takeover;
mod tls;
mod token_expiry;
