//! `[hub]`: what the hub is called.

use tidings_core::HubUrl;
use tidings_wire::authority::Authority;

use crate::config::keys::Form::Url;
use crate::config::keys::rule::{flag, list, required};

table! {
    /// The `[hub]` table.
    pub struct HubTable = "hub" {
        /// The URL under which publishers and subscribers reach the hub, without query and
        /// fragment. Its path is the path that the hub answers on; relative topics and patterns are
        /// resolved against it. By custom it ends in `/.well-known/mercure`.
        public_url: Option<HubUrl> = required(Url, PUBLIC_URL).start();
        /// Hosts that requests may name, such as `hub.example.com` or `hub.example.com:8443`; a
        /// port that is usual for the scheme, case and a dot at the end make no difference.
        /// Requests for other hosts get 421, except those for health. An empty list answers every
        /// host: name the hosts wherever being inside a network is enough to use the hub, or a page
        /// of another site can reach it through the browser of a visitor inside (DNS rebinding).
        hosts: Vec<Authority> = list(&[]).live();
        /// Whether `hub.public_url` may begin with `http://` although its host is another
        /// machine's. Tokens then travel in the clear: only for a network that is protected in
        /// another way.
        allow_plaintext: bool = flag(false).start();
    }
}

/// What to write where the URL is missing.
const PUBLIC_URL: &str = "write the URL under which browsers reach the hub, such as \
                          \"https://example.com/.well-known/mercure\"";
