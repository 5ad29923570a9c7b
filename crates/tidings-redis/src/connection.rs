//! One connection to one server: opened with TLS and a login, one command at a time.
//!
//! The socket, its options, TLS and all times are ours, and the `redis` crate speaks the protocol
//! on it: so neither its response timeout (500 ms, which would end every wait of a follower) nor
//! Nagle's algorithm is in the way. Its driver is not a task: it runs while a command waits.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, Value};
use tidings_access::{Address, Connected, DialError, Login, Tls, Watch, connect, encrypt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::answer;
use crate::error::{CallError, ConnectError};
use crate::options::Place;
use crate::script::Run;

/// An open connection.
pub(crate) struct Connection {
    client: MultiplexedConnection,
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The same socket, to be looked at between calls.
    socket: Watch,
    address: Address,
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
    /// Connects, agrees on TLS, logs in; all of it `within` that time.
    pub(crate) async fn open(
        address: &Address,
        tls: Option<&Tls>,
        login: &Login,
        within: Duration,
    ) -> Result<Self, ConnectError> {
        let open = async {
            let stream = connect(address).await?;
            let socket = Watch::new(&stream).map_err(|source| DialError::Connect {
                address: address.clone(),
                source,
            })?;
            let mut connection = match tls {
                None => Self::over(address, socket, stream).await?,
                Some(tls) => {
                    let stream = encrypt(address, tls, stream).await?;
                    Self::over(address, socket, stream).await?
                }
            };
            connection.log_in(login, within).await?;
            Ok(connection)
        };
        match timeout(within, open).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(ConnectError::Late {
                address: address.clone(),
                within,
            }),
        }
    }

    async fn over(
        address: &Address,
        socket: Watch,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Self, ConnectError> {
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (client, driver) = made.map_err(|source| ConnectError::Setup {
            address: address.clone(),
            source,
        })?;
        Ok(Self {
            client,
            driver: Box::pin(driver),
            socket,
            address: address.clone(),
        })
    }

    async fn log_in(&mut self, login: &Login, within: Duration) -> Result<(), ConnectError> {
        let Some(password) = login.password() else {
            return Ok(());
        };
        // Without a name, it is the password of the user `default`.
        let mut auth = redis::cmd("AUTH");
        auth.arg(login.username()).arg(password);
        let answer = self.call(&auth, within).await;
        answer.map(drop).map_err(|source| ConnectError::Login {
            address: self.address.clone(),
            source,
        })
    }

    /// Asks the server for its role, where something else than the operator named it the primary.
    pub(crate) async fn must_be_primary(
        &mut self,
        place: &Place,
        within: Duration,
    ) -> Result<(), ConnectError> {
        let Place::Sentinel { .. } = place else {
            return Ok(());
        };
        let answer = self.call(&redis::cmd("ROLE"), within).await;
        let answer = answer.map_err(|source| ConnectError::Role {
            address: self.address.clone(),
            source,
        })?;
        let role = answer::role(answer);
        match role.as_deref() {
            Some("master") => Ok(()),
            role => Err(ConnectError::NotPrimary {
                address: self.address.clone(),
                role: role.unwrap_or("?").to_owned(),
            }),
        }
    }

    /// Runs a script by its digest; by its text if the server does not know it. It did nothing
    /// then.
    pub(crate) async fn run(&mut self, run: &Run, within: Duration) -> Result<Value, CallError> {
        match self.call(&run.by_digest(), within).await {
            Err(error) if error.is_unknown_script() => self.call(&run.by_text(), within).await,
            answer => answer,
        }
    }

    /// Returns whether the server has closed the connection since the last call. Then nothing is
    /// sent on it, so that no call is in doubt for nothing.
    pub(crate) fn is_closed(&self) -> bool {
        self.socket.is_closed()
    }

    /// Sends a command and returns its answer. After an error that does not
    /// [keep the connection](CallError::keeps_connection), and after the future was dropped, the
    /// connection must not be used again.
    pub(crate) async fn call(
        &mut self,
        command: &Cmd,
        within: Duration,
    ) -> Result<Value, CallError> {
        let address = &self.address;
        let answer = async {
            tokio::select! {
                biased;
                answer = self.client.send_packed_command(command) => {
                    answer.and_then(Value::extract_error).map_err(|error| CallError::of(address, error))
                }
                () = &mut self.driver => Err(CallError::Lost {
                    address: address.clone(),
                    source: None,
                }),
            }
        };
        match timeout(within, answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(CallError::Late {
                address: address.clone(),
                within,
            }),
        }
    }
}
