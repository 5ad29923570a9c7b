//! Tests of the real binary, over real sockets. One module per subject; `harness` has what they share.

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

mod hand_over;
mod harness;

mod access_log;
mod account;
mod admin;
mod authorization;
#[expect(
    clippy::duplicate_mod,
    reason = "the same tests against a hub that serves old dialects too: none may weaken 1.0"
)]
#[path = "authorization.rs"]
mod authorization_with_old_dialects;
mod bench;
mod built_from;
mod chat;
mod cli;
mod client_address;
mod clock;
mod cluster;
mod cluster_adopting;
mod cluster_cursors;
mod cluster_fetching;
mod cluster_nats;
mod cluster_operators;
mod cluster_postgresql;
mod commands;
mod config;
mod cookies;
#[expect(
    clippy::duplicate_mod,
    reason = "the same tests against a hub that serves old dialects too: none may weaken 1.0"
)]
#[path = "cookies.rs"]
mod cookies_with_old_dialects;
mod corpus;
mod cors;
mod crash;
mod dev_lines;
mod dialect_0x;
mod dialect_2019;
mod dialect_leaks;
mod discovery;
mod doctor;
mod exhausted;
mod foreign_pages;
mod full_disk;
mod history_import;
mod hostile;
mod hosts;
mod idempotency;
mod ids_shown;
mod image;
mod inbox;
mod inherited;
mod key_sets;
mod keys;
mod leaks;
mod lifecycle;
mod limits;
mod lost_lines;
mod matchers;
mod metrics;
mod operators;
mod output;
mod placeholders;
mod poll;
mod presence;
mod problems;
mod publish;
mod rates;
mod reconcile;
mod reload;
mod replay;
mod rooms;
mod secrets;
mod service;
mod shards;
mod signals;
mod smoke;
mod sockjs;
mod sockjs_attacks;
mod sockjs_texts;
mod stalled;
mod stream_ends;
mod subscribe;
mod synced;
mod takeover;
mod tls;
mod token_expiry;
mod websocket;
mod websocket_attacks;
mod zeromq;
