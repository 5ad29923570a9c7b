//! The front: sockets from the listener until there is a request. `http` decides the answer. If the answer is a
//! stream of events or frames, the hub takes the socket over.

pub(crate) mod accept;
mod connection;
mod flash_policy;
mod hixie;
mod http2;
mod proxy_protocol;
mod stream;
mod timed_socket;
mod tunnel;
