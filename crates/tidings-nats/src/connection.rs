//! One connection to one server of the NATS cluster.
//!
//! The client library connects again by itself once it has lost a server. A hub must not miss that,
//! because it compares prints on each new connection: so a connection that was lost once is closed
//! here, whatever the library makes of it.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use async_nats::{
    Client, ConnectOptions, Event, HeaderMap, HeaderValue, Message, PublishErrorKind,
    RequestErrorKind, StatusCode, Subscriber,
};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tidings_access::{Address, Connected};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::error::{CallError, ConnectError};
use crate::options::{Access, Options};

/// How often the client asks whether a silent server is still there.
const PING_EVERY: Duration = Duration::from_secs(5);
/// Commands that wait for the socket: more than a batch has messages.
const COMMANDS_MAX: usize = 1024;
/// Messages of one subscription that wait for us: more than one request is answered by.
const MESSAGES_MAX: usize = 4096;

/// An open connection.
pub(crate) struct Connection {
    client: Client,
    end: watch::Receiver<End>,
    address: Address,
    /// When the server last said how large a message may be.
    bound_said: Cell<Instant>,
}

/// A message with headers.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
}

impl Outgoing {
    /// Returns its bytes as a server counts them, for `max_payload` and `max_msg_size`.
    pub(crate) fn bytes(&self) -> u64 {
        let line = |name: usize, value: &HeaderValue| name + ": \r\n".len() + value.as_str().len();
        let lines = self.headers.iter().flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            values.iter().map(move |value| line(name.len(), value))
        });
        let headers = "NATS/1.0\r\n\r\n".len() + lines.sum::<usize>();
        (headers + self.payload.len()) as u64
    }
}

/// Why a connection is not used any more.
#[derive(Debug, Clone)]
enum End {
    /// It is used.
    None,
    /// The server is gone.
    Lost,
    /// The user may not use a subject. The server says so without saying which request it means.
    Forbidden(String),
    /// The server took no message of that size, and closed the connection.
    TooLarge,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.address)
    }
}

impl Connected for Connection {
    type Server = Address;

    fn server(&self) -> &Address {
        &self.address
    }
}

impl Connection {
    /// Connects, agrees on TLS and logs in; all of it within the time for that.
    pub(crate) async fn open(address: &Address, options: &Options) -> Result<Self, ConnectError> {
        let within = options.timeouts.connect;
        let (ends, end) = watch::channel(End::None);
        let client = login(&options.access).map_err(|source| ConnectError::Setup {
            address: address.clone(),
            source,
        })?;
        let mut client = client
            .name("tidings")
            .connection_timeout(within)
            .ping_interval(PING_EVERY)
            .client_capacity(COMMANDS_MAX)
            .subscription_capacity(MESSAGES_MAX)
            .request_timeout(None)
            .max_reconnects(1)
            .ignore_discovered_servers()
            .event_callback(move |event| {
                let end = end_of(event);
                // The first says why: after it, the connection is closed.
                ends.send_if_modified(|first| {
                    let is_first = matches!(first, End::None) && !matches!(end, End::None);
                    if is_first {
                        *first = end;
                    }
                    is_first
                });
                std::future::ready(())
            });
        if let Some(tls) = &options.tls {
            let config = tls.config().as_ref().clone();
            client = client.require_tls(true).tls_client_config(config);
        }
        let scheme = if options.tls.is_some() { "tls" } else { "nats" };
        let url = format!("{scheme}://{address}");
        match timeout(within, client.connect(url)).await {
            Ok(Ok(client)) => Ok(Self {
                client,
                end,
                address: address.clone(),
                bound_said: Cell::new(Instant::now()),
            }),
            Ok(Err(source)) => Err(ConnectError::Connect {
                address: address.clone(),
                source,
            }),
            Err(_elapsed) => Err(ConnectError::Late {
                address: address.clone(),
                within,
            }),
        }
    }

    /// Returns which server this is.
    pub(crate) const fn address(&self) -> &Address {
        &self.address
    }

    /// Returns what the server said of itself: its version, and the largest message.
    pub(crate) fn about_server(&self) -> async_nats::ServerInfo {
        self.client.server_info()
    }

    /// Returns whether the connection was lost since it was opened.
    pub(crate) fn is_lost(&self) -> bool {
        !matches!(*self.end.borrow(), End::None)
    }

    /// Returns how large a message may be, as the server said when the connection was opened: none says
    /// so again when it changes.
    pub(crate) fn max_payload(&self) -> u64 {
        self.client.max_payload() as u64
    }

    /// Returns when the server last said so.
    pub(crate) const fn bound_said(&self) -> &Cell<Instant> {
        &self.bound_said
    }

    /// Sends a message that nobody answers.
    pub(crate) async fn publish(&self, message: Outgoing) -> Result<(), CallError> {
        let Outgoing {
            subject,
            headers,
            payload,
        } = message;
        let bytes = payload.len();
        let sent = self.client.publish_with_headers(subject, headers, payload);
        sent.await.map_err(|error| self.not_sent(error, bytes))
    }

