//! `[subscribe]`: rules for subscribers.

use std::time::Duration;

use crate::config::keys::Form::Number;
use crate::config::keys::rule::{flag, number, unset, word};
use crate::config::value::Words;

table! {
    /// Rules for subscribers.
    pub struct SubscribeOptions = "subscribe" {
        /// Whether subscribers may connect without a token. They receive public updates only.
        anonymous: bool = flag(false).live();
        /// Seconds of silence after which the hub sends a comment line, so that proxies keep the
        /// connection open. 0 disables this.
        keep_alive as "keep_alive_secs": Duration = number(15).secs().start();
        /// Maximum lifetime of a subscriber's connection in seconds. Each connection ends after a
        /// random 80 to 100 % of it, and at the latest when its token expires. 0 sets no limit.
        connection_max as "connection_secs_max": Option<Duration> =
            number(3600).secs().zero_is_none().live();
        /// Milliseconds that subscribers are told to wait before they reconnect.
        retry as "retry_ms": Option<Duration> = unset(Number, "not sent").millis().live();
        /// How the hub ends an event stream: after `subscribe.connection_secs_max`, when the token
        /// expires, when the hub stops, or when the history can no longer be read. `clean`
        /// completes the response. `abrupt` omits the last chunk (HTTP/1.1) or resets the stream
        /// (HTTP/2), for libraries that do not reconnect after a complete response: Datastar,
        /// `@microsoft/fetch-event-source`. `EventSource` reconnects after both. Over HTTP/1.0
        /// there is no difference.
        end: StreamEnd = word::<StreamEnd>("clean").live();
    }
}

/// How the hub ends an event stream whose subscriber may still listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// As a complete response.
    Clean,
    /// As an interrupted response: without the last chunk, or with RST_STREAM over HTTP/2.
    Abrupt,
}

impl Words for StreamEnd {
    const WORDS: &'static [&'static str] = &["clean", "abrupt"];
    const VALUES: &'static [Self] = &[Self::Clean, Self::Abrupt];
}
