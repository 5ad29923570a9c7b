//! The checks of `[zeromq]`: data sources are valid, have the right type, and are not exposed by
//! accident.

use std::collections::BTreeSet;
use std::sync::Arc;

use tidings_core::HubUrl;
use tidings_core::grant::Grants;
use tidings_core::limits::MATCHERS_PER_SUBSCRIBER_MAX;
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_wire::zmtp::SocketType;

use super::Checks;
use crate::broker::data_source::{Attach, DataSource};
use crate::broker::options::{
    HubInput, HubOutput, MessageFormat, Options, OriginFilter, PlainBroker, Security, Unparsable,
};
use crate::cluster;
use crate::config::tables::zeromq::{
    ZeroMqBrokerTable, ZeroMqInputTable, ZeroMqOutputTable, ZeroMqTable,
};
use crate::config::value::Secret;

/// The types of sockets that receive messages.
pub const INPUTS: &[SocketType] = &[
    SocketType::Pull,
    SocketType::Sub,
    SocketType::XSub,
    SocketType::Rep,
];
/// The types of sockets that send messages.
pub const OUTPUTS: &[SocketType] = &[SocketType::Pub, SocketType::XPub, SocketType::Push];

/// Maximum size of a user name or password in bytes (PLAIN).
const CREDENTIAL_BYTES_MAX: usize = 255;
/// Maximum size of a socket's name in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Size of a hub's name in bytes, before hexadecimal encoding.
const NODE_BYTES: usize = 12;

/// Why a data source is not usable for a key.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It is not a data source.
    #[error(transparent)]
    Form(#[from] crate::broker::data_source::DataSourceError),
    /// Its socket type is not usable there.
    #[error("{name} is not allowed here, only {allowed}: {advice}")]
    Type {
        /// The data source.
        name: String,
        /// The usable types.
        allowed: String,
        /// What to do.
        advice: &'static str,
    },
    /// Other machines could read and write.
    #[error(
        "{name} can be reached by other machines, and ZeroMQ messages travel in the clear: write a \
         loopback address such as 127.0.0.1, or {switch} in a network that is protected in another \
         way"
    )]
    Public {
        /// The data source.
        name: String,
        /// How to allow it.
        switch: &'static str,
    },
}

/// Parses a data source that must have one of these types and, unless `public`, must be reachable
/// only from this machine.
///
/// # Errors
///
/// The broken rule; `switch` is the setting that permits access by other machines.
pub fn source(
    text: &str,
    allowed: &'static [SocketType],
    public: bool,
    switch: &'static str,
) -> Result<DataSource, SourceError> {
    let source: DataSource = text.parse()?;
    if !allowed.contains(&source.socket_type) {
        let names: Vec<&str> = allowed.iter().map(|kind| kind.name()).collect();
        let advice = match source.socket_type {
            SocketType::Req => "use REQ in the application and REP here",
            SocketType::Push if allowed == INPUTS => {
                "use PULL to receive from PUSH sockets of applications"
            }
            SocketType::Pub | SocketType::XPub => {
                "use SUB to receive from PUB sockets of applications"
            }
            SocketType::Sub | SocketType::XSub => "use PUB to send to SUB sockets of applications",
            SocketType::Rep
            | SocketType::Dealer
            | SocketType::Router
            | SocketType::Push
            | SocketType::Pull => {
                "PULL, SUB, XSUB and REP receive messages; PUB, XPUB and PUSH send them"
            }
        };
        return Err(SourceError::Type {
            name: source.to_string(),
            allowed: names.join(", "),
            advice,
        });
    }
    let reachable = source.endpoints.iter().any(|place| !place.is_loopback());
    if source.attach == Attach::Bind && reachable && !public {
        let name = source.to_string();
        return Err(SourceError::Public { name, switch });
    }
    Ok(source)
}

