//! `[zeromq]`: the ZeroMQ sockets.

use std::time::Duration;

use crate::broker::options::{Mapping, OriginFilter, OutputForm, Unparsable};
use crate::config::keys::Form::{self, Choice, List, Text};
use crate::config::keys::rule::{
    flag, list, number, required, required_by_check, text, unset, word,
};
use crate::config::value::{Secret, Words};

table! {
    /// The `[zeromq]` table.
    pub struct ZeroMqTable = "zeromq" {
        /// Whether ZeroMQ sockets may bind addresses that other machines reach. Messages then
        /// travel in the clear, and anyone who reaches the port may send or read them: only for a
        /// network that is protected in another way.
        allow_plaintext: bool = flag(false).start();
        /// The name that ZeroMQ peers must give, by the mechanism PLAIN. Sockets that connect give
        /// it too. Needs `zeromq.password`. Both travel in the clear.
        username: Option<String> = unset(Text, "none: no security").live();
        /// The password that belongs to `zeromq.username`.
        password: Option<Secret> = unset(Form::Secret, "none").live();
        /// Messages that may wait for one ZeroMQ peer. A subscriber that is further behind loses
        /// the newer ones; a PUSH socket whose peers are all full makes its senders wait.
        high_water_mark: usize = number(100_000).at_least(1).live();
        /// Bytes that may wait for one ZeroMQ peer.
        high_water_bytes: usize = number(16 * 1024 * 1024).at_least(1).live();
        /// Bytes that may wait for all ZeroMQ peers together. Beyond it a subscriber with more than
        /// 16 KiB waiting loses messages.
        queue_bytes_max: usize = number(256 * 1024 * 1024).at_least(1).live();
        /// Longest ZeroMQ message in bytes, all its parts together. A peer that sends a longer one
        /// is disconnected.
        message_bytes_max: usize = number(1024 * 1024).at_least(1).live();
        /// ZeroMQ connections. Further ones are closed.
        peers_max: usize = number(10_000).at_least(1).live();
        /// Subscriptions of one ZeroMQ peer. One that asks for more is disconnected.
        subscriptions_max: usize = number(10_000).at_least(1).live();
        /// Seconds within which a ZeroMQ peer must end its handshake.
        handshake as "handshake_secs": Duration = number(10).secs().at_least(1).live();
        /// Seconds of silence after which a ZeroMQ peer is asked whether it is there. One that does
        /// not answer within as long again is disconnected.
        heartbeat as "heartbeat_secs": Duration = number(30).secs().at_least(1).live();
    }
}

table! {
    /// One `[[zeromq.brokers]]` table.
    pub struct ZeroMqBrokerTable = "zeromq.brokers.N" {
        /// Sockets that messages come in by: PULL, SUB, XSUB or REP. Write one `[[zeromq.brokers]]`
        /// table per broker. `zmq-bind://PULL@127.0.0.1:5000` binds, `zmq://SUB@host:6000`
        /// connects; several addresses of one socket are separated by `;`.
        inputs: Option<Vec<String>> = required_by_check(List).start();
        /// Sockets that the same messages go out of: PUB, XPUB or PUSH.
        outputs: Option<Vec<String>> = required_by_check(List).start();
    }
}

table! {
    /// One `[[zeromq.inputs]]` table.
    pub struct ZeroMqInputTable = "zeromq.inputs.N" {
        /// A socket whose messages become updates: PULL, SUB, XSUB or REP. Write one
        /// `[[zeromq.inputs]]` table per socket.
        socket: Option<String> = required(Text, DATA_SOURCE).start();
        /// What a SUB or XSUB socket subscribes to: beginnings of messages. The empty one is
        /// everything.
        subscribe: Vec<String> = list(&[""]).start();
        /// How a message becomes an update. `data`: its one part is the data, the topic is fixed.
        /// `json`: its one part is an object with `topic`, `data`, `private`, `id`, `type` and
        /// `retry`. `parts`: the first of two parts is the topic, the second the data.
        mapping: Mapping = word::<Mapping>("data").start();
        /// What is done with messages that cannot be read so: they are dropped, or their text is
        /// published under the fixed topic.
        unparsable: Unparsable = word::<Unparsable>("drop").start();
        /// The fixed topic. With `json` it is for messages that name none.
        topic: Option<String> = unset(Text, "none").start();
        /// What is put before the topic that the first of two parts names.
        topic_prefix: String = text("").start();
        /// The event type of updates whose message names none.
        event_type: Option<String> = unset(Text, "none").start();
        /// Whether updates are private whose message does not say.
        private: bool = flag(false).start();
        /// Topics that may be published by this socket.
        match_exact: Option<Vec<String>> = unset(List, EVERY_TOPIC).start();
        /// URL patterns of further topics that may be published by this socket.
        match_urlpattern: Vec<String> = list(&[]).start();
    }
}

table! {
    /// One `[[zeromq.outputs]]` table.
    pub struct ZeroMqOutputTable = "zeromq.outputs.N" {
        /// A socket that updates go out of as messages: PUB, XPUB or PUSH. Write one
        /// `[[zeromq.outputs]]` table per socket.
        socket: Option<String> = required(Text, DATA_SOURCE).start();
        /// What an update looks like. `json`: one part, an object as `json` inputs read it.
        /// `parts`: two parts, topic and data. `data`: one part, the data.
        form: OutputForm = word::<OutputForm>("json").start();
        /// Topics of the updates that go out.
        match_exact: Option<Vec<String>> = unset(List, EVERY_TOPIC).start();
        /// URL patterns of further updates that go out.
        match_urlpattern: Vec<String> = list(&[]).start();
        /// Whether private updates go out too.
        private: bool = flag(false).start();
        /// Which updates go out by where they come from: all, or only those that did not come in by
        /// a ZeroMQ socket that connects. What another hub shares must not go back.
        origin: Option<OriginFilter> = unset(Choice(OriginFilter::WORDS), ORIGIN).start();
    }
}

impl Words for Mapping {
    const WORDS: &'static [&'static str] = &["data", "json", "parts"];
    const VALUES: &'static [Self] = &[Self::Data, Self::Json, Self::Parts];
}

impl Words for Unparsable {
    const WORDS: &'static [&'static str] = &["drop", "text"];
    const VALUES: &'static [Self] = &[Self::Drop, Self::Text];
}

impl Words for OutputForm {
    const WORDS: &'static [&'static str] = &["json", "parts", "data"];
    const VALUES: &'static [Self] = &[Self::Json, Self::Parts, Self::Data];
}

impl Words for OriginFilter {
    const WORDS: &'static [&'static str] = &["all", "here"];
    const VALUES: &'static [Self] = &[Self::All, Self::Here];
}

/// What to write where a socket is missing.
const DATA_SOURCE: &str = "write a data source, such as \"zmq-bind://PULL@127.0.0.1:5000\"";

/// Which topics are allowed where none is named.
const EVERY_TOPIC: &str = "every topic, unless `match_urlpattern` is written";

/// Which updates go out where nothing is written.
const ORIGIN: &str = "`here` if the socket connects, else `all`";
