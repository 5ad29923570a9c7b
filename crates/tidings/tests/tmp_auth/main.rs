//! Scratch.
mod harness;
mod authorization; mod token_expiry; mod cors; mod cookies; mod limits; mod tls; mod config; mod cli; mod lifecycle;
