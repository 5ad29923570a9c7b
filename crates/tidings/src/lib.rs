//! Tidings: one small program that gives any web application real-time push.
//! Nothing but the list of rooms; the command line is in `cli`, and `lab` is a whole hub in one
//! thread for the simulator.

#![expect(unreachable_pub, reason = "`pub` says here: used by another module")]

mod binding;
mod broker;
mod cli;
mod clock;
mod config;
mod front;
mod http;
mod hub;
pub mod lab;
mod open_files;
mod server;
mod signals;
mod tasks;
mod telemetry;
mod text_file;

pub use cli::run;
pub use cli::services::{Options, serve};
pub use hub::session::service::{Echo, Offer, Service};
