//! One connection to one server: opened with TLS and a login, one call at a time.
//!
//! The socket, its options, TLS and all times are ours, and `tokio-postgres` speaks the protocol on
//! it. Its driver is not a task: it runs while somebody waits for something on the connection.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tidings_access::{Address, Connected, DialError, Login, Tls, Watch, connect, encrypt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::Severity;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Row};

use crate::error::{CallError, ConnectError};

/// What the server shows of us in its list of sessions.
const APPLICATION: &str = "tidings";

/// How a server is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Access<'a> {
    pub(crate) database: &'a str,
    pub(crate) login: &'a Login,
    /// Nothing: in clear.
    pub(crate) tls: Option<&'a Tls>,
    /// For all of it: connecting, TLS, logging in, asking who it is.
    pub(crate) within: Duration,
}

/// What tells one server from another, and one start of it from the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) address: Address,
    /// Counts promotions: of several primaries the one with the highest is the newest. Nothing for a
    /// standby.
    pub(crate) timeline: Option<u32>,
    started: String,
}

impl Server {
    /// Whether both are one start of one server, however it is reached.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.timeline == other.timeline && self.started == other.started
    }
}

/// A value and its type, for a parameter of a call.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// An open connection.
pub(crate) struct Connection {
    client: Client,
    driver: Box<dyn Driver + Send>,
    /// The same socket, to be looked at between calls.
    socket: Watch,
    server: Server,
    /// Whether the server has said that there is something new.
    notified: bool,
    /// What the server warned of during the last call.
    warning: Option<String>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.server.address)
    }
}

impl Connected for Connection {
    type Server = Server;

    fn server(&self) -> &Server {
        &self.server
    }
}

impl Connection {
    /// Connects, agrees on TLS, logs in, and asks which server it is.
    pub(crate) async fn open(address: &Address, access: Access<'_>) -> Result<Self, ConnectError> {
        match timeout(access.within, Self::open_at(address, access)).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(ConnectError::Late {
                address: address.clone(),
                within: access.within,
            }),
        }
    }

    async fn open_at(address: &Address, access: Access<'_>) -> Result<Self, ConnectError> {
        let stream = connect(address).await?;
        let socket = Watch::new(&stream).map_err(|source| DialError::Connect {
            address: address.clone(),
            source,
        })?;
        let mut config = Config::new();
        config.dbname(access.database).application_name(APPLICATION);
        // A user must be named: the server has no other way to know one.
        config.user(access.login.username().unwrap_or(access.database));
        if let Some(password) = access.login.password() {
            config.password(password);
        }
        let login = |source| ConnectError::login(address, source);
        let (client, driver): (Client, Box<dyn Driver + Send>) = match access.tls {
            None => {
                config.ssl_mode(SslMode::Disable);
                let opened = config.connect_raw(stream, NoTls).await;
                let (client, driver) = opened.map_err(login)?;
                (client, Box::new(driver))
            }
            Some(tls) => {
                config.ssl_mode(SslMode::Require);
                let encrypting = Encrypting {
                    address: address.clone(),
                    tls: tls.clone(),
                };
                let opened = config.connect_raw(stream, encrypting).await;
                let (client, driver) = opened.map_err(login)?;
                (client, Box::new(driver))
            }
        };
        let mut connection = Self {
            client,
            driver,
            socket,
            server: Server {
                address: address.clone(),
                timeline: None,
                started: String::new(),
            },
            notified: false,
            warning: None,
        };
        connection.ask_who(access.within).await?;
        Ok(connection)
    }

    /// Asks which server this is. The timeline of a primary is in the name of its newest log file.
    async fn ask_who(&mut self, within: Duration) -> Result<(), ConnectError> {
        const WHO: &str = "SELECT pg_postmaster_start_time()::text, CASE WHEN NOT pg_is_in_recovery() \
            THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END";
        let answer = self.query(WHO, &[], within).await;
        let failed = |source| ConnectError::Who {
            address: self.server.address.clone(),
            source,
        };
        let rows = answer.map_err(failed)?;
        let row = rows.first();
        let text = |index| row.and_then(|row| row.try_get::<_, Option<String>>(index).ok()?);
        self.server.started = text(0).unwrap_or_default();
        self.server.timeline = text(1).and_then(|hex| u32::from_str_radix(&hex, 16).ok());
        Ok(())
    }

    /// Returns whether the server has said anything since the last call: then it has closed the
    /// connection, and said why. Nothing is sent on it, so that no call is in doubt for nothing.
    pub(crate) fn is_closed(&self) -> bool {
        !self.socket.is_silent()
    }

    /// Returns what the server warned of during the last call.
    pub(crate) fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// Sends one call, as an unnamed statement, and returns its rows. After an error that does not
    /// [keep the connection](CallError::keeps_connection), and after the future was dropped, the
    /// connection must not be used again.
    pub(crate) async fn query(
        &mut self,
        sql: &str,
        parameters: &[Parameter<'_>],
        within: Duration,
    ) -> Result<Vec<Row>, CallError> {
        self.warning = None;
        let (client, driving) = self.split();
        drive(client.query_typed(sql, parameters), driving, within).await
    }

    /// Runs statements, of which the answers do not matter.
    pub(crate) async fn run(&mut self, sql: &str, within: Duration) -> Result<(), CallError> {
        self.warning = None;
        let (client, driving) = self.split();
        drive(client.batch_execute(sql), driving, within).await
    }

    /// Waits until the server says that there is something new.
    pub(crate) async fn notification(&mut self) -> Result<(), CallError> {
        let (_client, mut driving) = self.split();
        poll_fn(|context| {
            let driven = driving.poll(context);
            if std::mem::take(driving.notified) {
                return Poll::Ready(Ok(()));
            }
            driven.map(Err)
        })
        .await
    }

    const fn split(&mut self) -> (&Client, Driving<'_>) {
        let driving = Driving {
            driver: &mut self.driver,
            address: &self.server.address,
            notified: &mut self.notified,
            warning: &mut self.warning,
        };
        (&self.client, driving)
    }
}

