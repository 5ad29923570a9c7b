//! Reads pages and finds cursors for many subscribers at once. No thread or queue in here.

use std::sync::Arc;

use tidings_cluster::{OrderedUpdate, RelayError, Stretch, StretchDone};
use tidings_core::{Claim, Draft, EventId, IdSeal, IdSource, Position, Print, Update};

use crate::page::{PAGE_BYTES_MAX, PAGE_POSITIONS, Page};
use crate::page_cache::PageCache;
use crate::published::{Bounds, Published, Side};
use crate::storage::{StorageError, StorageReader};

/// Receives a page, on the reader thread or on the caller's. Must not block.
pub type PageReply = Box<dyn FnOnce(Result<Arc<Page>, ReadError>) + Send>;

/// Receives a resolved cursor, on the reader thread or on the caller's. Must not block.
pub type ResolveReply = Box<dyn FnOnce(Result<Resolved, ReadError>) + Send>;

/// Receives the id of a position, or nothing if it is unknown, on the reader thread or on the
/// caller's. Must not block.
pub type CursorReply = Box<dyn FnOnce(Result<Option<EventId>, ReadError>) + Send>;

/// A resolved cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// Everything after this position is stored: continue from here.
    After(Position),
    /// The cursor is unknown or expired: updates may be missing.
    Unknown {
        /// The first stored position, or the next one to be assigned.
        oldest: Position,
    },
}

/// Why a read was not answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// Retention removed updates after the requested position.
    #[error("the history begins at position {oldest}, after the requested one")]
    Trimmed {
        /// The first stored position.
        oldest: Position,
    },
    /// `reads_max` requests are already queued.
    #[error("too many reads of the history are queued")]
    Busy,
    /// The history was closed.
    #[error("the history is closed")]
    Closed,
    /// A position between two stored ones is missing.
    #[error("the update at position {position} is missing in the history")]
    Missing {
        /// The first one that is missing.
        position: Position,
    },
    /// The storage has a fault.
    #[error("the history could not be read")]
    Storage(#[source] Arc<StorageError>),
}

/// One request of a subscriber.
pub enum Request {
    /// The page that contains the position after `after`.
    Page {
        /// The last position that the subscriber has.
        after: Position,
        /// Takes the page.
        reply: PageReply,
    },
    /// The update that an id of the hub claims, or the earliest update with a publisher's id.
    Find {
        /// The id.
        id: Arc<str>,
        /// Its claim, if it looks like an id of the hub for a stored position.
        claim: Option<Claim>,
        /// Takes the position.
        reply: ResolveReply,
    },
    /// The hub's id of the update at a position.
    Cursor {
        /// The position.
        position: Position,
        /// Takes the id.
        reply: CursorReply,
    },
    /// Updates with everything that a relay knows of them.
    Stretch {
        /// The first position.
        from: Position,
        /// The last position.
        to: Position,
        /// Bytes with which it ends.
        bytes_max: u64,
        /// Takes the updates.
        reply: StretchDone,
    },
}

/// Answers [`Request`]s. Driven by one thread.
pub struct Reader {
    storage: Box<dyn StorageReader>,
    published: Arc<Published>,
    seal: IdSeal,
    cache: PageCache,
    /// The failed reads, until they succeed.
    unread: Option<Unread>,
    /// How often the line was cut when the cache was filled.
    cuts: u64,
    /// How often updates were withdrawn when the cache was filled.
    purges: u64,
}

/// A read that is retried after it failed.
enum Unread {
    /// The page after this position.
    After(Position),
    /// The place of this id.
    Id(Arc<str>, Option<Claim>),
    /// The cursor of this position.
    Cursor(Position),
}

impl Reader {
    /// Makes a reader of `storage` within the bounds of `published`, with a cache of
    /// `cache_bytes_max` bytes.
    #[must_use]
    pub fn new(
        storage: Box<dyn StorageReader>,
        published: Arc<Published>,
        seal: IdSeal,
        cache_bytes_max: usize,
    ) -> Self {
        Self {
            storage,
            published,
            seal,
            cache: PageCache::new(cache_bytes_max),
            unread: None,
            cuts: 0,
            purges: 0,
        }
    }

