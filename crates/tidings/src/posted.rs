//! An update on its way to subscribers: committed, matched once, encoded once.
//! Matching happens in `router`, writing in `shard`; nothing here decides who receives.

use std::sync::{Arc, OnceLock};

use tidings_core::index::MatcherId;
use tidings_core::update::Update;
use tidings_wire::frame::Frame;
use tidings_wire::sse::EventFields;

/// Bytes that one kept update costs beside its text: the structures around it, rounded up.
const OVERHEAD_BYTES: usize = 320;

/// A committed update, shared by every shard.
#[derive(Debug)]
pub(crate) struct Posted {
    /// What the history holds.
    pub(crate) update: Arc<Update>,
    /// Interned matchers that select the update, ascending; empty for what was read back from the
    /// history, which is matched against one subscriber's own matchers instead.
    pub(crate) matching: Arc<[MatcherId]>,
    frame: OnceLock<Frame>,
}

impl Posted {
    /// Wraps a freshly committed update with the matchers that select it.
    pub(crate) fn new(update: Arc<Update>, matching: Arc<[MatcherId]>) -> Self {
        Self {
            update,
            matching,
            frame: OnceLock::new(),
        }
    }

    /// Wraps an update that was read back from the history.
    pub(crate) fn replayed(update: Arc<Update>) -> Self {
        Self::new(update, Arc::from([]))
    }

    /// Returns the wire form, encoded by the first caller and shared from then on.
    pub(crate) fn frame(&self) -> &Frame {
        self.frame.get_or_init(|| {
            let update = &self.update;
            Frame::encode(EventFields {
                event_type: update.event_type.as_ref().map(|name| name.as_str()),
                retry_ms: update.retry_ms,
                id: update.id.as_str(),
                data: &update.data,
            })
        })
    }

    /// Returns the bytes of memory that keeping this update costs, its wire form included.
    pub(crate) fn kept_bytes(&self) -> usize {
        let topics: usize = self
            .update
            .topics
            .iter()
            .map(|topic| topic.as_str().len())
            .sum();
        OVERHEAD_BYTES + topics + 2 * self.update.data.len()
    }
}

/// Updates that were committed as one group, in order.
pub(crate) type Batch = Arc<[Arc<Posted>]>;
