//! The load generator behind `tidings-bench`: it opens subscribers, publishes on a schedule, checks
//! what arrives, and reads from outside what that cost the server.
//!
//! One thread does all of it, so that the generator's own share can be told: subscribers and
//! publishers hang in one epoll set, and the schedule is kept between its turns. Latency counts from
//! the moment that an update was *due*, so a late generator or a slow hub cannot hide (no
//! coordinated omission). Nothing here knows the server's code; any Mercure hub can be measured.
//!
//! ```text
//! sse ─┐
//! publish ─┼─▶ Load (epoll) ─▶ Subscriber ─▶ Scanner ─▶ Ledger, Histogram
//! idle, resume ─┘        └───▶ Publisher ─▶ acknowledgements
//! soak ────▶ its own subscribers, which come back, and an Account of all they receive
//! floor: bare send() to as many sockets, the yardstick of the same run
//! ```

mod carried;
mod clock;
mod error;
mod histogram;
mod ledger;
mod link;
mod load;
mod mark;
mod multiplex;
mod poller;
mod polling;
mod process;
mod progress;
mod publisher;
mod scrape;
mod subscriber;

pub mod compare;
pub mod floor;
pub mod idle;
pub mod matching;
pub mod presence;
pub mod publish;
pub mod report;
pub mod resume;
pub mod soak;
pub mod sse;
pub mod target;

pub use error::BenchError;