    /// Drains `requests` and answers each.
    pub fn on_requests(&mut self, requests: &mut Vec<Request>) {
        // Requests for one page are answered one after the other, so that they share one read
        // even if the cache is small.
        requests.sort_by_key(Request::position);
        for request in requests.drain(..) {
            match request {
                Request::Page { after, reply } => {
                    let page = self.page(after);
                    self.on_result(&page, || Unread::After(after));
                    reply(page);
                }
                Request::Find { id, claim, reply } => {
                    let found = self.find(&id, claim);
                    self.on_result(&found, || Unread::Id(id, claim));
                    reply(found);
                }
                Request::Cursor { position, reply } => {
                    let cursor = self.cursor(position);
                    self.on_result(&cursor, || Unread::Cursor(position));
                    reply(cursor);
                }
                Request::Stretch {
                    from,
                    to,
                    bytes_max,
                    reply,
                } => {
                    let stretch = self.stretch(from, to, bytes_max);
                    reply(stretch.map_err(|fault| RelayError::Unavailable {
                        cause: Arc::new(fault),
                    }));
                }
            }
        }
    }

    /// Retries the failed reads. Called about once a second.
    pub fn on_tick(&mut self) {
        let Some(unread) = self.unread.take() else {
            return;
        };
        let fault = match &unread {
            Unread::After(after) => fault_of(&self.page(*after)),
            Unread::Id(id, claim) => fault_of(&self.find(id, *claim)),
            Unread::Cursor(position) => fault_of(&self.cursor(*position)),
        };
        if fault.is_some() {
            self.unread = Some(unread);
            return;
        }
        tracing::info!("the history is readable again");
        self.published.on_unreadable(Side::Reader, None);
    }

    /// Logs once that stored data cannot be read, and why.
    fn on_result<T>(&mut self, result: &Result<T, ReadError>, asked: impl FnOnce() -> Unread) {
        let Some(line) = fault_of(result) else {
            return;
        };
        self.published.on_read_fault();
        if self.unread.is_none() {
            tracing::error!(error = line, "the history cannot be read");
            self.unread = Some(asked());
            self.published
                .on_unreadable(Side::Reader, Some(line.into()));
        }
    }

    /// Returns the page that contains the position after `after`.
    ///
    /// # Errors
    ///
    /// [`ReadError`]; [`Trimmed`](ReadError::Trimmed) if that position was removed.
    pub fn page(&mut self, after: Position) -> Result<Arc<Page>, ReadError> {
        let cuts = self.leave_lines();
        let page = self.page_of_line(after)?;
        match self.published.cuts() == cuts {
            true => Ok(page),
            // Some of it may be of the line that was left: whoever asked is told so.
            false => Err(ReadError::Trimmed {
                oldest: self.published.bounds().oldest,
            }),
        }
    }

    /// Forgets the pages of a line that the history left, and those that were there before a purge. Returns how
    /// many lines it has left.
    fn leave_lines(&mut self) -> u64 {
        let (cuts, purges) = (self.published.cuts(), self.published.purges());
        if (cuts, purges) != (self.cuts, self.purges) {
            self.cache.clear();
            (self.cuts, self.purges) = (cuts, purges);
        }
        cuts
    }

    fn page_of_line(&mut self, after: Position) -> Result<Arc<Page>, ReadError> {
        let bounds = self.published.bounds();
        self.cache.trim(bounds.oldest);
        self.cache.trim_presence(self.published.presence_trimmed());
        let wanted = after.next();
        if wanted < bounds.oldest {
            return Err(ReadError::Trimmed {
                oldest: bounds.oldest,
            });
        }
        if wanted > bounds.last {
            return Ok(Arc::new(Page::empty(after)));
        }
        if let Some(page) = self.cache.find(wanted) {
            self.published.on_page_cached();
            return Ok(page);
        }
        let first = first_of_page(wanted);
        let last = Position::new(first.get() + (PAGE_POSITIONS - 1)).min(bounds.last);
        // A page that was cached before it was full is extended.
        let begun = self.cache.before(first, wanted);
        let from = begun
            .as_ref()
            .map_or_else(|| first.max(bounds.oldest), |page| page.next.next());
        let begun = begun.filter(|page| page.bytes < PAGE_BYTES_MAX);
        let page = self.read(begun, from, last, wanted)?;
        if page.next >= wanted {
            return Ok(page);
        }
        // Large updates end pages early; the one before `wanted` may have ended long before it.
        self.read(None, wanted, last, wanted)
    }

