//! How an update is framed for one peer.

use bytes::Bytes;
use tidings_core::dialect::Dialect;
use tidings_wire::websocket::deflate::Window;

use super::Posted;
use crate::session::protocol::Form;

/// How updates are framed for one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// HTTP/1.1 chunks.
    Chunked,
    /// The bare event stream: HTTP/1.0, or the body of an HTTP/2 response.
    Plain,
    /// Text messages of a WebSocket, compressed if a window was agreed on.
    WebSocket(Texts, Option<Window>),
    /// One line of JSON for each update, for the response to a poll.
    Lines,
}

/// How a text message carries an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Texts {
    /// The form that the session's protocol gives it.
    pub form: Form,
    /// Whether the message is wrapped in a SockJS frame.
    pub in_sockjs: bool,
}

impl Encoding {
    /// Returns the bytes of `posted` in this framing, shared with every other subscriber of the dialect.
    pub(crate) fn bytes(self, posted: &Posted, dialect: Dialect) -> Bytes {
        match self {
            Self::Chunked => posted.frame(dialect).chunk().clone(),
            Self::Plain => posted.frame(dialect).event(),
            Self::WebSocket(texts, window) => posted.websocket_frame(texts, window),
            Self::Lines => posted.line(),
        }
    }
}