/// Waits for an answer, and for whatever the server says meanwhile.
async fn drive<T>(
    call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    mut driving: Driving<'_>,
    within: Duration,
) -> Result<T, CallError> {
    let address = driving.address;
    let mut call = pin!(call);
    let answer = poll_fn(|context| {
        if let Poll::Ready(answer) = call.as_mut().poll(context) {
            return Poll::Ready(answer.map_err(|error| CallError::of(address, error)));
        }
        let driven = driving.poll(context);
        // What was read may be the answer, also where the connection ended after it.
        match call.as_mut().poll(context) {
            Poll::Ready(answer) => {
                Poll::Ready(answer.map_err(|error| CallError::of(address, error)))
            }
            Poll::Pending => driven.map(Err),
        }
    });
    match timeout(within, answer).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(CallError::Late {
            address: address.clone(),
            within,
        }),
    }
}

/// What moves bytes while somebody waits.
struct Driving<'a> {
    driver: &'a mut Box<dyn Driver + Send>,
    address: &'a Address,
    notified: &'a mut bool,
    warning: &'a mut Option<String>,
}

impl Driving<'_> {
    /// Moves bytes, and is ready only when the connection is over.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<CallError> {
        loop {
            match self.driver.poll_message(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(message))) => self.note(message),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(CallError::of(self.address, error));
                }
                Poll::Ready(None) => {
                    return Poll::Ready(CallError::Lost {
                        address: self.address.clone(),
                        source: None,
                    });
                }
            }
        }
    }

    fn note(&mut self, message: AsyncMessage) {
        match message {
            AsyncMessage::Notification(_) => *self.notified = true,
            AsyncMessage::Notice(notice) if notice.parsed_severity() == Some(Severity::Warning) => {
                *self.warning = Some(notice.message().to_owned());
            }
            AsyncMessage::Notice(_) | _ => {}
        }
    }
}

/// The part of `tokio-postgres` that reads and writes, over whichever stream.
trait Driver {
    fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>>;
}

impl<S, T> Driver for tokio_postgres::Connection<S, T>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    fn poll_message(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<AsyncMessage, tokio_postgres::Error>>> {
        Self::poll_message(self, context)
    }
}

/// Agrees on TLS, after the server was asked for it.
struct Encrypting {
    address: Address,
    tls: Tls,
}

impl TlsConnect<TcpStream> for Encrypting {
    type Stream = Encrypted;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Encrypted, DialError>> + Send>>;

    fn connect(self, stream: TcpStream) -> Self::Future {
        Box::pin(async move {
            let encrypted = encrypt(&self.address, &self.tls, stream).await;
            encrypted.map(Encrypted)
        })
    }
}

/// A stream under TLS.
struct Encrypted(tokio_rustls::client::TlsStream<TcpStream>);

impl TlsStream for Encrypted {
    /// The password's proof is not bound to the certificate: that was checked already.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
