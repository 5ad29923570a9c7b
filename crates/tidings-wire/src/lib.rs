//! The formats that Tidings speaks: bytes in, fields out, and back.
//!
//! Here are forms and queries, the event stream, WebSocket and SockJS framing, ZMTP, documents of
//! subscriptions, rows of stored updates, the HTTP fields that a general HTTP library leaves as text, and
//! what is secret in a text. Nothing in this crate reads a
//! socket, a file or a clock, and nothing knows what a topic or a matcher means: the rules about
//! values are in `tidings-core`.
//!
//! Every decoder takes bytes that a peer chose. None of them panics, and what each of them keeps
//! is bounded by the length of its input or by an argument.

pub mod authority;
pub mod bearer;
pub mod bolt;
pub mod cookie;
pub mod flash_policy;
pub mod form;
pub mod frame;
pub mod http_head;
pub mod hub_frames;
pub mod old_publish_form;
pub mod origin;
pub mod prefer;
pub mod problem;
pub mod publish_form;
pub mod redact;
pub mod selector_query;
pub mod sockjs;
pub mod sse;
pub mod sse_decoder;
pub mod stored_update;
pub mod subscribe_query;
pub mod subscription_document;
pub mod websocket;
pub mod zmtp;

pub use frame::Frame;
pub use origin::{OriginError, OriginList};
pub use publish_form::{FormError, PublishForm};
pub use sse::EventFields;
pub use subscribe_query::{QueryError, SubscribeQuery};