/// Makes the name by which hubs that share updates know this one.
///
/// # Errors
///
/// If the system has no random bytes.
pub fn node() -> Result<Arc<str>, getrandom::Error> {
    let mut bytes = [0; NODE_BYTES];
    getrandom::fill(&mut bytes)?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(digits.into())
}

/// Returns what the hubs of a cluster call a socket: the same on each of them, whatever address of its machine it
/// binds.
fn name_of(source: &DataSource) -> String {
    let mut name = source.socket_type.to_string().to_ascii_lowercase();
    for endpoint in &source.endpoints {
        let place = match source.attach {
            Attach::Bind => endpoint.port.to_string(),
            Attach::Connect => endpoint.to_string().to_ascii_lowercase(),
        };
        name.push('-');
        name.extend(place.chars().map(|one| match one {
            'a'..='z' | '0'..='9' => one,
            _ => '-',
        }));
    }
    name
}

impl Checks<'_> {
    /// Returns the broker's settings, if there are sockets, and the options of the cluster with a lease for each
    /// socket that one hub serves.
    pub(super) fn zeromq(
        &mut self,
        hub: Option<&HubUrl>,
        cluster: Option<Option<cluster::Options>>,
    ) -> Option<(Option<Options>, Option<cluster::Options>)> {
        let sockets = self.zeromq_sockets(hub)?;
        let mut cluster = cluster?;
        if let (Some(cluster), Some(sockets)) = (&mut cluster, &sockets) {
            self.zeromq_names(sockets);
            let leases = sockets.leases();
            cluster.leases.extend(leases.map(|(_, _, lease)| lease));
        }
        Some((sockets, cluster))
    }

    fn zeromq_sockets(&mut self, hub: Option<&HubUrl>) -> Option<Option<Options>> {
        let table: ZeroMqTable = self.table();
        let security = self.zeromq_security(&table);
        let public = table.allow_plaintext;
        let tables: Vec<ZeroMqBrokerTable> = self.tables();
        let tables = tables.iter().enumerate();
        let brokers: Vec<_> = tables
            .map(|(index, broker)| self.zeromq_broker(index, broker, public))
            .collect();
        let tables: Vec<ZeroMqInputTable> = self.tables();
        let tables = tables.into_iter().enumerate();
        let inputs: Vec<_> = tables
            .map(|(index, input)| self.zeromq_input(index, input, public, hub))
            .collect();
        let tables: Vec<ZeroMqOutputTable> = self.tables();
        let tables = tables.iter().enumerate();
        let outputs: Vec<_> = tables
            .map(|(index, output)| self.zeromq_output(index, output, public, hub))
            .collect();
        if brokers.is_empty() && inputs.is_empty() && outputs.is_empty() {
            return Some(None);
        }
        let inputs: Option<Vec<HubInput>> = inputs.into_iter().collect();
        let outputs: Option<Vec<HubOutput>> = outputs.into_iter().collect();
        let node = match node() {
            Ok(node) => node,
            Err(error) => {
                self.invalid(
                    "zeromq",
                    format!("the system provides no random bytes: {error}"),
                );
                return None;
            }
        };
        Some(Some(Options {
            brokers: brokers.into_iter().collect::<Option<_>>()?,
            inputs: inputs?,
            outputs: outputs?,
            security: security?,
            limits: table.limits(),
            node,
        }))
    }

    /// Checks that no two sockets of this hub have the same lease.
    fn zeromq_names(&mut self, options: &Options) {
        let mut known = BTreeSet::new();
        for (_, source, lease) in options.leases() {
            if !known.insert(Arc::clone(&lease)) {
                let reason = format!(
                    "two of them have the name of {source} in the cluster: write a name for each"
                );
                self.invalid("zeromq", reason);
            }
        }
    }

    /// Returns the lease of a socket that one hub of a cluster serves.
    fn zeromq_lease(
        &mut self,
        place: &str,
        (source, direction): (&DataSource, &str),
        name: Option<&str>,
    ) -> Option<Arc<str>> {
        let is_shared = matches!(
            source.socket_type,
            SocketType::Sub | SocketType::XSub | SocketType::Push
        );
        if let Some(name) = name {
            let key = format!("{place}.name");
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) {
                let reason = format!(
                    "{name:?} is not 1 to {NAME_BYTES_MAX} lower-case letters, digits and -"
                );
                self.invalid(&key, reason);
            } else if !is_shared {
                let reason = format!(
                    "every hub of a cluster serves its own {} socket: remove the name",
                    source.socket_type
                );
                self.invalid(&key, reason);
            }
        }
        let name = name.map_or_else(|| name_of(source), str::to_owned);
        is_shared.then(|| format!("zeromq-{direction}-{name}").into())
    }

    fn zeromq_security(&mut self, table: &ZeroMqTable) -> Option<Security> {
        match (&table.username, &table.password) {
            (None, None) => Some(Security::Null),
            (Some(username), Some(Secret(password))) => {
                let long = |text: &String| text.len() > CREDENTIAL_BYTES_MAX;
                if long(username) || long(password) {
                    let reason = format!(
                        "the name and the password of ZeroMQ peers have at most \
                         {CREDENTIAL_BYTES_MAX} bytes"
                    );
                    self.invalid("zeromq.username", reason);
                }
                Some(Security::Plain {
                    username: username.as_str().into(),
                    password: password.as_str().into(),
                })
            }
            (Some(_), None) => {
                self.missing("zeromq.password", "write the password of zeromq.username");
                None
            }
            (None, Some(_)) => {
                self.missing("zeromq.username", "write the name that peers give");
                None
            }
        }
    }

    fn zeromq_broker(
        &mut self,
        index: usize,
        table: &ZeroMqBrokerTable,
        public: bool,
    ) -> Option<PlainBroker> {
        let place = format!("zeromq.brokers.{index}");
        let inputs = table.inputs.as_deref().unwrap_or_default();
        let outputs = table.outputs.as_deref().unwrap_or_default();
        if inputs.is_empty() {
            let advice =
                "write where messages come in, such as [\"zmq-bind://PULL@127.0.0.1:5000\"]";
            self.missing(&format!("{place}.inputs"), advice);
        }
        if outputs.is_empty() {
            let advice = "write where messages go out, such as [\"zmq-bind://PUB@127.0.0.1:6000\"]";
            self.missing(&format!("{place}.outputs"), advice);
        }
        let mut sources = |name: &str, texts: &[String], allowed| -> Vec<Option<DataSource>> {
            let key = format!("{place}.{name}");
            let read = |text: &String| self.zeromq_source(&key, text, allowed, public);
            texts.iter().map(read).collect()
        };
        let inputs = sources("inputs", inputs, INPUTS);
        let outputs = sources("outputs", outputs, OUTPUTS);
        Some(PlainBroker {
            inputs: inputs.into_iter().collect::<Option<_>>()?,
            outputs: outputs.into_iter().collect::<Option<_>>()?,
        })
    }

    fn zeromq_input(
        &mut self,
        index: usize,
        table: ZeroMqInputTable,
        public: bool,
        hub: Option<&HubUrl>,
    ) -> Option<HubInput> {
        let place = format!("zeromq.inputs.{index}");
        let source = self.zeromq_socket(&place, table.socket.as_deref(), INPUTS, public);
        if table.topic.is_none() && table.format == MessageFormat::Data {
            let advice = "write the topic that the messages are published under, or another format";
            self.missing(&format!("{place}.topic"), advice);
        } else if table.topic.is_none() && table.unparsable == Unparsable::Text {
            let advice = "write the topic of messages that are published as text";
            self.missing(&format!("{place}.topic"), advice);
        }
        if table.subscribe.is_empty() {
            let advice = "is empty, so no message would arrive: write [\"\"] for everything";
            self.contradiction(&format!("{place}.subscribe"), advice);
        }
        let publish = self.zeromq_matchers(
            &place,
            table.match_exact.as_deref(),
            &table.match_urlpattern,
            hub,
        );
        let source = source?;
        let named = (&source, "in");
        let lease = self.zeromq_lease(&place, named, table.name.as_deref());
        Some(HubInput {
            lease,
            source,
            prefixes: table.subscribe.into_iter().map(String::into).collect(),
            format: table.format,
            unparsable: table.unparsable,
            topic: table.topic,
            topic_prefix: table.topic_prefix,
            event_type: table.event_type,
            private: table.private,
            grants: Grants::new(publish?, Vec::new(), Vec::new()).ok()?,
        })
    }

    fn zeromq_output(
        &mut self,
        index: usize,
        table: &ZeroMqOutputTable,
        public: bool,
        hub: Option<&HubUrl>,
    ) -> Option<HubOutput> {
        let place = format!("zeromq.outputs.{index}");
        let source = self.zeromq_socket(&place, table.socket.as_deref(), OUTPUTS, public);
        let matchers = self.zeromq_matchers(
            &place,
            table.match_exact.as_deref(),
            &table.match_urlpattern,
            hub,
        );
        let (source, matchers) = (source?, matchers?);
        let granted = match table.private {
            true => matchers.clone(),
            false => Vec::new(),
        };
        let named = (&source, "out");
        let lease = self.zeromq_lease(&place, named, table.name.as_deref());
        Some(HubOutput {
            lease,
            matchers: matchers.into(),
            format: table.format,
            grants: Grants::new(Vec::new(), granted, Vec::new()).ok()?,
            origin: match (table.origin, source.attach) {
                (Some(origin), _) => origin,
                (None, Attach::Connect) => OriginFilter::Local,
                (None, Attach::Bind) => OriginFilter::All,
            },
            source,
        })
    }

    fn zeromq_matchers(
        &mut self,
        place: &str,
        exact: Option<&[String]>,
        patterns: &[String],
        hub: Option<&HubUrl>,
    ) -> Option<Vec<Matcher>> {
        let of = |kind, texts: &[String]| -> Vec<_> {
            texts.iter().map(|text| (kind, text.clone())).collect()
        };
        let everything = ["*".to_owned()];
        let exact = match exact {
            None if patterns.is_empty() => &everything,
            None => &[][..],
            Some(exact) => exact,
        };
        let wanted = [
            of(MatcherType::Exact, exact),
            of(MatcherType::UrlPattern, patterns),
        ]
        .concat();
        if wanted.len() > MATCHERS_PER_SUBSCRIBER_MAX {
            let key = format!("{place}.match_exact");
            let count = wanted.len();
            let reason = format!("{count} matchers are more than {MATCHERS_PER_SUBSCRIBER_MAX}");
            self.invalid(&key, reason);
            return None;
        }
        let hub = hub?;
        let mut matchers = Vec::new();
        for (kind, text) in wanted {
            match Matcher::parse(kind, &text, hub) {
                Ok(matcher) => matchers.push(matcher),
                Err(error) => {
                    let name = if kind == MatcherType::UrlPattern {
                        "match_urlpattern"
                    } else {
                        "match_exact"
                    };
                    self.invalid(&format!("{place}.{name}"), format!("{text:?}: {error}"));
                    return None;
                }
            }
        }
        Some(matchers)
    }

    fn zeromq_socket(
        &mut self,
        place: &str,
        text: Option<&str>,
        allowed: &'static [SocketType],
        public: bool,
    ) -> Option<DataSource> {
        self.zeromq_source(&format!("{place}.socket"), text?, allowed, public)
    }

    fn zeromq_source(
        &mut self,
        key: &str,
        text: &str,
        allowed: &'static [SocketType],
        public: bool,
    ) -> Option<DataSource> {
        match source(text, allowed, public, "zeromq.allow_plaintext = true") {
            Ok(source) => Some(source),
            Err(error) => {
                self.invalid(key, error);
                None
            }
        }
    }
}
