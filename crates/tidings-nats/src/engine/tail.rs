//! Following the line: a pull consumer, whose messages arrive as they are stored.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_nats::{Message, StatusCode, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::json;
use tidings_access::{Address, Connected, Taken};
use tidings_cluster::engine::{BATCH_BYTES_MAX, EngineError, Path, Tailed};
use tidings_core::Position;
use tokio::time::sleep;

use super::Nats;
use super::reading::Reach;
use crate::api::{Api, Stored};
use crate::connection::Connection;
use crate::entry::HEADER;
use crate::error::{CallError, ConnectError, unreachable};

/// Messages of one pull.
const PULL_MAX: u64 = 256;
/// How long a server keeps a consumer that pulls nothing.
const INACTIVE_MAX: Duration = Duration::from_secs(60);
/// How soon a pull that nobody took is sent again.
const PULL_PAUSE: Duration = Duration::from_millis(5);
/// How much longer than a pull runs its end is waited for.
const PULL_GRACE: Duration = Duration::from_secs(1);

/// The connection of a follower.
#[derive(Debug)]
pub(super) struct Tail {
    connection: Connection,
    follow: Option<Follow>,
}

impl Connected for Tail {
    type Server = Address;

    fn server(&self) -> &Address {
        self.connection.address()
    }
}

/// A consumer, and what came of it.
#[derive(Debug)]
struct Follow {
    consumer: String,
    inbox: String,
    messages: Subscriber,
    /// Received and not returned.
    waiting: VecDeque<Stored>,
    /// What is returned next.
    next: Position,
    /// What is received next.
    comes: u64,
    pull: Option<Pull>,
    /// Whether the next message is larger than a pull may be.
    large: bool,
    /// Whether nobody took the last pull.
    is_unheard: bool,
}

/// A request for messages that is not answered yet.
#[derive(Debug)]
struct Pull {
    ends_at: Instant,
    left: u64,
}

#[derive(Deserialize)]
struct Made {
    name: String,
}

impl Nats {
    pub(super) async fn follow(
        &self,
        after: Position,
        bytes_max: u64,
    ) -> Result<Tailed, EngineError> {
        let (mut tail, ticket) = match self.tail.take() {
            Taken::Open(tail, _) if tail.connection.is_lost() => {
                return Err(self.lost(&tail.connection));
            }
            Taken::Open(tail, ticket) => (tail, ticket),
            Taken::Empty(ticket) => {
                let connection = self.open(Path::Tail).await?;
                let follow = None;
                (Tail { connection, follow }, ticket)
            }
            Taken::Moved => return Err(unreachable(ConnectError::Moved)),
        };
        let result = self.follow_on(&mut tail, after, bytes_max).await;
        match &result {
            Ok(_tailed) => self.tail.put(tail, ticket),
            Err(error) => {
                if error.keeps_connection() {
                    tail.follow = None;
                    self.tail.put(tail, ticket);
                } else {
                    self.avoid(tail.connection.address());
                }
            }
        }
        result.map_err(CallError::into_engine)
    }

    async fn follow_on(
        &self,
        tail: &mut Tail,
        after: Position,
        bytes_max: u64,
    ) -> Result<Tailed, CallError> {
        let Tail {
            connection,
            follow: held,
        } = tail;
        let api = self.api(connection);
        let mut follow = match held.take() {
            Some(follow) if follow.next == after.next() => follow,
            _ => match self.begin(&api, after).await? {
                Ok(follow) => follow,
                Err(told) => return Ok(told),
            },
        };
        let until = Instant::now() + self.options.timeouts.wait;
        while follow.waiting.is_empty() {
            let Some(rest) = until.checked_duration_since(Instant::now()) else {
                return self.after_silence(&api, held, follow, after).await;
            };
            self.pull(&api, &mut follow).await?;
            let message = connection.next(&mut follow.messages, rest).await;
            let message = match message {
                Err(CallError::Late { .. }) => continue,
                // A consumer that has just been made is not known everywhere; or it is gone.
                Err(CallError::NoResponders { .. }) => {
                    follow.pull = None;
                    follow.is_unheard = true;
                    sleep(PULL_PAUSE).await;
                    continue;
                }
                message => message?,
            };
            self.on_message(connection, &mut follow, message)?;
        }
        // What has arrived in the meantime.
        while follow.waiting_bytes() < bytes_max
            && let Some(Some(message)) = follow.messages.next().now_or_never()
        {
            self.on_message(connection, &mut follow, message)?;
        }
        let entries = follow.take(bytes_max)?;
        *held = Some(follow);
        Ok(Tailed::Entries(entries))
    }

    /// Makes a consumer of what comes after a position.
    async fn begin(
        &self,
        api: &Api<'_>,
        after: Position,
    ) -> Result<Result<Follow, Tailed>, CallError> {
        match self.reach(api, after).await? {
            Reach::Not(told) => return Ok(Err(told)),
            Reach::There | Reach::End => {}
        }
        let stream = &self.names.line;
        let config = json!({
            "stream_name": stream,
            "config": {
                "deliver_policy": "by_start_sequence",
                "opt_start_seq": after.next().get(),
                "ack_policy": "none",
                "replay_policy": "instant",
                "mem_storage": true,
                "num_replicas": 1,
                "inactive_threshold": nanoseconds(INACTIVE_MAX),
            },
        });
        let made = api
            .call::<Made>(&format!("CONSUMER.CREATE.{stream}"), &config)
            .await;
        let made = match made {
            // There is no line yet: whoever waits for its first entry waits.
            Err(CallError::Said(error)) if error.meaning() == crate::api::Meaning::NoStream => {
                sleep(self.options.timeouts.wait).await;
                return Ok(Err(Tailed::Entries(Vec::new())));
            }
            made => made?,
        };
        let (inbox, messages) = api.connection.inbox().await?;
        Ok(Ok(Follow {
            consumer: made.name,
            inbox,
            messages,
            waiting: VecDeque::new(),
            next: after.next(),
            comes: after.next().get(),
            pull: None,
            large: false,
            is_unheard: false,
        }))
    }

