//! A writer and a reader on one thread, so that tests say when what happens.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tidings_cluster::{Epoch, RelayError};
use tidings_core::{
    Draft, EventId, EventType, Position, Presence, Topic, Topics, Update, Visibility,
};
use tidings_history::storage::{MemoryStorage, SqliteStorage, Storage};
use tidings_history::{
    Append, Order, Page, PresenceRetention, Published, ReadError, Reader, Reading, Request,
    Resolved, Retention, Step, Writer,
};

/// A history whose threads are the test's.
pub(crate) struct Desk {
    pub(crate) writer: Writer,
    pub(crate) reader: Reader,
    pub(crate) published: Arc<Published>,
    pub(crate) delivered: Arc<Mutex<Vec<Arc<Update>>>>,
}

impl Desk {
    pub(crate) fn on_file(path: &Path, retention: Retention) -> Self {
        Self::new(
            Box::new(SqliteStorage::open(path, EPOCH).expect("a usable path")),
            retention,
        )
    }

    pub(crate) fn in_memory(retention: Retention) -> Self {
        Self::new(Box::new(MemoryStorage::new(EPOCH)), retention)
    }

    pub(crate) fn new(storage: Box<dyn Storage>, retention: Retention) -> Self {
        let delivered = Arc::new(Mutex::new(Vec::new()));
        let router = Arc::clone(&delivered);
        let outlet = Box::new(move |step| {
            if let Step::Committed(group) = step {
                router.lock().unwrap().extend(group);
            }
        });
        let writer = Writer::new(storage, retention, outlet);
        let published = writer.published();
        let storage = writer.open_reader().expect("a readable storage");
        let seal = writer.seal().clone();
        let reader = Reader::new(storage, Arc::clone(&published), seal, 1 << 20);
        Self {
            writer,
            reader,
            published,
            delivered,
        }
    }

    /// Appends `drafts` as one group and returns the answer to each publisher.
    pub(crate) fn append(
        &mut self,
        drafts: Vec<Draft>,
        now_ms: u64,
    ) -> Vec<Result<Arc<Update>, RelayError>> {
        self.append_at(drafts, at(now_ms))
    }

    /// Appends `drafts` when the machine's clocks show `now`.
    pub(crate) fn append_at(
        &mut self,
        drafts: Vec<Draft>,
        now: Reading,
    ) -> Vec<Result<Arc<Update>, RelayError>> {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let mut batch = drafts
            .into_iter()
            .map(|draft| {
                let answers = Arc::clone(&answers);
                let delivered = Arc::clone(&self.delivered);
                let done = Box::new(move |answer: Result<Arc<Update>, RelayError>| {
                    if let Ok(update) = &answer {
                        assert!(
                            delivered.lock().unwrap().contains(update),
                            "delivered first"
                        );
                    }
                    answers.lock().unwrap().push(answer);
                });
                Append::Draft { draft, done }
            })
            .collect();
        self.writer.on_batch(&mut batch, now);
        answers.lock().unwrap().clone()
    }

    /// Appends one update that must be taken.
    pub(crate) fn publish(&mut self, data: &str, now_ms: u64) -> Arc<Update> {
        self.append(vec![draft(data)], now_ms)
            .remove(0)
            .expect("a history that takes updates")
    }

    /// Resolves a cursor, without knowing any print beforehand.
    pub(crate) fn resolve(&mut self, cursor: &str) -> Resolved {
        let bounds = self.published.bounds();
        let claim = self.writer.seal().open(cursor).filter(|claim| {
            claim.position().next() >= bounds.oldest && claim.position() <= bounds.last
        });
        let (tx, rx) = sync_channel(1);
        let reply = Box::new(move |resolved| tx.send(resolved).unwrap());
        let id = cursor.into();
        self.reader
            .on_requests(&mut vec![Request::Find { id, claim, reply }]);
        rx.recv().unwrap().expect("a readable history")
    }

    /// Ticks and does all the upkeep that follows.
    pub(crate) fn tick(&mut self, now_ms: u64) {
        self.tick_at(at(now_ms));
    }

    /// Ticks when the machine's clocks show `now`.
    pub(crate) fn tick_at(&mut self, now: Reading) {
        self.writer.on_tick(now);
        while self.writer.has_work() {
            self.writer.on_slack();
        }
    }

    /// Reads everything after `after`, page by page.
    pub(crate) fn read_all(&mut self, after: Position) -> Result<Vec<Arc<Update>>, ReadError> {
        let mut updates = Vec::new();
        let mut position = after;
        loop {
            let page: Arc<Page> = self.reader.page(position)?;
            if page.next == position {
                assert!(page.after(position).is_empty());
                return Ok(updates);
            }
            updates.extend_from_slice(page.after(position));
            position = page.next;
        }
    }
}

/// Returns what two clocks show that agree.
pub(crate) fn at(now_ms: u64) -> Reading {
    Reading {
        wall_ms: now_ms,
        steady: Duration::from_millis(now_ms),
    }
}

/// Returns a folder that is gone when it is dropped, in memory if there is a place for that.
///
/// For tests of what the process leaves behind, which a sync does not change.
pub(crate) fn quick_folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}

/// Returns a plain public draft about one topic.
pub(crate) fn draft(data: &str) -> Draft {
    Draft {
        trace: None,
        topics: Topics::one(topic("https://example.com/books/1")),
        data: data.into(),
        visibility: Visibility::Public,
        id: None,
        event_type: None,
        retry_ms: None,
        presence: None,
    }
}

/// Returns an event of the hub about the subscription `name`.
pub(crate) fn presence_draft(name: &str, presence: Presence) -> Draft {
    Draft {
        topics: Topics::one(Topic::of_hub(&format!(
            "/.well-known/mercure/subscriptions/{name}"
        ))),
        visibility: Visibility::Private,
        event_type: Some(EventType::mercure()),
        presence: Some(presence),
        ..draft(name)
    }
}

pub(crate) fn draft_with_id(data: &str, id: &str) -> Draft {
    Draft {
        id: Some(EventId::parse(id).expect("an id")),
        ..draft(data)
    }
}

pub(crate) fn topic(text: &str) -> Topic {
    Topic::parse(text).expect("a topic")
}

pub(crate) const EPOCH: Order = Order::Own(Epoch::new([7; 32]));
pub(crate) const KEEP_ALL: Retention = Retention {
    age_max: None,
    updates_max: None,
    bytes_max: None,
    presence: PresenceRetention::DEFAULT,
};
