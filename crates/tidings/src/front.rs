//! The front: sockets from the listener until there is a request. What a request is answered is decided in
//! `http`; a socket whose request was answered by a stream of events or frames goes on to the hub.

pub(crate) mod accept;
mod connection;
mod flash_policy;
mod hixie;
mod http2;
mod stream;
mod timed_socket;
pub(crate) mod tls;
mod tunnel;
