//! The engine on NATS JetStream, from version 2.12.8 on: one stream for the line, one for leases.
//!
//! JetStream computes nothing, so the hub that appends computes what a script computes elsewhere: it
//! knows the end of the line, forms the prints that follow from it, and has the server take the batch
//! only if the line still ends there. `docs/decisions/0031-nats-engine.md` says why that is enough.
//!
//! ```text
//! options     where, who, TLS, how much       api     requests of JetStream, and their answers
//! names       streams and subjects            entry   an update as a message
//! connection  one socket                      view    the end of the line, as a hub knows it
//! engine      the verbs                       error   what a failure means for a call
//! checks      what makes a server unsafe
//! ```
//!
//! A future of the engine must run on a Tokio runtime with its network and its time.

mod api;
mod checks;

mod connection;
mod engine;
mod entry;
mod error;
mod names;
mod options;
mod view;

pub use checks::{Problem, VERSION_MIN, Version, permissions};
pub use engine::Nats;
pub use options::{
    ADDRESSES_MAX, Access, AccessError, Options, Place, PlaceError, SECRET_FILE_BYTES_MAX,
    Timeouts, WINDOW_BYTES_MIN,
};