    /// Asks for messages, if no such request is on its way.
    async fn pull(&self, api: &Api<'_>, follow: &mut Follow) -> Result<(), CallError> {
        if let Some(pull) = &follow.pull {
            // The server tells when a pull ends: one that says nothing has forgotten it.
            return match pull.ends_at + PULL_GRACE < Instant::now() {
                true => Err(CallError::Late {
                    address: api.connection.address().clone(),
                    within: PULL_GRACE,
                }),
                false => Ok(()),
            };
        }
        let expires = self.options.timeouts.wait;
        let left = if follow.large { 1 } else { PULL_MAX };
        let mut request = json!({ "batch": left, "expires": nanoseconds(expires) });
        if !follow.large
            && let Some(request) = request.as_object_mut()
        {
            request.insert("max_bytes".to_owned(), BATCH_BYTES_MAX.into());
        }
        let stream = &self.names.line;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{}", follow.consumer);
        let inbox = follow.inbox.clone();
        api.connection
            .ask(subject, inbox, request.to_string().into())
            .await?;
        follow.pull = Some(Pull {
            ends_at: Instant::now() + expires,
            left,
        });
        follow.large = false;
        Ok(())
    }

    fn on_message(
        &self,
        connection: &Connection,
        follow: &mut Follow,
        message: Message,
    ) -> Result<(), CallError> {
        follow.is_unheard = false;
        match message.status {
            None => {}
            Some(StatusCode::IDLE_HEARTBEAT) => return Ok(()),
            Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => {
                follow.pull = None;
                return Ok(());
            }
            Some(StatusCode::REQUEST_TERMINATED) => {
                let why = message.description.unwrap_or_default();
                follow.pull = None;
                follow.large = why == "Message Size Exceeds MaxBytes";
                if follow.large || why == "Batch Completed" {
                    return Ok(());
                }
                // The consumer is gone, or moves to another server.
                return Err(CallError::Lost {
                    address: connection.address().clone(),
                });
            }
            Some(_other) => {
                let what = format!("a status {:?} to a follower", message.status);
                return Err(CallError::Unreadable { what });
            }
        }
        let seq = message.reply.as_deref().and_then(sequence_of);
        if seq != Some(follow.comes) {
            let what = format!("message {seq:?} where {} comes next", follow.comes);
            return Err(CallError::Unreadable { what });
        }
        let header = message
            .headers
            .as_ref()
            .and_then(|headers| headers.get_last(HEADER));
        let stored = Stored {
            subject: message.subject.to_string(),
            seq: follow.comes,
            header: header.map(|value| value.as_str().to_owned()),
            payload: message.payload,
            stored_ms: 0,
        };
        follow.comes += 1;
        self.on_followed(&stored);
        follow.waiting.push_back(stored);
        if let Some(pull) = &mut follow.pull {
            pull.left = pull.left.saturating_sub(1);
            if pull.left == 0 {
                follow.pull = None;
            }
        }
        Ok(())
    }

    /// Nothing came: perhaps because the line is not what it was.
    async fn after_silence(
        &self,
        api: &Api<'_>,
        held: &mut Option<Follow>,
        follow: Follow,
        after: Position,
    ) -> Result<Tailed, CallError> {
        match self.reach(api, after).await? {
            Reach::Not(told) => Ok(told),
            Reach::End => {
                *held = Some(follow).filter(|follow| !follow.is_unheard);
                Ok(Tailed::Entries(Vec::new()))
            }
            // It has just come. If it does not arrive, the next call makes another consumer.
            Reach::There => Ok(Tailed::Entries(Vec::new())),
        }
    }
}

impl Follow {
    fn waiting_bytes(&self) -> u64 {
        let bytes = self
            .waiting
            .iter()
            .map(|stored| stored.payload.len() as u64);
        bytes.sum()
    }

    /// Takes what stays within the bytes, or one.
    fn take(&mut self, bytes_max: u64) -> Result<Vec<tidings_cluster::engine::Entry>, CallError> {
        let mut entries = Vec::new();
        let mut bytes = 0;
        while let Some(stored) = self.waiting.pop_front_if(|stored| {
            bytes += stored.payload.len() as u64;
            bytes <= bytes_max || entries.is_empty()
        }) {
            let position = Position::new(stored.seq);
            entries.push(stored.head()?.entry(position, &stored.payload));
            self.next = position.next();
        }
        Ok(entries)
    }
}

/// Reads the stream's sequence of a message's address for acknowledgements:
/// `$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.…`, or with domain and account before the stream.
fn sequence_of(reply: &str) -> Option<u64> {
    let fields: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
    let index = if fields.len() > SHORT_FIELDS { 5 } else { 3 };
    fields.get(index)?.parse().ok()
}

/// Fields without domain and account.
const SHORT_FIELDS: usize = 7;

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