    /// Sends a request whose answers come to `inbox`.
    pub(crate) async fn ask(
        &self,
        subject: String,
        inbox: String,
        payload: Bytes,
    ) -> Result<(), CallError> {
        let bytes = payload.len();
        let sent = self.client.publish_with_reply(subject, inbox, payload);
        sent.await.map_err(|error| self.not_sent(error, bytes))
    }

    fn not_sent(&self, source: async_nats::PublishError, bytes: usize) -> CallError {
        match source.kind() {
            PublishErrorKind::MaxPayloadExceeded => self.too_large(bytes),
            PublishErrorKind::InvalidSubject | PublishErrorKind::Send => CallError::Send {
                address: self.address.clone(),
                source,
            },
        }
    }

    fn too_large(&self, bytes: usize) -> CallError {
        CallError::TooLarge {
            address: self.address.clone(),
            bytes,
            max: self.client.max_payload(),
        }
    }

    /// Returns an address for answers, and what comes there.
    pub(crate) async fn inbox(&self) -> Result<(String, Subscriber), CallError> {
        let inbox = self.client.new_inbox();
        let subscriber = self.client.subscribe(inbox.clone()).await;
        let subscriber = subscriber.map_err(|source| CallError::Subscribe {
            address: self.address.clone(),
            source,
        })?;
        Ok((inbox, subscriber))
    }

    /// Sends a request and returns its one answer.
    pub(crate) async fn request(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        within: Duration,
    ) -> Result<Message, CallError> {
        let bytes = payload.len();
        let mut request = async_nats::Request::new().payload(payload);
        if !headers.is_empty() {
            request = request.headers(headers);
        }
        let answer = self.client.send_request(subject.to_owned(), request);
        match self.unless_lost(answer, within).await? {
            Ok(message) => Ok(message),
            Err(error) => Err(match error.kind() {
                RequestErrorKind::NoResponders => CallError::NoResponders {
                    subject: subject.to_owned(),
                },
                RequestErrorKind::MaxPayloadExceeded => self.too_large(bytes),
                RequestErrorKind::TimedOut
                | RequestErrorKind::InvalidSubject
                | RequestErrorKind::Other => CallError::Lost {
                    address: self.address.clone(),
                },
            }),
        }
    }

    /// Returns the next message of a subscription. One with a status of 503 means that nobody took
    /// the request.
    pub(crate) async fn next(
        &self,
        messages: &mut Subscriber,
        within: Duration,
    ) -> Result<Message, CallError> {
        let message = self.unless_lost(messages.next(), within).await?;
        let message = message.ok_or_else(|| CallError::Lost {
            address: self.address.clone(),
        })?;
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            let subject = message.subject.to_string();
            return Err(CallError::NoResponders { subject });
        }
        Ok(message)
    }

    async fn unless_lost<T>(
        &self,
        answer: impl Future<Output = T>,
        within: Duration,
    ) -> Result<T, CallError> {
        let mut end = self.end.clone();
        let answer = async {
            tokio::select! {
                biased;
                answer = answer => Ok(answer),
                // An error means that the client is gone with its callback.
                end = end.wait_for(|end| !matches!(end, End::None)) => {
                    let end = end.map_or(End::Lost, |end| end.clone());
                    Err(match end {
                        End::Forbidden(reason) => CallError::Forbidden { reason },
                        End::TooLarge => CallError::Violated {
                            address: self.address.clone(),
                        },
                        End::None | End::Lost => CallError::Lost {
                            address: self.address.clone(),
                        },
                    })
                }
            }
        };
        match timeout(within, answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(CallError::Late {
                address: self.address.clone(),
                within,
            }),
        }
    }
}

fn login(access: &Access) -> std::io::Result<ConnectOptions> {
    Ok(match access {
        Access::Anyone => ConnectOptions::new(),
        Access::Password(login) => {
            let password = login.password().unwrap_or_default().to_owned();
            match login.username() {
                Some(user) => ConnectOptions::with_user_and_password(user.to_owned(), password),
                None => ConnectOptions::with_token(password),
            }
        }
        Access::Nkey(seed) => ConnectOptions::with_nkey(seed.clone()),
        Access::Credentials(text) => ConnectOptions::with_credentials(text)?,
    })
}

fn end_of(event: Event) -> End {
    match event {
        Event::Disconnected | Event::Closed | Event::ClientError(_) => End::Lost,
        Event::ServerError(error) => {
            let reason = error.to_string();
            let text = reason.to_ascii_lowercase();
            if text.contains("permissions violation") {
                return End::Forbidden(reason);
            }
            match text.contains("maximum payload violation") {
                true => End::TooLarge,
                false => End::None,
            }
        }
        Event::Connected | Event::LameDuckMode | Event::Draining | Event::SlowConsumer(_) => {
            End::None
        }
    }
}
