//! `[admin]`: the operators' listener.

use std::net::SocketAddr;

use crate::config::keys::Form::{self, Address, Path};
use crate::config::keys::rule::unset;
use crate::config::value::Secret;

table! {
    /// The `[admin]` table.
    pub struct AdminTable = "admin" {
        /// Address that serves metrics, health and, with a token, the admin API and its page, over
        /// plain HTTP. Do not expose it to the public: anyone who can reach it can read the metrics.
        /// Health is also served at the other addresses.
        address: Option<SocketAddr> = unset(Address, "none: no metrics").start();
        /// The token of operators: whoever presents it at `admin.address` may read everything that
        /// is published, end connections, revoke tokens, purge topics, reload and stop the hub. At
        /// least 32 characters; make one with `openssl rand -hex 32`.
        token: Option<Secret> = unset(Form::Secret, "none: no admin API").live();
        /// File that contains the value of `token`. A single line break at its end is not part of it.
        token_file: Option<String> = unset(Path, "none").live();
    }
}
