//! `[[listen]]`: addresses to listen on.

use std::net::SocketAddr;

use tidings_core::topic::Topic;

use crate::config::keys::Form::{Address, Text};
use crate::config::keys::rule::{flag, required, unset};

table! {
    /// One `[[listen]]` table.
    pub struct ListenTable = "listen.N" {
        /// An address to listen on. Write one `[[listen]]` table per address. `0.0.0.0` means every
        /// IPv4 address of the machine, `[::]` every address.
        address: Option<SocketAddr> = required(Address, ADDRESS).start();
        /// Whether connections to this address use TLS. Requires `tls.certificate` and `tls.key`, or
        /// `tls.acme.names`. Set `false` behind a proxy that terminates TLS.
        tls: bool = flag(false).start();
        /// Whether each connection begins with the header of the PROXY protocol, version 1 or 2,
        /// before TLS. Connections from addresses outside `proxy.trusted_addresses`, and those that
        /// begin otherwise, are closed.
        proxy_protocol: bool = flag(false).start();
        /// The topic of the room that every WebSocket at this address joins, unless its path is the
        /// hub's or that of another room. A chat page then needs only `new
        /// WebSocket("ws://HOST:PORT")`. Requires `rooms.access`.
        room: Option<Topic> = unset(Text, "none").start();
    }
}

/// What to write where an address is missing.
const ADDRESS: &str = "write an IP address with a port, such as \"0.0.0.0:443\"";
