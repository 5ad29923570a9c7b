//! `[flash]`: the policy that Flash asks for.

use std::net::SocketAddr;

use tidings_wire::flash_policy::SiteControl;

use crate::config::keys::Form::Address;
use crate::config::keys::rule::{list, unset, word};
use crate::config::value::Words;

table! {
    /// The `[flash]` table.
    pub struct FlashTable = "flash" {
        /// Where the Flash policy is served to browsers of old. Flash asks at port 843 first, and
        /// then at the port of the WebSocket, where it is answered too. Needs `flash.allow`.
        address: Option<SocketAddr> = unset(Address, "none").start();
        /// Who may open sockets to which ports, as `DOMAIN:PORTS`. Such as `*.example.com:80` or
        /// `*:8080`; ports are numbers, ranges and `*`. An empty list serves no policy.
        allow: Vec<String> = list(&[]).live();
        /// Whether policies at other ports count too: the policy's `site-control`.
        site_control: SiteControl = word::<SiteControl>("all").live();
    }
}

impl Words for SiteControl {
    const WORDS: &'static [&'static str] = &["all", "master-only", "none"];
    const VALUES: &'static [Self] = &[Self::All, Self::MasterOnly, Self::None];
}
