//! The hub's options. They are not the configuration file's types: the caller that starts a hub translates.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tidings_core::hub_url::HubUrl;

/// How a hub serves its subscribers.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub's public URL.
    pub hub: HubUrl,
    /// Bytes of recent updates that each shard holds in memory.
    pub ring_bytes: usize,
    /// Whether peers without a token may subscribe to public updates.
    pub anonymous: bool,
    /// The maximum lifetime of a connection. None for no limit.
    pub connection_max: Option<Duration>,
    /// Silence after which an event stream gets a keep-alive comment. Zero for never.
    pub keep_alive: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub stall: Duration,
    /// How long a peer may take to send a token that it needs.
    pub patience: Duration,
    /// Whether streams that the hub ends look broken off instead of complete.
    pub ends_abruptly: bool,
    /// Whether presence has a grace period, in which a subscriber that left can come back.
    pub remembers_who_left: bool,
    /// Bytes of texts that one request may send into a SockJS session while others wait.
    pub sockjs_body_bytes_max: usize,
    /// How long a SockJS session may be without a receiver.
    pub sockjs_disconnect: Duration,
    /// Whether peers are told in detail why they are refused.
    pub explain_refusals: bool,
}

/// The options in use. A running hub takes over new ones; its URL, the size of its rings and the
/// heartbeats stay those of its start.
#[derive(Debug)]
pub struct Current {
    hub: HubUrl,
    options: ArcSwap<Options>,
}

impl Current {
    /// Begins with `options`.
    pub fn new(options: Options) -> Self {
        Self {
            hub: options.hub.clone(),
            options: ArcSwap::from_pointee(options),
        }
    }

    /// Returns the hub's public URL.
    pub fn hub(&self) -> &HubUrl {
        &self.hub
    }

    /// Returns the options.
    pub fn get(&self) -> Arc<Options> {
        self.options.load_full()
    }

    /// Takes over new options. Each question about them from now on is answered by these.
    pub fn set(&self, options: Options) {
        self.options.store(Arc::new(options));
    }
}
