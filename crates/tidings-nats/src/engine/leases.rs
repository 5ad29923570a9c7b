//! Leases, by the clock of the server that leads their stream: a lease is the last message of its
//! subject, and runs from the time at which that was stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use serde_json::{Value, json};
use tidings_cluster::engine::{
    Claimed, EngineError, Lease, LeaseName, Leased, NodeLease, Note, Path, Sender,
};
use tidings_cluster::safety::Holders;
use tokio::time::sleep;

use super::Nats;
use crate::api::{Ack, Api, Meaning, Stored};
use crate::entry::HEADER;
use crate::error::CallError;
use crate::names;

/// How long it is known that a node was claimed, so that one that was paused learns of it.
const CLAIMED_TTL: &str = "168h";
/// How soon a lease is tried again that somebody else changes meanwhile: what another server is about to
/// store is seen then.
const RACE_PAUSE: Duration = Duration::from_millis(5);
/// How soon a stream that has just been made is used.
const MADE_PAUSE: Duration = Duration::from_millis(10);

/// A lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Of a node.
    Live { ttl_ms: u64 },
    /// Of a node that somebody stands in for.
    Claimed { by: Sender },
    /// Of a name.
    Held { by: Sender, ttl_ms: u64 },
    /// Of a name that was given up.
    Free,
}

/// A lease as it is, and by which revision it may be changed.
struct Found {
    state: State,
    payload: Bytes,
    revision: u64,
    stored_ms: u64,
}

impl Nats {
    pub(super) async fn take_lease(&self, lease: Lease) -> Result<Leased, EngineError> {
        self.on(Path::Control, async |api| {
            let start = Instant::now();
            while start.elapsed() < api.within {
                let leased = match &lease.name {
                    LeaseName::Node => self.take_own(api, &lease).await?,
                    LeaseName::Named(name) => self.take_named(api, name, &lease).await?,
                };
                if let Some(leased) = leased {
                    return Ok(leased);
                }
            }
            Err(CallError::Crowded)
        })
        .await
    }

    /// Nothing if somebody else changed it meanwhile.
    async fn take_own(&self, api: &Api<'_>, lease: &Lease) -> Result<Option<Leased>, CallError> {
        let subject = self.names.node(lease.holder);
        let found = self.find(api, &subject).await?;
        if let Some(State::Claimed { by }) = found.as_ref().map(|found| &found.state) {
            return Ok(Some(Leased::HeldBy(*by, None)));
        }
        let revision = found.as_ref().map_or(0, |found| found.revision);
        let earlier = found.map(|found| found.payload).unwrap_or_default();
        let record = lease
            .record
            .as_deref()
            .map_or(earlier, Bytes::copy_from_slice);
        let live = State::Live {
            ttl_ms: lease.ttl_ms,
        };
        let done = self.change(api, &subject, revision, &live, record).await?;
        Ok(done.then_some(Leased::Held(None)))
    }

    /// Nothing if somebody else changed it meanwhile.
    async fn take_named(
        &self,
        api: &Api<'_>,
        name: &str,
        lease: &Lease,
    ) -> Result<Option<Leased>, CallError> {
        let subject = self.names.held(name);
        let found = self.find(api, &subject).await?;
        let revision = found.as_ref().map_or(0, |found| found.revision);
        let payload = found.as_ref().map(|found| found.payload.clone());
        let holder = match &found {
            Some(found) => self.holder(api, found).await?,
            None => None,
        };
        let left = note(payload.as_ref());
        match holder {
            Some(by) if by != lease.holder => return Ok(Some(Leased::HeldBy(by, left))),
            None if lease.ttl_ms == 0 => return Ok(Some(Leased::Held(left))),
            Some(_) | None => {}
        }
        let state = match lease.ttl_ms {
            0 => State::Free,
            ttl_ms => State::Held {
                by: lease.holder,
                ttl_ms,
            },
        };
        let record = lease.record.as_deref().map(Bytes::copy_from_slice);
        let payload = record.or(payload).unwrap_or_default();
        let left = note(Some(&payload));
        let done = self
            .change(api, &subject, revision, &state, payload)
            .await?;
        Ok(done.then_some(Leased::Held(left)))
    }

    /// Returns who holds named leases now.
    pub(crate) async fn holders_of(&self, wanted: &[Arc<str>]) -> Result<Holders, EngineError> {
        self.on(Path::Control, async |api| {
            let mut holders = Vec::with_capacity(wanted.len());
            for name in wanted {
                let holder = match self.find(api, &self.names.held(name)).await? {
                    Some(found) => self.holder(api, &found).await?,
                    None => None,
                };
                holders.push((Arc::clone(name), holder));
            }
            Ok(holders)
        })
        .await
    }

    /// Returns who holds a named lease, if it runs.
    async fn holder(&self, api: &Api<'_>, found: &Found) -> Result<Option<Sender>, CallError> {
        let State::Held { by, ttl_ms } = found.state else {
            return Ok(None);
        };
        let now_ms = self.lease_now(api).await?;
        Ok((now_ms < found.stored_ms.saturating_add(ttl_ms)).then_some(by))
    }

