//! `[flash]`: the socket policy that Flash requests.

use std::net::SocketAddr;

use tidings_wire::flash_policy::SiteControl;

use crate::config::keys::Form::Address;
use crate::config::keys::rule::{list, unset, word};
use crate::config::value::Words;

table! {
    /// The `[flash]` table.
    pub struct FlashTable = "flash" {
        /// Address that serves the Flash socket policy to old browsers. Flash asks at port 843
        /// first, and then at the port of the WebSocket, where the hub answers too. Requires
        /// `flash.allow`.
        address: Option<SocketAddr> = unset(Address, "none").start();
        /// Domains that may open sockets, and to which ports, as `DOMAIN:PORTS`, such as
        /// `*.example.com:80` or `*:8080`; ports are numbers, ranges and `*`. If the list is empty,
        /// no policy is served.
        allow: Vec<String> = list(&[]).live();
        /// Whether policies at other ports are valid too: the policy's `site-control`.
        site_control: SiteControl = word::<SiteControl>("all").live();
    }
}

impl Words for SiteControl {
    const WORDS: &'static [&'static str] = &["all", "master-only", "none"];
    const VALUES: &'static [Self] = &[Self::All, Self::MasterOnly, Self::None];
}
