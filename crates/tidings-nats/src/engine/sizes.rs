//! Updates that are larger than the servers take. A start checks that none of those that the hub lets in
//! is, so an operator has lowered a bound since: of the servers, or of the stream. Such an update is
//! refused alone, before anything of its batch is sent if the bound is known by then.

use std::time::{Duration, Instant};

use tidings_cluster::engine::TooLarge;

use super::Nats;
use super::append::Draft;
use crate::api::{Api, Meaning};
use crate::connection::{Connection, Outgoing};
use crate::error::CallError;

/// How long what a server said of its bound is believed. Longer makes a bound that was raised known
/// late, and shorter costs a connection for each update that is refused.
const BOUND_KNOWN: Duration = Duration::from_secs(5);

/// The bound of a server, and that of a stream.
const OF_SERVER: &str = "max_payload";
const OF_STREAM: &str = "max_msg_size";
/// A bound that is not known. Servers tell that of an account or a user in a second INFO after CONNECT,
/// which the client library does not read.
const OF_SOMEONE: &str = "max_payload (server, account or user)";

/// The messages of a batch: for each the index of its item, and its bytes.
pub(super) struct Sizes(Vec<(u32, u64)>);

impl Sizes {
    pub(super) fn of(messages: &[Outgoing], drafts: &[Draft]) -> Self {
        let size = |(message, draft): (&Outgoing, &Draft)| (draft.head.item, message.bytes());
        Self(messages.iter().zip(drafts).map(size).collect())
    }

    /// Finds the first that is larger than `max`.
    fn over(&self, max: u64, setting: &'static str) -> Option<TooLarge> {
        let over = self.0.iter().find(|(_, bytes)| *bytes > max);
        over.map(|&(index, bytes)| TooLarge {
            index: index as usize,
            bytes,
            max,
            setting,
        })
    }

    /// Finds the largest, which is over the bound if any is.
    fn largest(&self, setting: &'static str) -> Option<TooLarge> {
        let largest = self.0.iter().max_by_key(|(_, bytes)| *bytes);
        largest.map(|&(index, bytes)| TooLarge {
            index: index as usize,
            bytes,
            max: bytes.saturating_sub(1),
            setting,
        })
    }
}

impl Nats {
    /// Refuses a batch of which the server would not take a message.
    pub(super) async fn check_sizes(&self, api: &Api<'_>, sizes: &Sizes) -> Result<(), CallError> {
        let connection = api.connection;
        let Some(known) = sizes.over(connection.max_payload(), OF_SERVER) else {
            return Ok(());
        };
        if connection.bound_said().get().elapsed() < BOUND_KNOWN {
            return Err(CallError::Unfit(known));
        }
        let Some(max) = self.bound_now(api).await else {
            return Err(CallError::Unfit(known));
        };
        match sizes.over(max, OF_SERVER) {
            Some(too_large) => {
                connection.bound_said().set(Instant::now());
                Err(CallError::Unfit(too_large))
            }
            // The client library goes by what the server said to it.
            None => Err(CallError::Elsewhere {
                reason: "max_payload was raised: a new connection will know".into(),
            }),
        }
    }

    /// Returns why a batch was not stored, if its largest message is to blame.
    pub(super) async fn unfit(&self, api: &Api<'_>, sizes: &Sizes, error: CallError) -> CallError {
        let too_large = if matches!(error, CallError::Violated { .. }) {
            let max = self.bound_now(api).await;
            let over = max.and_then(|max| sizes.over(max, OF_SERVER));
            over.or_else(|| sizes.largest(OF_SOMEONE))
        } else if let CallError::Said(said) = &error
            && let meaning @ (Meaning::TooLarge | Meaning::Incomplete) = said.meaning()
        {
            let max = self.bound_of_stream(api).await;
            let over = max.and_then(|max| sizes.over(max, OF_STREAM));
            // A batch can lack a message for other reasons.
            let any = || {
                sizes
                    .largest(OF_STREAM)
                    .filter(|_| meaning == Meaning::TooLarge)
            };
            over.or_else(any)
        } else {
            None
        };
        too_large.map_or(error, CallError::Unfit)
    }

    /// Asks the server for its bound: it tells it to new connections alone.
    async fn bound_now(&self, api: &Api<'_>) -> Option<u64> {
        let address = api.connection.address();
        let asking = Connection::open(address, &self.options).await.ok()?;
        Some(asking.max_payload())
    }

    async fn bound_of_stream(&self, api: &Api<'_>) -> Option<u64> {
        let info = api.info(&self.names.line, &serde_json::Value::Null).await;
        u64::try_from(info.ok()??.setting(OF_STREAM)?).ok()
    }
}
