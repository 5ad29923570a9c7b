//! The services of the server, over real sockets, byte for byte.

#![expect(
    unreachable_pub,
    reason = "in a binary, `pub` says: used by another module"
)]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test ends at the first thing that is not as expected"
)]

mod harness;

mod services;
mod sockjs_protocol;
