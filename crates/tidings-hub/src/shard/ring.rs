//! The most recent updates in memory, in order, bounded in bytes. The ring serves most replays and every
//! short lag without touching the disk. Shards share the updates; each keeps its own list, without a lock.

use std::collections::VecDeque;
use std::sync::Arc;

use tidings_core::position::Position;
use tidings_core::print::Print;
use tidings_core::topic::Topic;
use tidings_history::Tip;
use tidings_history::sabotage::{Rule, skips};

use crate::posted::Posted;

/// Recent updates. Their positions are dense from the first to the last.
#[derive(Debug)]
pub(crate) struct Ring {
    posts: VecDeque<Arc<Posted>>,
    tip: Tip,
    bytes: usize,
    bytes_max: usize,
}

impl Ring {
    /// Makes an empty ring that continues after `tip`.
    pub(crate) fn new(tip: Tip, bytes_max: usize) -> Self {
        Self {
            posts: VecDeque::new(),
            tip,
            bytes: 0,
            bytes_max,
        }
    }

    /// Returns the last position seen.
    pub(crate) fn last(&self) -> Position {
        self.tip.position
    }

    /// Returns the last update's position and print.
    pub(crate) fn tip(&self) -> Tip {
        self.tip
    }

    /// Returns the print of the update at `position`, if it is here and has one.
    pub(crate) fn print(&self, position: Position) -> Option<Print> {
        if position == self.tip.position {
            return self.tip.print;
        }
        let first = self.posts.front()?.update.position;
        let index = position.get().checked_sub(first.get())?;
        let posted = self.posts.get(usize::try_from(index).ok()?)?;
        posted.update.print
    }

    /// Returns the bytes that the ring holds.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends an update, and drops old ones beyond the byte limit. The newest always stays.
    pub(crate) fn push(&mut self, posted: Arc<Posted>) {
        assert!(
            posted.update.position == self.tip.position.next(),
            "the ring's positions are dense"
        );
        self.tip = Tip {
            position: posted.update.position,
            print: posted.update.print,
        };
        self.bytes += posted.kept_bytes();
        self.posts.push_back(posted);
        while self.bytes > self.bytes_max && self.posts.len() > 1 && !skips(Rule::BoundTheRing) {
            let Some(dropped) = self.posts.pop_front() else {
                break;
            };
            self.bytes -= dropped.kept_bytes();
        }
    }

    /// Replaces the updates of `topic` up to `through`, which were withdrawn from the history.
    pub(crate) fn withdraw(&mut self, topic: &Topic, through: Position) {
        for posted in &mut self.posts {
            let update = &posted.update;
            if update.position > through {
                break;
            }
            let of_topic = update.topics.iter().any(|named| named == topic);
            if of_topic && !update.is_of_hub() {
                let withdrawn = Posted::replayed(Arc::new(update.withdrawn()));
                self.bytes -= posted.kept_bytes();
                self.bytes += withdrawn.kept_bytes();
                *posted = Arc::new(withdrawn);
            }
        }
    }

    /// Forgets everything, to continue after `tip` on another line.
    pub(crate) fn cut(&mut self, tip: Tip) {
        *self = Self::new(tip, self.bytes_max);
    }

    /// Returns up to `updates_max` updates after `position`. None if the ring starts later.
    pub(crate) fn after(&self, position: Position, updates_max: usize) -> Option<Vec<Arc<Posted>>> {
        let first = self.posts.front()?.update.position;
        let skip = position.next().get().checked_sub(first.get())?;
        let skip = usize::try_from(skip).ok()?;
        Some(
            self.posts
                .iter()
                .skip(skip)
                .take(updates_max)
                .cloned()
                .collect(),
        )
    }
}