    pub(super) async fn node_leases(&self) -> Result<Vec<NodeLease>, EngineError> {
        self.on(Path::Control, async |api| {
            let filter = json!({ "subjects_filter": format!("{}.n.>", self.names.leases) });
            let Some(info) = api.info(&self.names.leases, &filter).await? else {
                return Ok(Vec::new());
            };
            let now_ms = info.now_ms().unwrap_or_default();
            let mut leases = Vec::new();
            for subject in info.state.subjects.unwrap_or_default().keys() {
                let holder = self.names.holder_of(subject);
                let holder = holder.ok_or_else(|| CallError::Unreadable {
                    what: format!("a lease of a node {subject:?}"),
                })?;
                let found = self.find(api, subject).await?;
                if let Some(found) = found
                    && let State::Live { ttl_ms } = found.state
                {
                    leases.push(NodeLease {
                        holder,
                        record: Arc::from(&*found.payload),
                        alive: now_ms < found.stored_ms.saturating_add(ttl_ms),
                    });
                }
            }
            Ok(leases)
        })
        .await
    }

    pub(super) async fn claim_node(
        &self,
        dead: Sender,
        by: Sender,
    ) -> Result<Claimed, EngineError> {
        let subject = self.names.node(dead);
        self.on(Path::Control, async |api| {
            // What a claim would have won that was refused: after a partition a server can refuse, which
            // still believes that it leads, what the leader stores.
            let mut tried = None;
            let start = Instant::now();
            while start.elapsed() < api.within {
                let Some(found) = self.find(api, &subject).await? else {
                    return Ok(Claimed::Gone);
                };
                let State::Live { ttl_ms } = found.state else {
                    let won = tried.filter(|_| found.state == State::Claimed { by });
                    return Ok(won.map_or(Claimed::Gone, Claimed::Won));
                };
                if self.lease_now(api).await? < found.stored_ms.saturating_add(ttl_ms) {
                    return Ok(Claimed::Alive);
                }
                let state = State::Claimed { by };
                let revision = found.revision;
                if self
                    .change(api, &subject, revision, &state, Bytes::new())
                    .await?
                {
                    return Ok(Claimed::Won(Arc::from(&*found.payload)));
                }
                tried = Some(Arc::from(&*found.payload));
            }
            Err(CallError::Crowded)
        })
        .await
    }

    async fn find(&self, api: &Api<'_>, subject: &str) -> Result<Option<Found>, CallError> {
        let stored = match self.last_of(api, &self.names.leases, subject).await {
            Err(CallError::Said(error)) if error.meaning() == Meaning::NoStream => None,
            stored => stored?,
        };
        stored.map(Found::read).transpose()
    }

    /// Returns the time of the server that leads the leases, in Unix milliseconds.
    async fn lease_now(&self, api: &Api<'_>) -> Result<u64, CallError> {
        let info = api.info(&self.names.leases, &Value::Null).await?;
        let now_ms = info.and_then(|info| info.now_ms());
        now_ms.ok_or_else(|| CallError::Unreadable {
            what: "a stream of leases whose server does not tell the time".to_owned(),
        })
    }

    /// Stores a lease, if its last revision is the expected one. Makes the stream if there is none.
    async fn change(
        &self,
        api: &Api<'_>,
        subject: &str,
        revision: u64,
        state: &State,
        payload: Bytes,
    ) -> Result<bool, CallError> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, state.write());
        headers.insert("Nats-Expected-Last-Subject-Sequence", revision.to_string());
        if let State::Claimed { .. } = state {
            headers.insert("Nats-TTL", CLAIMED_TTL);
        }
        let start = Instant::now();
        loop {
            match api
                .send::<Ack>(subject, headers.clone(), payload.clone())
                .await
            {
                Ok(_ack) => return Ok(true),
                Err(CallError::Said(error)) if error.meaning() == Meaning::Moved => {
                    sleep(RACE_PAUSE).await;
                    return Ok(false);
                }
                // There is no stream; or it has just been made, and has no leader yet.
                Err(CallError::NoResponders { .. })
                    if revision == 0 && start.elapsed() < api.within =>
                {
                    self.make_leases(api).await?;
                    sleep(MADE_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn make_leases(&self, api: &Api<'_>) -> Result<(), CallError> {
        let stream = &self.names.leases;
        let config = json!({
            "name": stream,
            "subjects": [format!("{stream}.>")],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "num_replicas": self.options.replicas,
            "max_msgs_per_subject": 1,
            "allow_msg_ttl": true,
            "metadata": { "tidings.version": "1" },
        });
        // Hubs that make it at once make the same.
        api.create(stream, &config).await.map(drop)
    }
}

impl Found {
    fn read(stored: Stored) -> Result<Self, CallError> {
        let state = stored.header.as_deref().and_then(State::parse);
        let state = state.ok_or_else(|| CallError::Unreadable {
            what: format!("the lease {}: {:?}", stored.subject, stored.header),
        })?;
        Ok(Self {
            state,
            payload: stored.payload,
            revision: stored.seq,
            stored_ms: stored.stored_ms,
        })
    }
}

impl State {
    fn write(&self) -> String {
        match self {
            Self::Live { ttl_ms } => format!("1 live {ttl_ms}"),
            Self::Claimed { by } => format!("1 claimed {}", names::token(*by)),
            Self::Held { by, ttl_ms } => format!("1 held {} {ttl_ms}", names::token(*by)),
            Self::Free => "1 free".to_owned(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(' ').collect();
        Some(match fields.as_slice() {
            ["1", "live", ttl] => Self::Live {
                ttl_ms: ttl.parse().ok()?,
            },
            ["1", "claimed", by] => Self::Claimed {
                by: names::sender(by)?,
            },
            ["1", "held", by, ttl] => Self::Held {
                by: names::sender(by)?,
                ttl_ms: ttl.parse().ok()?,
            },
            ["1", "free"] => Self::Free,
            _ => return None,
        })
    }
}

fn note(payload: Option<&Bytes>) -> Note {
    let payload = payload.filter(|payload| !payload.is_empty());
    payload.map(|payload| Arc::from(&**payload))
}
