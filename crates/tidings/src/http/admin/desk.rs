//! What the admin API asks of the control thread, which alone changes the hub as a whole: verbs that reach every
//! shard, a reload, the end. A request that is dropped half-way does not stop what it asked for.

use tokio::sync::{mpsc, oneshot};

use crate::http::problem::Problem;
use tidings_hub::metrics::Totals;
use tidings_hub::refusal::Refusal;
use tidings_hub::steering::{Done, Scope, SteerError, Verb};

/// Wishes that may wait for the control thread.
const WISHES_MAX: usize = 32;

/// The way to the control thread. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Desk(mpsc::Sender<Wish>);

/// Something that the control thread is asked for.
#[derive(Debug)]
pub(crate) enum Wish {
    /// A verb, and who takes what became of it.
    Steer(Verb, oneshot::Sender<Result<(Done, Scope), SteerError>>),
    /// To read the configuration again.
    Reload(oneshot::Sender<Reloaded>),
    /// The figures of the last minutes.
    Rates(oneshot::Sender<Vec<Sample>>),
    /// To end the hub as a signal would.
    Drain,
}

/// What became of a reload, as `tidings reload --json` prints it; or everything that is wrong.
pub(crate) type Reloaded = Result<serde_json::Value, Vec<String>>;

/// The figures of one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// When, in Unix milliseconds.
    pub(crate) time_ms: u64,
    pub(crate) totals: Totals,
    /// Connections that were open.
    pub(crate) connections: u64,
}

impl Desk {
    /// Makes the way, and its other end.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Wish>) {
        let (wishes, receiver) = mpsc::channel(WISHES_MAX);
        (Self(wishes), receiver)
    }

    /// Has a verb done, in a cluster by every hub.
    ///
    /// # Errors
    ///
    /// Why it was not done, or not to the end, or not everywhere.
    pub(super) async fn steer(&self, verb: Verb) -> Result<(Done, Scope), Problem> {
        let done = self.ask(|reply| Wish::Steer(verb, reply)).await?;
        done.map_err(|error| match error {
            SteerError::Stopping => stopping(),
            error @ SteerError::Busy(_) => busy(error.to_string()),
            error @ SteerError::NotTold(_) => {
                Refusal::unavailable("not-told", "Not done everywhere", error.to_string()).into()
            }
            SteerError::Revoke(error) => {
                Refusal::unavailable("not-revoked", "Not done", error.to_string()).into()
            }
            SteerError::Purge(error) => {
                let detail = match std::error::Error::source(&error) {
                    Some(cause) => format!("the topic was not purged to the end: {cause}"),
                    None => format!("the topic was not purged to the end: {error}"),
                };
                Refusal::unavailable("not-purged", "Not purged", detail).into()
            }
        })
    }

    /// Has the configuration read again.
    ///
    /// # Errors
    ///
    /// The hub is being stopped.
    pub(super) async fn reload(&self) -> Result<Reloaded, Problem> {
        self.ask(Wish::Reload).await
    }

    /// Returns the figures of the last minutes, oldest first.
    ///
    /// # Errors
    ///
    /// The hub is being stopped.
    pub(super) async fn rates(&self) -> Result<Vec<Sample>, Problem> {
        self.ask(Wish::Rates).await
    }

    /// Ends the hub.
    ///
    /// # Errors
    ///
    /// It is being stopped already.
    pub(super) fn drain(&self) -> Result<(), Problem> {
        self.put(Wish::Drain)
    }

    async fn ask<T>(&self, wish: impl FnOnce(oneshot::Sender<T>) -> Wish) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.put(wish(reply))?;
        answer.await.map_err(|_gone| stopping())
    }

    fn put(&self, wish: Wish) -> Result<(), Problem> {
        self.0.try_send(wish).map_err(|refused| match refused {
            mpsc::error::TrySendError::Closed(_) => stopping(),
            mpsc::error::TrySendError::Full(_) => {
                busy("too many commands of operators wait; try again")
            }
        })
    }
}

fn busy(detail: impl Into<String>) -> Problem {
    Refusal::unavailable("busy", "The hub is busy", detail).into()
}

fn stopping() -> Problem {
    let detail = "the hub is being stopped";
    Refusal::unavailable("stopping", "The hub is stopping", detail).into()
}
