//! What the hub is told at its start. The configuration file's types are elsewhere: whoever starts a hub
//! translates.

use std::time::Duration;

use tidings_core::hub_url::HubUrl;

/// How a hub serves its subscribers.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The hub's public URL.
    pub(crate) hub: HubUrl,
    /// Bytes of recent updates that each shard keeps in memory.
    pub(crate) ring_bytes: usize,
    /// Whether peers without a token may subscribe to public updates.
    pub(crate) anonymous: bool,
    /// The longest that a connection lives; none for no such limit.
    pub(crate) connection_max: Option<Duration>,
    /// Silence after which an event stream gets a comment; zero for never.
    pub(crate) keep_alive: Duration,
    /// How long a peer may take nothing of what is for it.
    pub(crate) stall: Duration,
    /// How long a peer that must send a token may take to do so.
    pub(crate) patience: Duration,
    /// Whether streams that the hub ends look broken off, instead of complete.
    pub(crate) ends_abruptly: bool,
    /// Whether presence remembers who went, so that those who come back were never gone.
    pub(crate) remembers_who_left: bool,
    /// Bytes of texts that one request of a SockJS session may bring while others wait.
    pub(crate) sockjs_body_bytes_max: usize,
    /// How long a SockJS session may be without a request that receives.
    pub(crate) sockjs_disconnect: Duration,
    /// Whether peers are told in detail why they are refused.
    pub(crate) explain_refusals: bool,
}
