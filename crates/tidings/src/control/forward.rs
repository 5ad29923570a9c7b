//! Updates on their way from the process that drains to the one that took over. Publishers with a
//! connection to the first are answered as before.
//!
//! ```text
//!   publisher ─▶ Forwarder ─▶ writing thread ══ draft ══▶ serve ─▶ relay ─▶ history
//!             ◀─ reading thread ◀═════════ kept, refused ══════════════════════┘
//! ```

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tidings_cluster::{Done, Key, Relay, RelayError, Successor};
use tidings_core::event_id::EventId;
use tidings_core::position::Position;
use tidings_core::target::{Target, Targets};
use tidings_core::topic::Topic;
use tidings_core::trace::TraceContext;
use tidings_core::update::{Draft, EventType, IdSource, Topics, Update, Visibility};

use super::message::write_line;

/// Updates on their way, at most. Each belongs to a publisher that waits.
const FORWARDED_MAX: usize = 4096;
/// Bytes of a line: an update of the largest size, each byte of it escaped.
const LINE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// An update, as it is sent.
#[derive(Debug, Serialize, Deserialize)]
struct Forwarded {
    number: u64,
    topics: Vec<String>,
    data: Arc<str>,
    /// Nothing for everybody, an empty list for grants, else the targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    targets: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u64>,
    /// The bytes of the idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Vec<u8>>,
    /// The span that its deliveries are linked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

/// What became of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Kept {
        number: u64,
        position: u64,
        id: String,
        published_ms: u64,
    },
    Refused {
        number: u64,
        reason: Reason,
        text: String,
    },
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    Busy,
    Closed,
    Unavailable,
    InDoubt,
    Failed,
}

/// Why an update was not kept, in the words of the other process.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Elsewhere(String);

/// What a publisher of this process wants stored.
type Publication = (Draft, Option<Key>, Done);

/// Sends updates to the process that took over.
pub(crate) struct Forwarder {
    queue: SyncSender<Publication>,
    waiting: Arc<Waiting>,
}

/// Those whose outcome is not known.
struct Waiting {
    state: Mutex<State>,
    /// Hands completions over to the threads that wait for them.
    on_answered: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    next: u64,
    drafts: HashMap<u64, (Draft, Done)>,
    /// Whether the other process is gone.
    lost: bool,
}

impl Forwarder {
    /// Starts its two threads. `on_answered` is called after completions were.
    ///
    /// # Errors
    ///
    /// The system has no thread or descriptor for it.
    pub(crate) fn start(
        stream: UnixStream,
        on_answered: Box<dyn Fn() + Send + Sync>,
    ) -> io::Result<Self> {
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)?;
        let (queue, queued) = sync_channel(FORWARDED_MAX);
        let waiting = Arc::new(Waiting {
            state: Mutex::default(),
            on_answered,
        });
        let outgoing = stream.try_clone()?;
        let its = Arc::clone(&waiting);
        thread::Builder::new()
            .name("forward-write".into())
            .spawn(move || its.send(&outgoing, &queued))?;
        let its = Arc::clone(&waiting);
        thread::Builder::new()
            .name("forward-read".into())
            .spawn(move || its.receive(stream))?;
        Ok(Self { queue, waiting })
    }
}

impl Successor for Forwarder {
    fn publish(&self, draft: Draft, key: Option<Key>, done: Done) {
        if self.waiting.lock().lost {
            return self.waiting.answer(done, Err(gone()));
        }
        match self.queue.try_send((draft, key, done)) {
            Ok(()) => {}
            Err(TrySendError::Full((_, _, done))) => {
                self.waiting.answer(done, Err(RelayError::Busy))
            }
            Err(TrySendError::Disconnected((_, _, done))) => self.waiting.answer(done, Err(gone())),
        }
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forwarder")
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, done: Done, kept: Result<Arc<Update>, RelayError>) {
        done(kept);
        (self.on_answered)();
    }