    /// Returns the last position after `last` up to which nothing is stored. Thousands of consecutive presence
    /// events may have been removed.
    fn before_next(&mut self, last: Position) -> Result<Position, ReadError> {
        let end = self.published.bounds().last;
        let mut next = Vec::new();
        if last < end {
            let read = self.storage.read(last.next(), end, 1, &mut next);
            read.map_err(in_storage)?;
        }
        let before = |update: &Arc<Update>| Position::new(update.position.get().saturating_sub(1));
        Ok(next.first().map_or(last, before))
    }

    /// Returns the print at `position`, if it is stored.
    fn print(&mut self, position: Position) -> Result<Option<Print>, ReadError> {
        self.leave_lines();
        let cached = self.cache.update(position);
        match cached.and_then(|update| update.print) {
            Some(print) => Ok(Some(print)),
            None => self.storage.print(position).map_err(in_storage),
        }
    }

    /// Returns what is stored of `from..=to`, as the relay gave it.
    /// Returns what is stored of `from..=to`. Removed presence events whose prints are kept are there as
    /// withdrawn updates, so that the line has no hole; at most [`FILLED_MAX`] of them, after which it
    /// ends.
    fn stretch(
        &mut self,
        from: Position,
        to: Position,
        bytes_max: u64,
    ) -> Result<Stretch, StorageError> {
        let before = Position::new(from.get().saturating_sub(1));
        let mut stretch = Stretch {
            before: self.storage.print(before)?,
            updates: Vec::new(),
        };
        // Whoever asks for nothing asks for the print before it.
        if from > to {
            return Ok(stretch);
        }
        let mut found = Vec::new();
        self.storage.read(from, to, bytes_max, &mut found)?;
        let Bounds { oldest, last } = self.published.bounds();
        let bytes: u64 = found.iter().map(|update| update.bytes()).sum();
        let read_through = match found.last() {
            Some(update) if bytes >= bytes_max => update.position,
            // What follows has the time of what was removed at the end.
            Some(_) | None if to < last => {
                self.storage.read(to.next(), last, 1, &mut found)?;
                to
            }
            Some(_) | None => to.min(last),
        };
        let mut next = from.max(oldest);
        let mut left = FILLED_MAX;
        for update in found {
            while next < update.position && next <= read_through {
                let Some(fewer) = left.checked_sub(1) else {
                    return Ok(stretch);
                };
                left = fewer;
                match self.storage.print(next)? {
                    Some(print) => stretch.updates.push(removed(next, print, &update)),
                    // Retention has gone on: it begins later.
                    None if stretch.updates.is_empty() => {}
                    None => return Ok(stretch),
                }
                next = next.next();
            }
            if update.position > read_through {
                break;
            }
            next = update.position.next();
            let note = self.storage.note(update.position)?;
            stretch.updates.push(ordered(&update, note));
        }
        Ok(stretch)
    }

    /// Returns the hub's id of the update at `position`.
    fn cursor(&mut self, position: Position) -> Result<Option<EventId>, ReadError> {
        let print = self.print(position)?;
        Ok(print.map(|print| self.seal.seal(position, Some(print))))
    }

    fn find(&mut self, id: &str, claim: Option<Claim>) -> Result<Resolved, ReadError> {
        self.published.on_cursor_read();
        if let Some(claim) = claim {
            let print = self.print(claim.position())?;
            if print.is_some() && self.seal.vouches(claim, print) {
                return Ok(self.after(claim.position()));
            }
            if print.is_some() {
                self.published.on_cursor_lost();
            }
        }
        let found = self.storage.find(id).map_err(in_storage)?;
        Ok(match found {
            Some(position) => self.after(position),
            None => Resolved::Unknown {
                oldest: self.published.bounds().oldest,
            },
        })
    }

    /// Resolves a cursor at `position`, which retention may have removed in the meantime.
    fn after(&self, position: Position) -> Resolved {
        let Bounds { oldest, last } = self.published.bounds();
        if position.next() >= oldest && position <= last {
            Resolved::After(position)
        } else {
            Resolved::Unknown { oldest }
        }
    }

