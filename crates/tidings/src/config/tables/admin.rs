//! `[admin]`: the operators' listener.

use std::net::SocketAddr;

use crate::config::keys::Form::Address;
use crate::config::keys::rule::unset;

table! {
    /// The `[admin]` table.
    pub struct AdminTable = "admin" {
        /// Address that serves metrics and health over plain HTTP. Do not expose it to the public:
        /// anyone who can reach it can read it. Health is also served at the other addresses.
        address: Option<SocketAddr> = unset(Address, "none: no metrics").start();
    }
}
