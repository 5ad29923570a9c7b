//! How an update is framed for one peer.

use bytes::Bytes;
use tidings_core::dialect::Dialect;
use tidings_wire::websocket::deflate::Window;

use super::Posted;

/// How events are framed for this peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// HTTP/1.1 chunks.
    Chunked,
    /// The bare event stream: HTTP/1.0, or the body of an HTTP/2 response.
    Plain,
    /// Texts of a WebSocket, compressed if a window was agreed on.
    WebSocket(Texts, Option<Window>),
    /// One line of JSON for each update, of which the answer to a poll is made.
    Lines,
}

/// What a text of a WebSocket says about an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Texts {
    /// All of it, as the JSON of `tidings-wire/hub_frames`.
    Json,
    /// Its data and nothing else.
    Bare,
    /// The first in a frame of SockJS.
    SockJsJson,
    /// The second in a frame of SockJS.
    SockJsBare,
}

impl Texts {
    /// Returns the same in frames of SockJS.
    pub(crate) fn in_sockjs(self) -> Self {
        match self {
            Self::Json | Self::SockJsJson => Self::SockJsJson,
            Self::Bare | Self::SockJsBare => Self::SockJsBare,
        }
    }

    /// Returns whether these are frames of SockJS.
    pub(crate) fn are_sockjs(self) -> bool {
        matches!(self, Self::SockJsJson | Self::SockJsBare)
    }

    /// Returns whether these are the hub's frames.
    pub(crate) fn are_json(self) -> bool {
        matches!(self, Self::Json | Self::SockJsJson)
    }
}

impl Encoding {
    /// Returns the bytes of `posted` in this framing, shared with every other subscriber of the
    /// dialect.
    pub(crate) fn bytes(self, posted: &Posted, dialect: Dialect) -> Bytes {
        match self {
            Self::Chunked => posted.frame(dialect).chunk().clone(),
            Self::Plain => posted.frame(dialect).event(),
            Self::WebSocket(texts, window) => posted.websocket_frame(texts, window),
            Self::Lines => posted.line(),
        }
    }
}
