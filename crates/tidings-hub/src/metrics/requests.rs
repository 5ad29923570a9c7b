//! Requests by method, status and transport; sessions by transport and dialect.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tidings_core::dialect::Dialect;

/// How updates reach a subscriber, or what a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A whole response.
    Http,
    /// An event stream.
    Sse,
    /// A WebSocket, without SockJS.
    WebSocket,
    /// SockJS, by any of its transports.
    SockJs,
    /// A response that waits for the next updates.
    LongPoll,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 5] = [
        Self::Http,
        Self::Sse,
        Self::WebSocket,
        Self::SockJs,
        Self::LongPoll,
    ];

    /// Returns the name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Sse => "sse",
            Self::WebSocket => "websocket",
            Self::SockJs => "sockjs",
            Self::LongPoll => "long_poll",
        }
    }
}

const METHODS: [&str; 6] = ["GET", "HEAD", "OPTIONS", "POST", "QUERY", "other"];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRequest {
    method: &'static str,
    status: &'static str,
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSession {
    transport: &'static str,
    dialect: &'static str,
}

/// Counts requests.
#[derive(Debug)]
pub struct Requests {
    counted: Family<OfRequest, Counter<u64, AtomicU64>>,
}

impl Requests {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let counted = Family::<OfRequest, Counter<u64, AtomicU64>>::default();
        let help =
            "HTTP requests at the public listeners, by method, class of the status, and transport";
        registry.register("http_requests", help, counted.clone());
        let requests = Self { counted };
        for method in METHODS {
            for transport in Transport::ALL {
                for class in CLASSES {
                    requests.touch(method, class, transport);
                }
            }
        }
        requests
    }

    fn touch(&self, method: &'static str, status: &'static str, transport: Transport) {
        drop(self.counted.get_or_create(&OfRequest {
            method,
            status,
            transport: transport.name(),
        }));
    }

    /// Counts a request that was answered by `status`.
    pub fn count(&self, method: &str, status: u16, transport: Transport) {
        let known = METHODS.iter().find(|known| **known == method);
        let class = usize::from(status / 100).checked_sub(1);
        let class = class.and_then(|class| CLASSES.get(class));
        let labels = OfRequest {
            method: known.copied().unwrap_or("other"),
            status: class.copied().unwrap_or("5xx"),
            transport: transport.name(),
        };
        self.counted.get_or_create(&labels).inc();
    }
}

/// The sessions that are open.
#[derive(Debug)]
pub(crate) struct Sessions {
    open: Family<OfSession, Gauge>,
}

impl Sessions {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let open = Family::<OfSession, Gauge>::default();
        let help = "Subscribers connected now, by transport and dialect";
        registry.register("sessions", help, open.clone());
        let sessions = Self { open };
        for transport in Transport::ALL {
            for dialect in [Dialect::V1, Dialect::V0, Dialect::V2019] {
                if transport != Transport::Http {
                    drop(sessions.of(transport, dialect));
                }
            }
        }
        sessions
    }

    fn of(&self, transport: Transport, dialect: Dialect) -> impl std::ops::Deref<Target = Gauge> {
        self.open.get_or_create(&OfSession {
            transport: transport.name(),
            dialect: dialect.name(),
        })
    }

    /// Returns how many there are of a transport, in any dialect.
    pub(super) fn open(&self, transport: Transport) -> u64 {
        let dialects = [Dialect::V1, Dialect::V0, Dialect::V2019].into_iter();
        let open = dialects.map(|dialect| self.of(transport, dialect).get());
        u64::try_from(open.sum::<i64>()).unwrap_or(0)
    }

    pub(crate) fn on_begin(&self, transport: Transport, dialect: Dialect) {
        self.of(transport, dialect).inc();
    }

    pub(crate) fn on_end(&self, transport: Transport, dialect: Dialect) {
        self.of(transport, dialect).dec();
    }
}
