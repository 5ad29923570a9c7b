//! The ordered history of a hub: assigns positions to updates, stores them durably, reads them
//! back.
//!
//! [`start`] opens the storage and starts two threads behind one [`Handle`]:
//!
//! ```text
//! drafts, or ordered batches ─▶ queue ─▶ Writer ─▶ Storage ─▶ outlet(group), then each done(update)
//! Handle::read_page ─▶ queue ─▶ Reader ─▶ page cache ─▶ StorageReader
//! ```
//!
//! The handle is a [`tidings_cluster::History`]: its input comes from the hub's relay. A history
//! either orders drafts itself or stores updates in the order of its relay ([`Order`]).
//!
//! The writer commits everything queued as one group: an update is durable before any subscriber
//! sees it and before its publisher gets a response. Matching, encoding and the ring of recent
//! frames are elsewhere; this crate knows nothing about connections. `docs/formats/history.md`
//! describes the file.

mod append;
mod clock;
mod handle;
mod handover;
mod health;
mod options;
mod page;
mod page_cache;
mod published;
mod queue;
mod reader;
mod removed;
mod retention;
pub mod sabotage;
pub mod storage;
mod writer;

pub use append::{Append, Outlet, Purge, PurgeDone, Purged, Step};
pub use clock::{Clock, ClockNote, Reading};
pub use handle::{Detached, Handle, OpenError, detached, start, start_beside};
pub use handover::{ReclaimError, ReleaseError};
pub use health::Health;
pub use options::{Kind, Options, Order, PresenceRetention, Retention};
pub use page::{PAGE_POSITIONS, Page};
pub use published::{Bounds, Published, Stats, Tip};
pub use reader::{CursorReply, PageReply, ReadError, Reader, Request, ResolveReply, Resolved};
pub use removed::Removed;
pub use writer::Writer;
