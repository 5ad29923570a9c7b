//! Services beside the hub. A service answers the messages of a two-way session, and neither publishes nor
//! subscribes. The hub has one, an echo; a program that uses this library may offer others.

use std::fmt;
use std::sync::Arc;

use tidings_wire::sockjs::Text;

/// What a service says to its peers.
pub trait Service: fmt::Debug + Send + Sync {
    /// Answers a text.
    fn on_text(&self, text: String) -> String;

    /// Answers a text of SockJS, which may hold lone surrogates.
    fn on_sockjs_text(&self, text: Text) -> Text {
        Text::from(self.on_text(text.to_unicode()).as_str())
    }

    /// Answers binary, unless it says nothing to that.
    fn on_binary(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        drop(bytes);
        None
    }

    /// Returns the close code and the reason for a service that closes each connection at once.
    fn closes(&self) -> Option<(u16, &'static str)> {
        None
    }
}

/// Sends back what comes.
#[derive(Debug)]
pub struct Echo;

impl Service for Echo {
    fn on_text(&self, text: String) -> String {
        text
    }

    fn on_sockjs_text(&self, text: Text) -> Text {
        text
    }

    fn on_binary(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        Some(bytes)
    }
}

/// A service at a path, by SockJS below it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The path, such as `/echo`.
    pub path: &'static str,
    /// What answers there.
    pub service: Arc<dyn Service>,
    /// Whether a WebSocket may ask for the path itself, without SockJS.
    pub plain: bool,
    /// Whether WebSockets are among the transports of SockJS.
    pub websocket: bool,
    /// Whether SockJS sets its cookie, for load balancers, though the configuration has none.
    pub cookie: bool,
    /// Bytes after which a streaming answer of SockJS ends.
    pub response_bytes_max: usize,
    /// Bytes that a peer's compressed texts may become in a second.
    pub inflated_per_second_max: usize,
}

/// Each is told apart by its path.
impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Offer {}
