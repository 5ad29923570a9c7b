//! The broker's settings, checked. Their manual is in `config/tables/zeromq.rs`.

use std::sync::Arc;
use std::time::Duration;

use tidings_core::grant::Grants;
use tidings_core::matcher::Matcher;
pub use tidings_wire::zmtp::handshake::Security;

use super::data_source::DataSource;
use tidings_hub::metrics::zeromq::Direction;

/// The options of the broker.
#[derive(Clone, Debug)]
pub struct Options {
    /// Plain brokers, which forward messages unchanged.
    pub brokers: Vec<PlainBroker>,
    /// Sockets whose messages become updates.
    pub inputs: Vec<HubInput>,
    /// Sockets that send updates as messages.
    pub outputs: Vec<HubOutput>,
    /// How peers authenticate.
    pub security: Security,
    /// Limits for peers.
    pub limits: Limits,
    /// The name of this hub among those that share updates; made at startup.
    pub node: Arc<str>,
}

impl Options {
    /// Iterates over the sockets that one hub of a cluster serves, with the direction and the lease of each.
    pub fn leases(&self) -> impl Iterator<Item = (Direction, &DataSource, Arc<str>)> {
        let inputs = self
            .inputs
            .iter()
            .filter_map(|one| Some((Direction::IN, &one.source, one.lease.clone()?)));
        let outputs = self
            .outputs
            .iter()
            .filter_map(|one| Some((Direction::OUT, &one.source, one.lease.clone()?)));
        inputs.chain(outputs)
    }

    /// Iterates over all data sources, in the order in which they are opened.
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
pub struct PlainBroker {
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
    /// The prefixes that a SUB or XSUB socket subscribes to. Never empty.
    pub prefixes: Vec<Vec<u8>>,
    /// The format of a message.
    pub format: MessageFormat,
    /// What to do with messages that cannot be parsed.
    pub unparsable: Unparsable,
    /// The topic for messages without one.
    pub topic: Option<String>,
    /// Prefix for the topic of a message with several parts.
    pub topic_prefix: String,
    /// The event type for messages without one.
    pub event_type: Option<String>,
    /// Whether messages become private updates by default.
    pub private: bool,
    /// The topics that may be published.
    pub grants: Grants,
    /// The lease by which one hub of a cluster takes its messages, if each of them comes to every hub.
    pub lease: Option<Arc<str>>,
}

/// The format of an update as a message, inbound and outbound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFormat {
    /// One part: the data.
    Data,
    /// One part: a JSON object with the fields of the update.
    Json,
    /// Two parts: the canonical topic, the data.
    Parts,
}

/// What to do with a message that cannot be parsed.
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
    /// The updates to send.
    pub matchers: Box<[Matcher]>,
    /// The format of a message.
    pub format: MessageFormat,
    /// The grants for reading: without one, public updates only.
    pub grants: Grants,
    /// Which of the matching updates.
    pub origin: OriginFilter,
    /// The lease by which one hub of a cluster sends, if each message goes to one peer.
    pub lease: Option<Arc<str>>,
}

/// Which updates a socket sends, by origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginFilter {
    /// All.
    All,
    /// Only those that were not received by a connecting socket of this hub: updates shared by
    /// another hub must not be sent back.
    Local,
}

/// What peers may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of messages queued for one peer.
    pub queue_messages_max: usize,
    /// Maximum number of bytes queued for one peer.
    pub queue_bytes_max: usize,
    /// Maximum number of bytes queued for all peers together, before those that are behind lose
    /// more.
    pub total_bytes_max: usize,
    /// Maximum size of one message in bytes, all parts together.
    pub message_bytes_max: usize,
    /// Connections of the broker.
    pub peers_max: usize,
    /// Subscriptions of one peer.
    pub subscriptions_max: usize,
    /// Time for the handshake.
    pub handshake: Duration,
    /// Silence after which a peer gets a heartbeat; it has the same time again to answer.
    pub heartbeat: Duration,
}
