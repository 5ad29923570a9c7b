//! Appending, and what else is stored as a batch.
//!
//! Where another engine runs a script, this hub reads the end of the line, computes what the script
//! would, and has the batch taken only if the line still ends with that very entry.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use bytes::Bytes;
use serde_json::json;
use tidings_cluster::engine::{
    Again, Append, Appended, BATCH_BYTES_MAX, EngineError, Item, Path, Place, Refusal, Seen,
};
use tidings_cluster::link;
use tidings_core::Position;
use tokio::time::sleep;

use super::Nats;
use super::sizes::Sizes;
use crate::api::{Ack, Api, Meaning, Stored};
use crate::connection::Outgoing;
use crate::entry::{HEADER, Head};
use crate::error::CallError;
use crate::names;
use crate::view::{End, Loaded, View};

/// The last position that hubs hold exactly everywhere.
const POSITION_MAX: u64 = (1 << 53) - 1;
/// How soon a server that lags behind is asked again.
const LAG_PAUSE: Duration = Duration::from_millis(2);
/// How soon a stream that nobody knows yet is tried again.
const UNHEARD_PAUSE: Duration = Duration::from_millis(10);
/// How often it is asked before it is asked anew where the line ends.
const LAGS_MAX: usize = 10;

/// A message to be stored.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) subject: String,
    pub(super) head: Head,
    pub(super) payload: Bytes,
}

/// What became of a batch.
pub(super) enum Outcome {
    /// It is stored.
    Taken,
    /// The line does not end there, or is not where it was. Only the leader's word is true: what another
    /// server refuses that believes to lead may be stored.
    Moved,
    /// There is no room.
    Full,
}

/// What is to be done with an append.
enum Step {
    /// Store these, and answer with the places.
    Store(Vec<Draft>, Vec<Place>),
    /// The batch is there: with these places.
    Again(Vec<Place>),
    Refuse(Refusal),
    /// Look where the line ends: it is not what it was.
    Look,
}

impl Nats {
    pub(super) async fn append_batch(&self, append: Append) -> Result<Appended, EngineError> {
        self.on(Path::Publish, async |api| {
            self.append_on(api, &append).await
        })
        .await
    }