    /// Sends what is queued, for as long as there is a queue and a peer.
    fn send(&self, stream: &UnixStream, queued: &Receiver<Publication>) {
        let mut out = BufWriter::new(stream);
        for (draft, key, done) in queued {
            let mut state = self.lock();
            if state.lost {
                drop(state);
                self.answer(done, Err(gone()));
                continue;
            }
            let number = state.next;
            state.next += 1;
            let forwarded = Forwarded::of(number, &draft, key.as_ref());
            state.drafts.insert(number, (draft, done));
            drop(state);
            // The reading thread sees a peer that is gone, and answers.
            if let Err(error) = write_line(&mut out, &forwarded).and_then(|()| out.flush()) {
                tracing::debug!(%error, "an update could not be forwarded");
            }
        }
    }

    /// Takes outcomes until the peer is gone.
    fn receive(&self, stream: UnixStream) {
        let mut lines = BufReader::new(stream);
        loop {
            match next_line::<Outcome>(&mut lines) {
                Ok(Some(outcome)) => self.on_outcome(outcome),
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "the process that took over does not answer");
                    break;
                }
            }
        }
        let mut state = self.lock();
        state.lost = true;
        let drafts = std::mem::take(&mut state.drafts);
        drop(state);
        // These were sent, and their outcome was not.
        for (_, done) in drafts.into_values() {
            done(Err(RelayError::InDoubt));
        }
        (self.on_answered)();
    }

    fn on_outcome(&self, outcome: Outcome) {
        let (Outcome::Kept { number, .. } | Outcome::Refused { number, .. }) = &outcome;
        let Some((draft, done)) = self.lock().drafts.remove(number) else {
            return;
        };
        self.answer(done, outcome.into_kept(draft));
    }
}

/// Why an update that was not sent is refused.
fn gone() -> RelayError {
    RelayError::Unavailable {
        cause: Arc::new(Elsewhere("the process that took over is gone".into())),
    }
}

impl Forwarded {
    fn of(number: u64, draft: &Draft, key: Option<&Key>) -> Self {
        let topics = draft.topics.iter();
        let targets = match &draft.visibility {
            Visibility::Public => None,
            // Messages for hubs stay with the process that publishes them, and no draft is withdrawn.
            Visibility::Private | Visibility::Hubs | Visibility::Withdrawn => Some(Vec::new()),
            Visibility::Targeted(targets) => Some(
                targets
                    .iter()
                    .map(|name| name.as_str().to_owned())
                    .collect(),
            ),
        };
        Self {
            number,
            topics: topics.map(|topic| topic.as_str().to_owned()).collect(),
            data: Arc::clone(&draft.data),
            targets,
            id: draft.id.as_ref().map(|id| id.as_str().to_owned()),
            event_type: draft
                .event_type
                .as_ref()
                .map(|name| name.as_str().to_owned()),
            retry_ms: draft.retry_ms,
            key: key.map(|key| key.bytes().to_vec()),
            traceparent: draft.trace.map(|trace| trace.to_string()),
        }
    }

    /// Returns the draft, which the other process has checked and granted.
    fn into_draft(self) -> Result<Draft, Box<dyn std::error::Error>> {
        let topics: Result<Vec<Topic>, _> =
            self.topics.iter().map(|text| Topic::parse(text)).collect();
        let visibility = match self.targets {
            None => Visibility::Public,
            Some(names) => {
                let targets: Result<Vec<Target>, _> =
                    names.iter().map(|text| Target::parse(text)).collect();
                Targets::new(targets?)?.map_or(Visibility::Private, Visibility::Targeted)
            }
        };
        Ok(Draft {
            trace: self.traceparent.as_deref().and_then(TraceContext::parse),
            topics: Topics::new(topics?)?,
            data: self.data,
            visibility,
            id: self.id.as_deref().map(EventId::parse).transpose()?,
            event_type: self
                .event_type
                .as_deref()
                .map(EventType::parse)
                .transpose()?,
            retry_ms: self.retry_ms,
            presence: None,
        })
    }
}

