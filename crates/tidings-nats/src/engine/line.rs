//! What makes the line, what changes it as a whole, and what says where it ends.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tidings_cluster::engine::{
    Changed, EngineError, EpochId, Init, LineEnd, Path, Proposal, Restore, Restored, State,
};
use tidings_core::Position;
use tokio::time::sleep;

use super::Nats;
use super::append::{Draft, Outcome};
use crate::api::{Api, Info, Meaning};
use crate::entry::Head;
use crate::error::{CallError, refused};
use crate::names;
use crate::view::{About, Loaded, View};

/// A leader that has heard of no majority for so long may have been replaced. Servers tell each other
/// every second.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// How long the answer is waited for that says whether a stream was made. Who finds the stream to be
/// its own has made it.
const CREATE_MAX: Duration = Duration::from_secs(1);
/// How long one look at a stream that is being made may take, and all of them.
const LOOK_MAX: Duration = Duration::from_millis(500);
const SETTLED_WITHIN: Duration = Duration::from_secs(5);
/// How long a stream waits for a server that is away: less than a hub waits for the whole call. A
/// cluster that has just chosen its leader takes its servers for absent until they tell about themselves.
const PLACED_WITHIN: Duration = Duration::from_secs(1);
/// How soon a stream that is being made is asked for again.
const SETTLE_PAUSE: Duration = Duration::from_millis(10);

/// What a stream means that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IfNone {
    /// Nobody has made it.
    Return,
    /// It is about to be there.
    Wait,
}

impl Nats {
    /// Reads the line, or makes it if a secret is proposed.
    pub(crate) async fn init_on(
        &self,
        path: Path,
        proposal: Proposal,
    ) -> Result<Init, EngineError> {
        self.on(path, async |api| {
            let found = self.settled(api, IfNone::Return).await?;
            let (Loaded::None(None), Some(secret)) = (&found, proposal.secret) else {
                return Ok(init(found));
            };
            let about = About::new(proposal.epoch, secret);
            // Of hubs that make it at once, a server may leave some without an answer.
            let quick = Api {
                within: api.within.min(CREATE_MAX),
                ..*api
            };
            self.make(&quick, &about).await?;
            let loaded = self.settled(api, IfNone::Wait).await?;
            match loaded {
                Loaded::Line(view, _) if view.about == about => Ok(Init::Made(view.line())),
                found @ (Loaded::Line(..) | Loaded::None(_) | Loaded::Half) => Ok(init(found)),
            }
        })
        .await
    }

