//! `[zeromq]`: the ZeroMQ sockets.

use std::time::Duration;

use crate::broker::options::{Limits, MessageFormat, OriginFilter, Unparsable};
use crate::config::keys::Form::{self, Choice, List, Text};
use crate::config::keys::rule::{
    flag, list, number, required, required_by_check, text, unset, word,
};
use crate::config::value::{Secret, Words};

table! {
    /// The `[zeromq]` table.
    pub struct ZeroMqTable = "zeromq" {
        /// Whether ZeroMQ sockets may bind addresses that other machines can reach. Messages are
        /// not encrypted, and anyone who can reach the port can send or read them: use this only in
        /// a network that is protected in another way.
        allow_plaintext: bool = flag(false).start();
        /// The user name that ZeroMQ peers must present (PLAIN mechanism). Connecting sockets
        /// present it too. Requires `zeromq.password`. Both travel unencrypted.
        username: Option<String> = unset(Text, "none: no security").start();
        /// The password for `zeromq.username`.
        password: Option<Secret> = unset(Form::Secret, "none").start();
        /// Maximum number of messages queued for one ZeroMQ peer. A subscriber that is further
        /// behind loses newer messages; a PUSH socket whose peers are all full makes its senders
        /// wait.
        high_water_mark: usize = number(100_000).at_least(1).start();
        /// Maximum number of bytes queued for one ZeroMQ peer.
        high_water_bytes: usize = number(16 * 1024 * 1024).at_least(1).start();
        /// Maximum number of bytes queued for all ZeroMQ peers together. Beyond this limit, a
        /// subscriber with more than 16 KiB queued loses messages.
        queue_bytes_max: usize = number(256 * 1024 * 1024).at_least(1).start();
        /// Maximum size of a ZeroMQ message in bytes, all parts together. A peer that sends a
        /// longer message is disconnected.
        message_bytes_max: usize = number(1024 * 1024).at_least(1).start();
        /// Maximum number of ZeroMQ connections. Further ones are closed.
        peers_max: usize = number(10_000).at_least(1).start();
        /// Maximum number of subscriptions of one ZeroMQ peer. A peer with more is disconnected.
        subscriptions_max: usize = number(10_000).at_least(1).start();
        /// Seconds within which a ZeroMQ peer must complete its handshake.
        handshake as "handshake_timeout_secs": Duration = number(10).secs().at_least(1).start();
        /// Seconds of silence after which a ZeroMQ peer gets a heartbeat. A peer that stays silent
        /// for as long again is disconnected.
        heartbeat as "heartbeat_secs": Duration = number(30).secs().at_least(1).start();
    }
}

impl ZeroMqTable {
    /// Returns what peers may use.
    pub fn limits(&self) -> Limits {
        Limits {
            queue_messages_max: self.high_water_mark,
            queue_bytes_max: self.high_water_bytes,
            total_bytes_max: self.queue_bytes_max,
            message_bytes_max: self.message_bytes_max,
            peers_max: self.peers_max,
            subscriptions_max: self.subscriptions_max,
            handshake: self.handshake,
            heartbeat: self.heartbeat,
        }
    }
}

table! {
    /// One `[[zeromq.brokers]]` table.
    pub struct ZeroMqBrokerTable = "zeromq.brokers.N" {
        /// Sockets that receive messages: PULL, SUB, XSUB or REP. Write one `[[zeromq.brokers]]`
        /// table per broker. `zmq-bind://PULL@127.0.0.1:5000` binds, `zmq://SUB@host:6000`
        /// connects; separate several addresses of one socket with `;`.
        inputs: Option<Vec<String>> = required_by_check(List).start();
        /// Sockets that send the same messages: PUB, XPUB or PUSH.
        outputs: Option<Vec<String>> = required_by_check(List).start();
    }
}

