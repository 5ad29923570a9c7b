//! `[admin]`: where metrics answer.

use std::net::SocketAddr;

use crate::config::keys::Form::Address;
use crate::config::keys::rule::unset;

table! {
    /// The `[admin]` table.
    pub struct AdminTable = "admin" {
        /// Where metrics and health answer, in plain HTTP. Keep it away from the public: anyone who
        /// reaches it can read it. Health answers at the other addresses too.
        address: Option<SocketAddr> = unset(Address, "none: no metrics").start();
    }
}
