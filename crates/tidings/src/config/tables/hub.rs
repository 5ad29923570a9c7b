//! `[hub]`: the hub's names.

use tidings_core::HubUrl;
use tidings_wire::authority::Authority;

use crate::config::keys::Form::Url;
use crate::config::keys::rule::{flag, list, required};

table! {
    /// The `[hub]` table.
    pub struct HubTable = "hub" {
        /// The URL at which publishers and subscribers reach the hub, without query and fragment.
        /// The hub serves its path; relative topics and patterns are resolved against the URL. It
        /// usually ends in `/.well-known/mercure`.
        public_url: Option<HubUrl> = required(Url, PUBLIC_URL).start();
        /// Hosts that requests may name, such as `hub.example.com` or `hub.example.com:8443`; the
        /// default port, case and a trailing dot make no difference. Requests for other hosts get
        /// 421, except health checks. If the list is empty, the hub answers requests for every
        /// host. List the hosts if access to the network is enough to use the hub; otherwise a page
        /// of another site can reach it through the browser of a visitor inside the network (DNS
        /// rebinding).
        hosts: Vec<Authority> = list(&[]).live();
        /// Whether `hub.public_url` may begin with `http://` if its host is another machine. Tokens
        /// then travel unencrypted: use this only in a network that is protected in another way.
        allow_plaintext: bool = flag(false).start();
    }
}

/// What to write where the URL is missing.
const PUBLIC_URL: &str = "write the URL under which browsers reach the hub, such as \
                          \"https://example.com/.well-known/mercure\"";
