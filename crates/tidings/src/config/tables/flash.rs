//! `[flash]`: the socket policy that Flash requests.

use std::net::SocketAddr;

use tidings_wire::flash_policy::{self, Access, SiteControl};

use crate::config::keys::Form::Address;
use crate::config::keys::rule::{list, unset, word};
use crate::config::value::Words;

table! {
    /// The socket policy that Flash requests.
    pub struct FlashOptions = "flash" {
        /// Address that serves the Flash socket policy to old browsers. Flash asks at port 843
        /// first, and then at the port of the WebSocket, where the hub answers too. Requires
        /// `flash.allow`.
        address: Option<SocketAddr> = unset(Address, "none").start();
        /// Domains that may open sockets, and to which ports, as `DOMAIN:PORTS`, such as
        /// `*.example.com:80` or `*:8080`; ports are numbers, ranges and `*`. If the list is empty,
        /// no policy is served.
        allow: Vec<Access> = list(&[]).live();
        /// Whether policies at other ports are valid too: the policy's `site-control`.
        site_control: SiteControl = word::<SiteControl>("all").live();
    }
}

impl FlashOptions {
    /// Returns the policy as it goes over the wire.
    pub fn policy(&self) -> Vec<u8> {
        flash_policy::policy(self.site_control, &self.allow)
    }
}

impl Words for SiteControl {
    const WORDS: &'static [&'static str] = &["all", "master-only", "none"];
    const VALUES: &'static [Self] = &[Self::All, Self::MasterOnly, Self::None];
}
