//! Tidings: one small program that gives any web application real-time push.
//! Nothing but the list of rooms; the command line is in `cli`.

#![expect(unreachable_pub, reason = "`pub` says here: used by another module")]

mod allocator;
mod binding;
mod broker;
mod certificate;
mod cli;
mod cluster;
mod config;
mod control;
pub mod documents;
mod front;
mod http;
mod inbox;
mod notify;
mod open_files;
mod server;
mod signals;
mod telemetry;
mod text_file;

pub use cli::run;
pub use cli::services::{Options, serve};
pub use tidings_hub::session::service::{Echo, Offer, Service};
