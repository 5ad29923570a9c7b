//! `[subscribe]`: rules for subscribers.

use std::time::Duration;

use crate::config::keys::Form::Number;
use crate::config::keys::rule::{flag, number, unset, word};
use crate::config::value::Words;

table! {
    /// Rules for subscribers.
    pub struct SubscribeOptions = "subscribe" {
        /// Whether subscribers without a token are let in. They receive public updates only.
        anonymous: bool = flag(false).live();
        /// Seconds of silence after which a comment line is sent, so that proxies keep the
        /// connection. 0 sends none.
        keep_alive as "keep_alive_secs": Duration = number(15).secs().live();
        /// Longest life of a subscriber's connection in seconds. Each connection ends after a
        /// random 80 to 100 % of it, and at the latest when its token ends. 0 sets no limit.
        connection_max as "connection_secs_max": Option<Duration> =
            number(3600).secs().zero_is_none().live();
        /// Milliseconds that subscribers are told to wait before they connect again.
        retry as "retry_ms": Option<Duration> = unset(Number, "not sent").millis().live();
        /// How the hub ends an event stream: when it has lived `subscribe.connection_secs_max`,
        /// when its token ends, when the hub stops, and when the history cannot be read on. `clean`
        /// completes the response. `abrupt` leaves out the last chunk (HTTP/1.1) or resets the
        /// stream (HTTP/2), for libraries that take a complete response for the last one and do not
        /// connect again: Datastar, `@microsoft/fetch-event-source`. `EventSource` connects again
        /// after both. Over HTTP/1.0 both are the same.
        end: StreamEnd = word::<StreamEnd>("clean").live();
    }
}

/// How the hub ends an event stream whose subscriber may still listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnd {
    /// As a complete response.
    Clean,
    /// As one that broke off: without the last chunk, or by RST_STREAM over HTTP/2.
    Abrupt,
}

impl Words for StreamEnd {
    const WORDS: &'static [&'static str] = &["clean", "abrupt"];
    const VALUES: &'static [Self] = &[Self::Clean, Self::Abrupt];
}