    /// Reads `from..=last`, appends it to the updates of `begun`, and caches the page.
    ///
    /// If retention removed updates in the meantime, the page begins later, at `wanted` at the
    /// latest.
    fn read(
        &mut self,
        begun: Option<Arc<Page>>,
        from: Position,
        last: Position,
        wanted: Position,
    ) -> Result<Arc<Page>, ReadError> {
        let bytes_max = PAGE_BYTES_MAX.saturating_sub(begun.as_ref().map_or(0, |page| page.bytes));
        let mut fresh = Vec::new();
        self.published.on_page_read();
        self.storage
            .read(from, last, bytes_max, &mut fresh)
            .map_err(in_storage)?;
        // Retention publishes a removal before it removes, so the bounds are checked after the
        // read.
        let oldest = self.published.bounds().oldest;
        if wanted < oldest {
            return Err(ReadError::Trimmed { oldest });
        }
        let whole = fresh.iter().map(|update| update.bytes()).sum::<u64>() < bytes_max;
        let through = match fresh.last() {
            Some(update) if !whole => update.position,
            Some(_) => last,
            None => self.before_next(last)?,
        };
        let begun = begun.filter(|_| oldest <= from);
        let fresh_from = from.max(oldest);
        fresh.retain(|update| update.position >= fresh_from);
        let fresh_hole = last_hole(&fresh, fresh_from, through);
        if fresh_hole > self.published.presence_trimmed() {
            return Err(ReadError::Missing {
                position: fresh_hole,
            });
        }
        let (first, mut updates, begun_hole) = match begun {
            Some(page) => (page.first, page.updates.clone(), page.last_hole),
            None => (fresh_from, Vec::new(), Position::ZERO),
        };
        updates.append(&mut fresh);
        let page = Arc::new(Page {
            bytes: updates.iter().map(|update| cached_bytes(update)).sum(),
            updates,
            next: through,
            last_hole: begun_hole.max(fresh_hole),
            first,
        });
        self.cache.insert(&page);
        Ok(page)
    }
}

impl Request {
    fn position(&self) -> Position {
        match self {
            Self::Page { after, .. } => *after,
            Self::Find { .. } | Self::Cursor { .. } | Self::Stretch { .. } => Position::ZERO,
        }
    }
}

/// Returns an update as its relay gave it.
fn ordered(update: &Update, note: Option<Arc<[u8]>>) -> OrderedUpdate {
    OrderedUpdate {
        position: update.position,
        published_ms: update.published_ms,
        print: update.print,
        draft: Draft {
            trace: update.trace,
            topics: update.topics.clone(),
            data: Arc::clone(&update.data),
            visibility: update.visibility.clone(),
            id: match update.id_source {
                IdSource::Hub => None,
                IdSource::Publisher => Some(update.id.clone()),
            },
            event_type: update.event_type.clone(),
            retry_ms: update.retry_ms,
            presence: update.presence,
        },
        note: note.unwrap_or_default(),
    }
}

/// Removed presence events that one stretch makes up for: each costs a look-up of its print.
const FILLED_MAX: usize = 4096;

/// Returns what is left of a removed presence event. It has the time of `following`, which is stored after
/// it: times do not decrease.
fn removed(position: Position, print: Print, following: &Update) -> OrderedUpdate {
    OrderedUpdate {
        position,
        published_ms: following.published_ms,
        print: Some(print),
        draft: Draft::withdrawn(),
        note: Arc::default(),
    }
}

/// Returns the first position of the page that `position` lies in.
fn first_of_page(position: Position) -> Position {
    let index = position.get().saturating_sub(1) / PAGE_POSITIONS;
    Position::new(index * PAGE_POSITIONS + 1)
}

/// Returns the last position of `first..=through` that is not among `updates`, or
/// [`Position::ZERO`].
fn last_hole(updates: &[Arc<Update>], first: Position, through: Position) -> Position {
    let mut expected = through;
    for update in updates.iter().rev() {
        if update.position != expected {
            return expected;
        }
        expected = Position::new(expected.get().saturating_sub(1));
    }
    if expected >= first {
        expected
    } else {
        Position::ZERO
    }
}

/// Estimates the memory of an update in a page.
fn cached_bytes(update: &Update) -> u64 {
    update.bytes() + 192
}

/// Returns the storage fault that made a read fail, if there was one.
fn fault_of<T>(result: &Result<T, ReadError>) -> Option<String> {
    match result {
        Err(ReadError::Storage(fault)) => Some(fault.line()),
        Err(error @ ReadError::Missing { .. }) => Some(error.to_string()),
        Ok(_) | Err(ReadError::Trimmed { .. } | ReadError::Busy | ReadError::Closed) => None,
    }
}

fn in_storage(error: StorageError) -> ReadError {
    ReadError::Storage(Arc::new(error))
}
