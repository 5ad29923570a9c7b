//! When a follower looks again: woken by a notification on a connection of its own, or after a while.
//!
//! A notification says nothing, so that missing one costs no more than the while.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tidings_access::Connected as _;
use tokio::time::{Instant, sleep_until};

use crate::connection::{Connection, Server};
use crate::error::ConnectError;
use crate::options::Options;
use crate::schema::identifier;
use crate::servers;

/// How long until a connection that failed is opened again.
const AGAIN: Duration = Duration::from_secs(2);

/// Waits for notifications.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    state: RefCell<State>,
    /// The primary, as far as a probe has found it.
    primary: RefCell<Option<Server>>,
}

/// A wait takes it out, and gives it back at its end.
enum State {
    /// There is no connection, and none is opened before that time.
    None(Option<Instant>),
    /// One is being opened, over as many waits as it takes.
    Opening(Opening),
    /// There is one.
    Listening(Box<Connection>),
}

type Opening = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send>>;

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Woken {
    /// There is something new, or may be.
    New,
    /// The time is over.
    Late,
}

impl Wake {
    pub(crate) fn close(&self) {
        self.state.take();
    }

    /// Notes which server is the primary: a later wait listens to no other one.
    pub(crate) fn note_primary(&self, primary: &Server) {
        self.primary.replace(Some(primary.clone()));
    }

    /// Waits until there may be something new, and no longer than `until`.
    pub(crate) async fn wait(&self, options: &Arc<Options>, until: Instant) -> Woken {
        let mut state = self.state.take();
        if state.is_elsewhere(self.primary.borrow().as_ref()) {
            state = State::default();
        }
        let woken = tokio::select! {
            biased;
            () = state.listen(options) => Woken::New,
            () = sleep_until(until) => Woken::Late,
        };
        self.state.replace(state);
        woken
    }
}

impl State {
    fn is_elsewhere(&self, primary: Option<&Server>) -> bool {
        match (self, primary) {
            (Self::Listening(connection), Some(primary)) => !connection.server().is_same(primary),
            (Self::Listening(_), None) | (Self::None(_) | Self::Opening(_), _) => false,
        }
    }

    /// Waits for a notification, on a connection that is opened where there is none.
    async fn listen(&mut self, options: &Arc<Options>) {
        loop {
            *self = match self {
                Self::None(None) => Self::Opening(Box::pin(open(Arc::clone(options)))),
                Self::None(Some(not_before)) => {
                    sleep_until(*not_before).await;
                    Self::None(None)
                }
                Self::Opening(opening) => match opening.await {
                    Ok(connection) => {
                        *self = Self::Listening(Box::new(connection));
                        // What came before the server listened for us is there to be read.
                        return;
                    }
                    Err(_told_by_the_checks) => Self::None(Some(Instant::now() + AGAIN)),
                },
                Self::Listening(connection) => match connection.notification().await {
                    Ok(()) => return,
                    Err(_lost) => Self::None(Some(Instant::now() + AGAIN)),
                },
            };
        }
    }
}

/// Opens a connection on which the server says when there is something new.
pub(crate) async fn open(options: Arc<Options>) -> Result<Connection, ConnectError> {
    let place = options.notify.as_ref().unwrap_or(&options.place);
    let mut connection = servers::primary(&options, place).await?;
    let listen = format!("LISTEN {}", identifier(&options.name.to_string()));
    let listening = connection.run(&listen, options.timeouts.answer).await;
    listening.map_err(|source| ConnectError::Who {
        address: connection.server().address.clone(),
        source,
    })?;
    Ok(connection)
}

impl Default for State {
    fn default() -> Self {
        Self::None(None)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None(_) => "None",
            Self::Opening(_) => "Opening",
            Self::Listening(_) => "Listening",
        })
    }
}
