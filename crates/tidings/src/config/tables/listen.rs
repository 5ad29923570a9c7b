//! `[[listen]]`: addresses to listen on.

use std::net::SocketAddr;

use crate::config::keys::Form::{Address, Text};
use crate::config::keys::rule::{flag, required, unset};

table! {
    /// One `[[listen]]` table.
    pub struct ListenTable = "listen.N" {
        /// An address to listen on. Write one `[[listen]]` table per address. `0.0.0.0` is every
        /// IPv4 address of the machine, `[::]` every address.
        address: Option<SocketAddr> = required(Address, ADDRESS).start();
        /// Whether connections to this address begin with a TLS handshake. Needs `tls.certificate`
        /// and `tls.key`. Write `false` behind a proxy that ends TLS itself.
        tls: bool = flag(false).start();
        /// The topic of the conversation that every WebSocket at this address takes part in, unless
        /// its path is the hub's or that of another conversation. `new WebSocket("ws://HOST:PORT")`
        /// is then all that a chat page needs. Needs `rooms.access`.
        room: Option<String> = unset(Text, "none").start();
    }
}

/// What to write where an address is missing.
const ADDRESS: &str = "write an IP address with a port, such as \"0.0.0.0:443\"";
