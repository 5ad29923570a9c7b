//! The load generator behind `tidings-bench`: it opens subscribers, publishes on a schedule, checks
//! received updates, and measures the server from outside.
//!
//! One thread does all of it, so that the generator's own cost is known: subscribers and publishers
//! share one epoll set, and the schedule runs between its turns. Latency counts from the moment at
//! which an update was *due*, so a late generator or a slow hub cannot hide (no coordinated
//! omission). Nothing here depends on the server's code; any Mercure hub can be measured.
//!
//! ```text
//! sse, publish, idle, reload, resume ─▶ Load (epoll) ─┬─▶ Subscriber ─▶ Scanner ─▶ Ledger, Histogram
//!                                                     └─▶ Publisher ─▶ acknowledgements
//! audit, restart, soak ─▶ their own subscribers, which reconnect, and an Account of all that they receive
//! floor ─▶ bare send() to as many sockets: the baseline of the same run
//! ```

mod clock;
mod error;
mod histogram;
mod ledger;
mod link;
mod load;
mod mark;
mod multiplex;
mod part;
mod poller;
mod polling;
mod process;
mod progress;
mod publisher;
mod scrape;
mod subscriber;
mod xhr_streaming;

pub mod audit;
pub mod compare;
pub mod engine;
pub mod floor;
pub mod idle;
pub mod matching;
pub mod presence;
pub mod publish;
pub mod reload;
pub mod report;
pub mod restart;
pub mod resume;
pub mod soak;
pub mod sse;
pub mod target;

pub use error::BenchError;
