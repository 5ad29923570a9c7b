//! SockJS 0.3.3: its URLs, frames, inbound messages and fixed pages.
//!
//! Sessions, their timeouts and the sockets are elsewhere: this is bytes in, fields out.
//!
//! The format: the SockJS protocol, 0.3.3 (its annotated test suite is the specification).

pub mod inbound;
pub mod outbound;
pub mod pages;
pub mod place;
pub mod text;

pub use inbound::InboundError;
pub use outbound::{Framing, close_frame, text_frame};
pub use place::{Place, Transport};
pub use text::Text;

/// The frame that opens a session.
pub const OPEN: &str = "o";
/// The frame that keeps a connection alive.
pub const HEARTBEAT: &str = "h";

/// Close code: another receiver is connected to this session.
pub const CLOSE_ANOTHER_RECEIVER: u16 = 2010;
/// Close code: the connection of the receiver was interrupted.
pub const CLOSE_INTERRUPTED: u16 = 1002;
/// Close code: the server ends the session.
pub const CLOSE_GO_AWAY: u16 = 3000;