table! {
    /// One `[[zeromq.inputs]]` table.
    pub struct ZeroMqInputTable = "zeromq.inputs.N" {
        /// A socket whose messages become updates: PULL, SUB, XSUB or REP. Write one
        /// `[[zeromq.inputs]]` table per socket.
        socket: Option<String> = required(Text, DATA_SOURCE).start();
        /// Message prefixes that a SUB or XSUB socket subscribes to. The empty prefix matches every
        /// message.
        subscribe: Vec<String> = list(&[""]).start();
        /// The format of a message. `data`: its only part is the data, the topic is fixed.
        /// `json`: its only part is an object with `topic`, `data`, `private`, `id`, `type` and
        /// `retry`. `parts`: the first of two parts is the topic, the second the data.
        format: MessageFormat = word::<MessageFormat>("data").start();
        /// What to do with messages that cannot be parsed: drop them, or publish their text under
        /// the fixed topic.
        unparsable: Unparsable = word::<Unparsable>("drop").start();
        /// The fixed topic. With `json`, it applies to messages without a topic.
        topic: Option<String> = unset(Text, "none").start();
        /// Prefix for the topic in the first of two parts.
        topic_prefix: String = text("").start();
        /// The event type of updates whose message has none.
        event_type: Option<String> = unset(Text, "none").start();
        /// Whether an update is private if its message does not say so.
        private: bool = flag(false).start();
        /// Topics that this socket may publish to.
        match_exact: Option<Vec<String>> = unset(List, EVERY_TOPIC).start();
        /// URL patterns of further topics that this socket may publish to.
        match_urlpattern: Vec<String> = list(&[]).start();
        /// What the hubs of a cluster call a SUB or XSUB socket, of which one hub takes the messages:
        /// sockets of the same name are one. 1 to 64 lower-case letters, digits and `-`.
        name: Option<String> = unset(Text, SOCKET_NAME).start();
    }
}

table! {
    /// One `[[zeromq.outputs]]` table.
    pub struct ZeroMqOutputTable = "zeromq.outputs.N" {
        /// A socket that sends updates as messages: PUB, XPUB or PUSH. Write one
        /// `[[zeromq.outputs]]` table per socket.
        socket: Option<String> = required(Text, DATA_SOURCE).start();
        /// The format of a message. `json`: one part, an object that `json` inputs can read.
        /// `parts`: two parts, topic and data. `data`: one part, the data.
        format: MessageFormat = word::<MessageFormat>("json").start();
        /// Topics of the updates to send.
        match_exact: Option<Vec<String>> = unset(List, EVERY_TOPIC).start();
        /// URL patterns of further topics of the updates to send.
        match_urlpattern: Vec<String> = list(&[]).start();
        /// Whether to send private updates too.
        private: bool = flag(false).start();
        /// Which updates to send, by origin: all, or only those that were not received by a
        /// connecting ZeroMQ socket. Updates shared by another hub must not be sent back.
        origin: Option<OriginFilter> = unset(Choice(OriginFilter::WORDS), ORIGIN).start();
        /// What the hubs of a cluster call a PUSH socket, for which one hub sends: sockets of the
        /// same name are one. 1 to 64 lower-case letters, digits and `-`.
        name: Option<String> = unset(Text, SOCKET_NAME).start();
    }
}

impl Words for MessageFormat {
    const WORDS: &'static [&'static str] = &["data", "json", "parts"];
    const VALUES: &'static [Self] = &[Self::Data, Self::Json, Self::Parts];
}

impl Words for Unparsable {
    const WORDS: &'static [&'static str] = &["drop", "text"];
    const VALUES: &'static [Self] = &[Self::Drop, Self::Text];
}

impl Words for OriginFilter {
    const WORDS: &'static [&'static str] = &["all", "local"];
    const VALUES: &'static [Self] = &[Self::All, Self::Local];
}

/// Advice for a missing socket.
const DATA_SOURCE: &str = "write a data source, such as \"zmq-bind://PULL@127.0.0.1:5000\"";

/// The topics that are allowed by default.
const EVERY_TOPIC: &str = "every topic, unless `match_urlpattern` is written";

/// The name of a socket in a cluster by default.
const SOCKET_NAME: &str =
    "made of `socket`: its type, its addresses if it connects, its ports if it binds";

/// The updates that are sent by default.
const ORIGIN: &str = "`local` if the socket connects, else `all`";