    async fn append_on(&self, api: &Api<'_>, append: &Append) -> Result<Appended, CallError> {
        let start = Instant::now();
        let mut unheard = None;
        self.turn.come().await;
        while start.elapsed() < self.options.timeouts.answer {
            let known = self.view.borrow().clone();
            let is_fresh = known.is_none();
            let loaded = match known {
                Some(view) => Some(view),
                None => self.load(api).await?,
            };
            let Some(view) = loaded else {
                return Ok(refusal(Refusal::None, Position::ZERO));
            };
            // Also after a refusal: after a partition two servers believe that they lead, until one of them
            // hears of the other. One can refuse what the other one takes, and the first answer counts.
            let may_be_there = self
                .sent
                .get()
                .is_some_and(|(sender, batch)| sender == append.sender && batch >= append.batch);
            match self.step(api, append, &view, may_be_there).await? {
                Step::Look => drop(self.view.take()),
                // What is answered without storing anything is about the line as it is now.
                Step::Refuse(_) | Step::Again(_) if !is_fresh => drop(self.view.take()),
                Step::Refuse(why) => return Ok(refusal(why, view.last)),
                Step::Again(places) => return Ok(taken(places, view.last, Again::Yes)),
                Step::Store(drafts, places) => {
                    self.sent.set(Some((append.sender, append.batch)));
                    let last = Position::new(view.last.get() + drafts.len() as u64);
                    let sent = Instant::now();
                    match self.store(api, &view, &drafts).await {
                        Ok(Outcome::Taken) => {
                            self.turn.on_taken(view.last, last, sent.elapsed());
                            return Ok(taken(places, last, Again::No));
                        }
                        Ok(Outcome::Full) => return Ok(refusal(Refusal::Full, view.last)),
                        // Somebody else may have stored an update with the same key since.
                        Err(CallError::Unfit(_)) if !is_fresh && has_keys(append) => {
                            if api.connection.is_lost() {
                                let address = api.connection.address().clone();
                                return Err(CallError::Closed { address });
                            }
                        }
                        Err(CallError::Unfit(why)) => {
                            return Ok(refusal(Refusal::TooLarge(why), view.last));
                        }
                        Ok(Outcome::Moved) => {}
                        // The stream may have another incarnation; one that has just been made is not
                        // known everywhere.
                        Err(error @ CallError::NoResponders { .. }) => {
                            unheard = Some(error);
                            if is_fresh {
                                sleep(UNHEARD_PAUSE).await;
                            }
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Err(unheard.unwrap_or(CallError::Crowded))
    }

    /// Asks where the line ends; nothing if there is none.
    async fn load(&self, api: &Api<'_>) -> Result<Option<View>, CallError> {
        match View::load(api, &self.names).await? {
            Loaded::Line(view, info) => {
                self.tell_time(&info);
                self.view.replace(Some(view.clone()));
                Ok(Some(view))
            }
            Loaded::None(_) | Loaded::Half => Ok(None),
        }
    }

    /// Decides as `append.lua` does, in the same order.
    async fn step(
        &self,
        api: &Api<'_>,
        append: &Append,
        view: &View,
        may_be_there: bool,
    ) -> Result<Step, CallError> {
        if view.about.epoch != append.epoch {
            return Ok(Step::Refuse(Refusal::OtherEpoch));
        }
        let batch = names::batch(append.sender, append.batch);
        let Some(found) = self
            .look_up(api, append, view, may_be_there, &batch)
            .await?
        else {
            return Ok(Step::Look);
        };
        let of_batch = |stored: &&Stored| batch_of(&stored.subject) == Some(batch.as_str());
        if may_be_there && let Some(one) = found.iter().find(of_batch) {
            let places = self.places_of(api, append, one, &found, &batch).await?;
            return Ok(Step::Again(places));
        }
        if let Some(why) = self.compare(api, append.seen, view).await? {
            return Ok(Step::Refuse(why));
        }
        Ok(self.arrange(append, view, &found, &batch))
    }

    /// Compares what the sender has seen with the line.
    async fn compare(
        &self,
        api: &Api<'_>,
        seen: Seen,
        view: &View,
    ) -> Result<Option<Refusal>, CallError> {
        if view.last < seen.position {
            return Ok(Some(Refusal::Rewound));
        }
        let Some(print) = seen.print.filter(|_| seen.position > Position::ZERO) else {
            return Ok(None);
        };
        let there = match &view.end {
            Some(end) if view.last == seen.position => end.print,
            _ => {
                let which = json!({ "seq": seen.position.get() });
                let Some(stored) = api.get(&self.names.line, &which).await? else {
                    return Ok(Some(Refusal::Behind));
                };
                stored.head()?.print
            }
        };
        Ok((there != print).then_some(Refusal::Forked))
    }

    /// Finds what has the keys of the batch, and what was sent with it. Whichever server answers, it
    /// has the line up to where we know it, because the entry there is asked for as well.
    async fn look_up(
        &self,
        api: &Api<'_>,
        append: &Append,
        view: &View,
        may_be_there: bool,
        batch: &str,
    ) -> Result<Option<Vec<Stored>>, CallError> {
        let keys = append.items.iter().filter_map(|item| item.key.as_ref());
        let mut wanted: Vec<String> = keys
            .map(|(key, _ttl)| self.names.with_key(Some(key), names::ANY))
            .collect();
        if may_be_there {
            wanted.push(self.names.with_key(None, batch));
        }
        let Some(end) = view.end.as_ref().filter(|_| !wanted.is_empty()) else {
            return Ok(Some(Vec::new()));
        };
        wanted.push(end.subject.clone());
        wanted.sort_unstable();
        wanted.dedup();
        let which = json!({ "multi_last": wanted });
        for _ in 0..LAGS_MAX {
            let found = match api.direct(&self.names.line, &which).await {
                // A stream that has just been made is not known everywhere.
                Err(CallError::NoResponders { .. }) => Vec::new(),
                found => found?,
            };
            let has_end =
                |stored: &Stored| stored.seq == view.last.get() && stored.subject == end.subject;
            if found.iter().any(has_end) {
                return Ok(Some(found));
            }
            // Either this server lags behind, or the line is not what it was.
            sleep(LAG_PAUSE).await;
        }
        Ok(None)
    }

    /// Says where the items of a batch are that was taken before.
    async fn places_of(
        &self,
        api: &Api<'_>,
        append: &Append,
        one: &Stored,
        found: &[Stored],
        batch: &str,
    ) -> Result<Vec<Place>, CallError> {
        let base = one.head()?.base.get();
        let mut stored = HashMap::new();
        let mut next = base + 1;
        let start = Instant::now();
        // One of them was found, so these are stored, and follow each other.
        while next <= one.seq || stored.is_empty() {
            let count = append.items.len() as u64;
            let some = api.entries(&self.names.line, next, count, BATCH_BYTES_MAX);
            for entry in some.await? {
                if batch_of(&entry.subject) == Some(batch) {
                    stored.insert(entry.head()?.item, Position::new(entry.seq));
                    next = entry.seq + 1;
                }
            }
            if start.elapsed() > api.within {
                return Err(CallError::Lagging);
            }
        }
        let place = |(index, item): (u32, &Item)| match stored.get(&index) {
            Some(position) => Some(Place::New(*position)),
            None => known(item, found, None).map(Place::Known),
        };
        let places: Option<Vec<Place>> = (0..).zip(append.items.iter()).map(place).collect();
        places.ok_or_else(|| CallError::Unreadable {
            what: format!("a part of batch {batch}"),
        })
    }

    /// Gives the items of a batch their places, and makes messages of those that are new.
    fn arrange(&self, append: &Append, view: &View, found: &[Stored], batch: &str) -> Step {
        let before_ms = view.end.as_ref().map_or(0, |end| end.published_ms);
        let now_ms = self.now_ms().max(before_ms);
        let mut places = Vec::with_capacity(append.items.len());
        let mut firsts = HashMap::new();
        let mut fresh = Vec::new();
        let mut last = view.last;
        let mut print = view.end.as_ref().map(|end| end.print);
        for (index, item) in (0..).zip(append.items.iter()) {
            let key = item.key.as_ref().map(|(key, _ttl)| key);
            let before = key.and_then(|key| firsts.get(key).copied());
            if let Some(position) = before.or_else(|| known(item, found, Some(now_ms))) {
                places.push(Place::Known(position));
                continue;
            }
            last = last.next();
            let linked = link(print, now_ms, item.digest);
            print = Some(linked);
            firsts.extend(key.map(|key| (key, last)));
            let head = Head {
                print: linked,
                published_ms: now_ms,
                origin: item.origin,
                base: view.last,
                item: index,
                key_until_ms: item.key.as_ref().map_or(0, |(_key, ttl)| now_ms + ttl),
            };
            places.push(Place::New(last));
            fresh.push((item, head));
        }
        if last.get() > POSITION_MAX {
            return Step::Refuse(Refusal::Full);
        }
        let Some(print) = print else {
            return Step::Store(Vec::new(), places);
        };
        let incarnation = &view.about.incarnation;
        let draft = |(item, head): (&Item, Head)| Draft {
            subject: {
                let key = item.key.as_ref().map(|(key, _ttl)| key);
                self.names.entry(incarnation, key, batch, print)
            },
            head,
            payload: Bytes::copy_from_slice(&item.bytes),
        };
        Step::Store(fresh.into_iter().map(draft).collect(), places)
    }

    /// Stores messages after the end of the line as `view` knows it, all or none.
    pub(super) async fn store(
        &self,
        api: &Api<'_>,
        view: &View,
        drafts: &[Draft],
    ) -> Result<Outcome, CallError> {
        let count = drafts.len();
        let Some(last) = drafts.last() else {
            return Ok(Outcome::Taken);
        };
        let end = End {
            print: last.head.print,
            published_ms: last.head.published_ms,
            subject: last.subject.clone(),
        };
        let answer = self.send_all(api, view, drafts).await;
        let expected = view.last.get() + count as u64;
        let outcome = match answer {
            Ok(ack) if ack.seq == expected => Ok(Outcome::Taken),
            Ok(ack) => Err(CallError::Unreadable {
                what: format!("an answer that names {} where {expected} was next", ack.seq),
            }),
            Err(CallError::Said(error)) if error.meaning() == Meaning::Moved => Ok(Outcome::Moved),
            Err(CallError::Said(error)) if error.meaning() == Meaning::Full => Ok(Outcome::Full),
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(Outcome::Taken) => {
                let mut view = view.clone();
                view.last = Position::new(expected);
                view.end = Some(end);
                self.view.replace(Some(view));
            }
            Ok(Outcome::Moved | Outcome::Full) | Err(_) => drop(self.view.take()),
        }
        outcome
    }

    /// As [`store`](Self::store), for a stream that has just been made and is not known everywhere.
    pub(super) async fn store_first(
        &self,
        api: &Api<'_>,
        view: &View,
        drafts: &[Draft],
    ) -> Result<Outcome, CallError> {
        let start = Instant::now();
        loop {
            match self.store(api, view, drafts).await {
                Err(CallError::NoResponders { .. }) if start.elapsed() < api.within => {
                    sleep(UNHEARD_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn send_all(
        &self,
        api: &Api<'_>,
        view: &View,
        drafts: &[Draft],
    ) -> Result<Ack, CallError> {
        let mut messages = self.messages(view, drafts);
        let sizes = Sizes::of(&messages, drafts);
        self.check_sizes(api, &sizes).await?;
        let Some(last) = messages.pop() else {
            return Err(CallError::Unreadable {
                what: "a batch without a message".to_owned(),
            });
        };
        let sent = async {
            for message in messages {
                api.connection.publish(message).await?;
            }
            api.send(&last.subject, last.headers, last.payload).await
        };
        match sent.await {
            Err(error) => Err(self.unfit(api, &sizes, error).await),
            stored => stored,
        }
    }

    /// Makes one atomic batch.
    fn messages(&self, view: &View, drafts: &[Draft]) -> Vec<Outgoing> {
        let count = drafts.len();
        let (ours, number) = &self.batches;
        number.set(number.get() + 1);
        let batch = format!("{ours}-{}", number.get());
        let message = |(number, draft): (usize, &Draft)| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, draft.head.write());
            if number == 1 {
                expect(&mut headers, view);
            }
            if count > 1 {
                headers.insert("Nats-Batch-Id", batch.as_str());
                headers.insert("Nats-Batch-Sequence", number.to_string());
                if number == count {
                    headers.insert("Nats-Batch-Commit", "1");
                }
            }
            Outgoing {
                subject: draft.subject.clone(),
                headers,
                payload: draft.payload.clone(),
            }
        };
        (1..).zip(drafts).map(message).collect()
    }

    /// Takes note of an entry that the follower has read, if it is the next one.
    pub(super) fn on_followed(&self, stored: &Stored) {
        let mut view = self.view.borrow_mut();
        if let Some(view) = view
            .as_mut()
            .filter(|view| view.last.get() + 1 == stored.seq)
            && let Ok(end) = End::of(stored)
        {
            view.last = Position::new(stored.seq);
            view.end = Some(end);
        }
    }
}

/// Has the server check that the line ends with the entry that we know. The subject of that entry is
/// nobody else's, so it stands for the print there, and with it for the whole line.
fn expect(headers: &mut HeaderMap, view: &View) {
    let last = view.last.get().to_string();
    headers.insert("Nats-Expected-Last-Sequence", last.as_str());
    if let Some(end) = &view.end {
        headers.insert("Nats-Expected-Last-Subject-Sequence", last);
        let subject = end.subject.as_str();
        headers.insert("Nats-Expected-Last-Subject-Sequence-Subject", subject);
    }
}

/// Returns where the item is whose key this is, if the key is still known then.
fn known(item: &Item, found: &[Stored], now_ms: Option<u64>) -> Option<Position> {
    let (key, _ttl) = item.key.as_ref()?;
    let token = names::hex(key.bytes());
    let with_key = found
        .iter()
        .filter(|stored| key_of(&stored.subject) == Some(&token));
    let runs = with_key.filter(|stored| {
        let until = stored.head().map_or(0, |head| head.key_until_ms);
        now_ms.is_none_or(|now_ms| now_ms < until)
    });
    runs.map(|stored| Position::new(stored.seq)).max()
}

fn has_keys(append: &Append) -> bool {
    append.items.iter().any(|item| item.key.is_some())
}

/// Returns the key of a subject: STREAM.INCARNATION.KEY.BATCH.PRINT.
fn key_of(subject: &str) -> Option<&str> {
    subject.split('.').nth(2)
}

fn batch_of(subject: &str) -> Option<&str> {
    subject.split('.').nth(3)
}

const fn refusal(why: Refusal, last: Position) -> Appended {
    Appended::Refused { why, last }
}

const fn taken(places: Vec<Place>, last: Position, again: Again) -> Appended {
    Appended::Taken {
        places,
        last,
        again,
    }
}
