//! How a member reaches the other hubs of its cluster: the interface, its question and its errors. Who
//! runs a member over real sockets implements it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::Cause;
use crate::page::{Ask, Page, PageError};

/// Where a hub answers others, below its address.
pub const PATH: &str = "/cluster/v1/updates";

/// A question to another hub.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// Its number: an answer that comes after the next question is recognized by it.
    pub ticket: u64,
    /// Where the other hub is, as it says in its lease.
    pub address: Arc<str>,
    /// What is asked for.
    pub ask: Ask,
}

/// Asks other hubs for updates.
pub trait Peers: fmt::Debug + Send {
    /// Asks the hub at `address`. The answer comes within a bounded time, and its size is bounded.
    fn fetch(&self, address: Arc<str>, ask: Ask) -> PeerCall<'_>;
}

/// The answer of another hub, on its way.
pub type PeerCall<'a> = Pin<Box<dyn Future<Output = Result<Page, PeerError>> + Send + 'a>>;

/// Why another hub gave no page.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PeerError {
    /// Its address is none.
    #[error("its cluster.address is not the URL of a hub")]
    Address,
    /// No answer came.
    #[error("it does not answer")]
    Unreachable {
        /// The fault.
        #[source]
        cause: Cause,
    },
    /// It does not take the token.
    #[error("it refuses the token: cluster.peer_token must be the same on all hubs")]
    Token,
    /// It has no token itself, or is no hub of a cluster.
    #[error("it gives updates to no other hub: its cluster.peer_token is not set")]
    Off,
    /// It cannot answer now, or is no hub.
    #[error("it answers with the status {status}")]
    Refused {
        /// The status.
        status: u16,
    },
    /// Its answer cannot be read.
    #[error("its answer is not a page of updates")]
    Unreadable(#[from] PageError),
}

impl PeerError {
    /// Returns the error and its causes as one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            line.push_str(": ");
            line.push_str(&error.to_string());
            cause = error.source();
        }
        line
    }
}