impl Outcome {
    fn of(number: u64, kept: Result<Arc<Update>, RelayError>) -> Self {
        match kept {
            Ok(update) => Self::Kept {
                number,
                position: update.position.get(),
                id: update.id.as_str().to_owned(),
                published_ms: update.published_ms,
            },
            Err(error) => Self::Refused {
                number,
                reason: match &error {
                    RelayError::Busy => Reason::Busy,
                    RelayError::Closed => Reason::Closed,
                    RelayError::Unavailable { .. }
                    | RelayError::Away { .. }
                    // Only in a cluster, whose hubs do not hand over.
                    | RelayError::TooLarge(_) => Reason::Unavailable,
                    RelayError::InDoubt => Reason::InDoubt,
                    RelayError::Failed { .. } => Reason::Failed,
                },
                text: error.to_string(),
            },
        }
    }

    /// Returns what the publisher of `draft` is told.
    fn into_kept(self, draft: Draft) -> Result<Arc<Update>, RelayError> {
        let (position, id, published_ms) = match self {
            Self::Kept {
                position,
                id,
                published_ms,
                ..
            } => (position, id, published_ms),
            Self::Refused { reason, text, .. } => {
                let cause = Arc::new(Elsewhere(text));
                return Err(match reason {
                    Reason::Busy => RelayError::Busy,
                    Reason::Closed => RelayError::Closed,
                    Reason::Unavailable => RelayError::Unavailable { cause },
                    Reason::InDoubt => RelayError::InDoubt,
                    Reason::Failed => RelayError::Failed { cause },
                });
            }
        };
        let id = EventId::parse_stored(&id).map_err(|error| RelayError::Failed {
            cause: Arc::new(error),
        })?;
        Ok(Arc::new(Update {
            trace: None,
            position: Position::new(position),
            print: None,
            id,
            id_source: match draft.id {
                Some(_) => IdSource::Publisher,
                None => IdSource::Hub,
            },
            published_ms,
            topics: draft.topics,
            data: draft.data,
            visibility: draft.visibility,
            event_type: draft.event_type,
            retry_ms: draft.retry_ms,
            presence: None,
            note: None,
        }))
    }
}

/// Publishes what an earlier process forwards, until that process has ended. Calls `on_end` then.
///
/// # Errors
///
/// The system has no thread or descriptor for it.
pub(crate) fn serve(
    stream: UnixStream,
    relay: Arc<dyn Relay>,
    on_end: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    stream.set_read_timeout(None)?;
    stream.set_write_timeout(None)?;
    let outgoing = stream.try_clone()?;
    // As many as may be on their way, so that a completion never waits.
    let (outcomes, to_send) = sync_channel::<Outcome>(FORWARDED_MAX + 1);
    thread::Builder::new()
        .name("forward-write".into())
        .spawn(move || {
            let mut out = BufWriter::new(outgoing);
            for outcome in to_send {
                // A peer that is gone needs no answer; its publishers were told.
                if write_line(&mut out, &outcome)
                    .and_then(|()| out.flush())
                    .is_err()
                {
                    return;
                }
            }
        })?;
    thread::Builder::new()
        .name("forward-read".into())
        .spawn(move || {
            let mut lines = BufReader::new(stream);
            let end = loop {
                match next_line(&mut lines) {
                    Ok(Some(forwarded)) => publish(&*relay, forwarded, &outcomes),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            if let Err(error) = end {
                tracing::warn!(%error, "the earlier process ended in the middle of an update");
            }
            on_end();
        })?;
    Ok(())
}

fn publish(relay: &dyn Relay, forwarded: Forwarded, outcomes: &SyncSender<Outcome>) {
    let number = forwarded.number;
    let key = forwarded.key.as_deref().and_then(Key::new);
    let refuse = |text: String, reason| {
        drop(outcomes.try_send(Outcome::Refused {
            number,
            reason,
            text,
        }));
    };
    let draft = match forwarded.into_draft() {
        Ok(draft) => draft,
        Err(error) => return refuse(error.to_string(), Reason::Failed),
    };
    let answer = outcomes.clone();
    let done: Done = Box::new(move |kept| drop(answer.try_send(Outcome::of(number, kept))));
    if let Err(error) = relay.publish(draft, key, done) {
        drop(outcomes.try_send(Outcome::of(number, Err(error))));
    }
}

/// Reads a line. Returns nothing at the end.
fn next_line<T: DeserializeOwned>(lines: &mut BufReader<UnixStream>) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let read = lines.take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
    match read {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        // The process was killed with answers unread.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

#[cfg(test)]
mod tests;
