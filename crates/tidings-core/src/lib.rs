//! The domain types and rules of Tidings: topics, matchers, updates, grants, event ids, and who
//! receives what.
//!
//! Nothing here reads a clock, a socket, a file, a random source or the environment, or starts a
//! thread: callers pass in what is needed. Protocol formats are in `tidings-wire`, which does not
//! depend on this crate; the server connects the two.
//!
//! Specification: `draft-dunglas-mercure-08`, cited as "Mercure" with the title of the section.

pub mod dialect;
pub mod event_id;
pub mod grant;
pub mod histogram;
pub mod holder;
pub mod hub;
pub mod hub_url;
pub mod id_seal;
pub mod index;
pub mod limits;
pub mod matcher;
pub mod position;
pub mod print;
pub mod subject;
pub mod target;
pub mod text;
pub mod topic;
pub mod trace;
pub mod update;

pub use dialect::Dialect;
pub use event_id::{Cursor, EventId, EventIdError};
pub use grant::{Grants, GrantsError, PayloadRule, RoleTargets};
pub use holder::{Holder, HolderKey};
pub use hub::{Hub, SubscriberId};
pub use hub_url::{HubUrl, HubUrlError};
pub use id_seal::{Claim, IdSeal};
pub use index::{Crowds, MatcherId, MatcherIndex};
pub use matcher::{Matcher, MatcherError, MatcherType, PatternError};
pub use position::Position;
pub use print::{Digest, Print, PrintKey};
pub use subject::Subject;
pub use target::{Target, TargetError, TargetGrant, Targets};
pub use text::forbidden_character;
pub use topic::{Topic, TopicError};
pub use trace::TraceContext;
pub use update::{
    Draft, EventType, EventTypeError, IdSource, Presence, Topics, TopicsError, Update, Visibility,
};
