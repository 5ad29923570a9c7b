//! The broker's settings, checked. Their manual is in `config/tables/zeromq.rs`.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::grant::Grants;
use tidings_core::matcher::Matcher;
pub use tidings_wire::zmtp::handshake::Security;

use super::data_source::DataSource;

/// Everything the broker needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Plain brokers: what comes in goes out as it is.
    pub brokers: Vec<Brokering>,
    /// Sockets whose messages become updates.
    pub inputs: Vec<HubInput>,
    /// Sockets that send updates as messages.
    pub outputs: Vec<HubOutput>,
    /// How peers prove who they are.
    pub security: Security,
    /// What peers may use.
    pub limits: Limits,
    /// Names this hub among those that share updates; made when the process starts.
    pub node: Arc<str>,
}

impl Options {
    /// Goes through all data sources, in the order in which they are opened.
    pub fn sources_mut(&mut self) -> impl Iterator<Item = &mut DataSource> {
        let plain = self
            .brokers
            .iter_mut()
            .flat_map(|broker| broker.inputs.iter_mut().chain(&mut broker.outputs));
        let bridges = self.inputs.iter_mut().map(|input| &mut input.source);
        let out = self.outputs.iter_mut().map(|output| &mut output.source);
        plain.chain(bridges).chain(out)
    }
}

/// One plain broker.
#[derive(Clone, Debug)]
pub struct Brokering {
    /// PULL, SUB, XSUB or REP. Never empty.
    pub inputs: Vec<DataSource>,
    /// PUB, XPUB or PUSH. Never empty.
    pub outputs: Vec<DataSource>,
}

/// A socket whose messages become updates.
#[derive(Clone, Debug)]
pub struct HubInput {
    /// PULL, SUB, XSUB or REP.
    pub source: DataSource,
    /// What a SUB or XSUB socket subscribes to. Never empty.
    pub prefixes: Vec<Vec<u8>>,
    /// How a message is read.
    pub mapping: Mapping,
    /// What is done with messages that cannot be read so.
    pub unparsable: Unparsable,
    /// The topic of messages that name none.
    pub topic: Option<String>,
    /// Stands before the topic that a message of several parts names.
    pub topic_prefix: String,
    /// The event type of messages that name none.
    pub event_type: Option<String>,
    /// Whether messages that do not say so become private updates.
    pub private: bool,
    /// What may be published.
    pub grants: Grants,
}

/// How a message becomes an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// It has one part, which is the data.
    Data,
    /// It has one part, a JSON object with the fields of an update.
    Json,
    /// It has two parts, the topic and the data.
    Parts,
}

/// What is done with a message that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unparsable {
    /// It is dropped.
    Drop,
    /// Its text is published under the fixed topic.
    Text,
}

/// A socket that sends updates as messages.
#[derive(Clone, Debug)]
pub struct HubOutput {
    /// PUB, XPUB or PUSH.
    pub source: DataSource,
    /// Which updates.
    pub matchers: Box<[Matcher]>,
    /// As what.
    pub form: OutputForm,
    /// What may be read: with no grant, public updates only.
    pub grants: Grants,
    /// Which of those that match.
    pub origin: OriginFilter,
}

/// What an update looks like as a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputForm {
    /// One part: the data.
    Data,
    /// One part: a JSON object with the fields of the update.
    Json,
    /// Two parts: the canonical topic, the data.
    Parts,
}

/// Which updates a socket sends, by where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginFilter {
    /// All.
    All,
    /// Only those that did not come by a socket of this hub that connects: what another hub shares
    /// must not go back.
    Here,
}

/// What peers may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages that may wait for one peer.
    pub queue_messages_max: usize,
    /// Bytes that may wait for one peer.
    pub queue_bytes_max: usize,
    /// Bytes that may wait for all peers together, before those that are behind lose more.
    pub total_bytes_max: usize,
    /// Bytes of one message, all parts together.
    pub message_bytes_max: usize,
    /// Connections of the broker.
    pub peers_max: usize,
    /// Subscriptions of one peer.
    pub subscriptions_max: usize,
    /// Time for the handshake.
    pub handshake: Duration,
    /// Silence after which a peer is asked whether it is there; it has as long again to answer.
    pub heartbeat: Duration,
}