    /// Makes the stream, unless somebody else does.
    async fn make(&self, api: &Api<'_>, about: &About) -> Result<(), CallError> {
        let start = Instant::now();
        let config = self.stream(about, None);
        loop {
            match api.create(&self.names.line, &config).await {
                Ok(_) | Err(CallError::Late { .. }) => return Ok(()),
                Err(CallError::Said(error))
                    if error.meaning() == Meaning::Absent && start.elapsed() < PLACED_WITHIN =>
                {
                    sleep(SETTLE_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks at a stream that somebody may be making: until its servers have chosen a leader, nobody
    /// answers for it.
    async fn settled(&self, api: &Api<'_>, if_none: IfNone) -> Result<Loaded, CallError> {
        let start = Instant::now();
        let quick = Api {
            within: api.within.min(LOOK_MAX),
            ..*api
        };
        loop {
            match View::load(&quick, &self.names).await {
                Ok(Loaded::None(None)) if if_none == IfNone::Return => {
                    return Ok(Loaded::None(None));
                }
                Ok(Loaded::None(None))
                | Err(CallError::NoResponders { .. } | CallError::Late { .. })
                    if start.elapsed() < SETTLED_WITHIN =>
                {
                    sleep(SETTLE_PAUSE).await;
                }
                loaded => return loaded,
            }
        }
    }

    /// Asks the leader where the line ends. One that is cut off from the others does not answer for
    /// the line, and a server that knows no other leader is left.
    pub(super) async fn probe(&self) -> Result<State, EngineError> {
        let loaded = self
            .on(Path::Control, async |api| {
                let loaded = View::load(api, &self.names).await;
                let loaded = loaded.map_err(CallError::or_elsewhere)?;
                if let Loaded::Line(_, info) = &loaded {
                    self.tell_time(info);
                    if !has_majority(info) {
                        let reason =
                            "the stream's leader has not heard of a majority of its servers";
                        let reason = reason.into();
                        return Err(CallError::Elsewhere { reason });
                    }
                }
                Ok(loaded)
            })
            .await?;
        Ok(state(loaded))
    }

    pub(super) async fn put_back(&self, restore: Restore) -> Result<Changed, EngineError> {
        check(&restore)?;
        self.on(Path::Publish, async |api| {
            let loaded = View::load(api, &self.names).await?;
            let fits = match (&loaded, restore.expected_last) {
                (Loaded::Line(view, _), Some(last)) => {
                    let line = view.line();
                    let same = line.print == restore.expected_print;
                    line.epoch == restore.epoch && line.last == last && same
                }
                (Loaded::None(_), None) => true,
                (Loaded::Line(..) | Loaded::None(_) | Loaded::Half, _) => false,
            };
            let (view, entries) = match loaded {
                Loaded::Line(view, info) if fits => {
                    self.tell_time(&info);
                    (view, restore.entries.as_slice())
                }
                Loaded::None(begun) if fits => {
                    let Some(begun) = self.begin_again(api, &restore, begun).await? else {
                        return Ok(Changed::Moved(self.now(api).await?));
                    };
                    begun
                }
                loaded @ (Loaded::Line(..) | Loaded::None(_) | Loaded::Half) => {
                    return Ok(Changed::Moved(state(loaded)));
                }
            };
            let last = Position::new(view.last.get() + entries.len() as u64);
            let drafts = self.restored(&view, entries);
            match self.store_first(api, &view, &drafts).await? {
                Outcome::Taken => Ok(Changed::Done { last }),
                Outcome::Full => Ok(Changed::Full),
                Outcome::Moved => Ok(Changed::Moved(self.now(api).await?)),
            }
        })
        .await
    }

    /// Makes the stream anew, so that the first entry gets its position. Nothing if somebody else did
    /// so at the same time. One that was begun and is empty is taken over if an entry fits; otherwise
    /// it is removed: nothing is in it that a hub does not have.
    async fn begin_again<'a>(
        &self,
        api: &Api<'_>,
        restore: &'a Restore,
        begun: Option<Box<Info>>,
    ) -> Result<Option<(View, &'a [Restored])>, CallError> {
        if begun.is_some() {
            let delete = format!("STREAM.DELETE.{}", self.names.line);
            api.call::<Value>(&delete, &Value::Null).await?;
        }
        let Some(first) = restore.entries.first() else {
            return Ok(None);
        };
        let first = first.entry.position;
        let about = About::new(restore.epoch, restore.secret);
        let config = self.stream(&about, Some(first));
        let Some(info) = api.create(&self.names.line, &config).await? else {
            return Ok(None);
        };
        self.tell_time(&info);
        let view = View {
            about,
            oldest: first,
            last: Position::new(first.get() - 1),
            end: None,
        };
        Ok(Some((view, &restore.entries)))
    }

    /// Makes messages of entries that are put back.
    fn restored(&self, view: &View, entries: &[Restored]) -> Vec<Draft> {
        let now_ms = self.now_ms();
        let end = entries.last().and_then(|restored| restored.entry.print);
        let Some(end) = end else {
            return Vec::new();
        };
        let draft = |(item, restored): (u32, &Restored)| {
            let Restored { entry, key } = restored;
            let name = key.as_ref().map(|(key, _ttl)| key);
            let incarnation = &view.about.incarnation;
            Some(Draft {
                subject: self.names.entry(incarnation, name, names::RESTORED, end),
                head: Head {
                    print: entry.print?,
                    published_ms: entry.published_ms,
                    origin: entry.origin,
                    base: view.last,
                    item,
                    key_until_ms: key.as_ref().map_or(0, |(_key, ttl)| now_ms + ttl),
                },
                payload: Bytes::copy_from_slice(&entry.bytes),
            })
        };
        (0..).zip(entries).filter_map(draft).collect()
    }

    /// An atomic batch never dies midway.
    pub(super) async fn nothing_to_repair(
        &self,
        _expected: LineEnd,
    ) -> Result<Changed, EngineError> {
        self.on(Path::Publish, async |api| {
            Ok(Changed::Moved(self.now(api).await?))
        })
        .await
    }

    /// The stream takes nothing any more from hubs that know the old epoch: its subjects change with
    /// it. Two hubs that do this at once both give it the epoch that they agree on.
    ///
    /// No server compares the end of the line on an update, so a batch of the old epoch can come between
    /// the look and the update, and after the update from a leader that has not heard of it. It is
    /// acknowledged and stays: the messages stay, positions go on, and the batch follows the very entry
    /// that it names. So the line is as if the batch had come right after the new epoch. The caller
    /// counts on the line up to `expected` alone: what it publishes anew has keys by origin, which the
    /// engine compares with all that is there, and it reads what follows as any hub does.
    pub(super) async fn change_epoch(
        &self,
        expected: LineEnd,
        new: EpochId,
    ) -> Result<Changed, EngineError> {
        self.on(Path::Publish, async |api| {
            let (view, info) = match View::load(api, &self.names).await? {
                Loaded::Line(view, info) => (view, info),
                other @ (Loaded::None(_) | Loaded::Half) => {
                    return Ok(Changed::Moved(state(other)));
                }
            };
            if view.about.epoch != expected.epoch || view.last != expected.last {
                return Ok(Changed::Moved(State::Line(view.line())));
            }
            let about = About::new(new, view.about.secret);
            let mut config = info.config;
            if let Some(metadata) = config.get_mut("metadata").and_then(Value::as_object_mut) {
                for (name, value) in about.metadata() {
                    metadata.insert(name.to_owned(), value.into());
                }
            }
            if let Some(config) = config.as_object_mut() {
                let subjects = self.names.subjects(&about.incarnation);
                config.insert("subjects".to_owned(), json!([subjects]));
            }
            let updated = api.update(&self.names.line, &config).await?;
            self.view.take();
            Ok(Changed::Done {
                last: Position::new(updated.state.last_seq),
            })
        })
        .await
    }

    async fn now(&self, api: &Api<'_>) -> Result<State, CallError> {
        Ok(state(View::load(api, &self.names).await?))
    }

    /// Returns the settings of the line's stream, which begins at `first`.
    fn stream(&self, about: &About, first: Option<Position>) -> Value {
        let metadata: serde_json::Map<String, Value> = about
            .metadata()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let window_bytes = i64::try_from(self.options.window_bytes).unwrap_or(i64::MAX);
        json!({
            "name": self.names.line,
            "subjects": [self.names.subjects(&about.incarnation)],
            "retention": "limits",
            "storage": "file",
            "discard": "old",
            "num_replicas": self.options.replicas,
            "max_bytes": window_bytes,
            "max_msgs": -1,
            "max_msgs_per_subject": -1,
            "max_msg_size": -1,
            "max_age": 0,
            "first_seq": first.map_or(0, Position::get),
            "deny_delete": true,
            "deny_purge": true,
            "allow_direct": true,
            "allow_atomic": true,
            "metadata": metadata,
        })
    }
}

/// Checks that entries are what may be put back.
fn check(restore: &Restore) -> Result<(), EngineError> {
    let first = restore.entries.first();
    let first = first.ok_or_else(|| refused("there is nothing to put back"))?;
    let expected = restore.expected_last.map(Position::next);
    let follows = expected.is_none_or(|expected| first.entry.position == expected);
    let dense = restore
        .entries
        .iter()
        .zip(first.entry.position.get()..)
        .all(|(restored, position)| restored.entry.position.get() == position);
    let printed = restore.entries.iter().all(|one| one.entry.print.is_some());
    match follows && dense && printed {
        true => Ok(()),
        false => Err(refused("what is to be put back has a hole")),
    }
}

fn init(loaded: Loaded) -> Init {
    match loaded {
        Loaded::Line(view, _) => Init::Found(view.line()),
        Loaded::None(_) => Init::None,
        Loaded::Half => Init::Half,
    }
}

fn state(loaded: Loaded) -> State {
    match loaded {
        Loaded::Line(view, _) => State::Line(view.line()),
        Loaded::None(_) => State::None,
        Loaded::Half => State::Half,
    }
}

/// Returns whether the leader has heard of a majority lately, itself included.
fn has_majority(info: &Info) -> bool {
    let replicas = info
        .cluster
        .as_ref()
        .and_then(|cluster| cluster.replicas.as_deref());
    let replicas = replicas.unwrap_or_default();
    let heard = replicas
        .iter()
        .filter(|peer| !peer.offline && u128::from(peer.active) < SILENCE_MAX.as_nanos());
    1 + heard.count() > replicas.len().div_ceil(2)
}
