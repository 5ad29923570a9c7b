//! The formats of Tidings: bytes to fields, and back.
//!
//! This crate has forms and queries, the event stream, WebSocket and SockJS framing, ZMTP,
//! subscription documents, rows of stored updates, byte order marks, the PROXY protocol, the HTTP fields that an HTTP library leaves as
//! text, and the redaction of secrets. Nothing here reads a socket, a file or a clock, or
//! interprets topics and matchers: the rules about values are in `tidings-core`.
//!
//! Every decoder receives bytes chosen by a peer. No decoder panics, and its memory is bounded by
//! the length of its input or by an argument.

pub mod authority;
pub mod bearer;
pub mod bolt;
pub mod byte_order_mark;
pub mod cookie;
pub mod flash_policy;
pub mod form;
pub mod forwarded;
pub mod frame;
pub mod http_head;
pub mod hub_frames;
pub mod idempotency_key;
pub mod object;
pub mod old_publish_form;
pub mod origin;
pub mod prefer;
pub mod problem;
pub mod proxy_protocol;
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
