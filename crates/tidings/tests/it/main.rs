//! The real binary, over real sockets. One module per subject; what all share is in `harness`.

#![expect(unreachable_pub, reason = "in a binary, `pub` says: used by another module")]
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test ends at the first thing that is not as expected"
)]

mod harness;

mod chat;
mod matchers;
mod problems;
mod publish;
mod reconcile;
mod replay;
mod smoke;
mod subscribe;
mod corpus;
mod crash;
mod full_disk;
mod hostile;
mod leaks;
mod shards;
mod stalled;
mod takeover;
mod authorization;
mod cli;
mod config;
mod cookies;
mod cors;
mod lifecycle;
mod limits;
mod tls;
mod token_expiry;
