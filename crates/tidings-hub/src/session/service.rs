//! Services beside the hub. A service answers the messages of a two-way session, and neither publishes nor
//! subscribes. The hub has one, an echo; a program that uses this library may offer others.

use std::fmt;
use std::sync::Arc;

use tidings_wire::sockjs::Text;

/// A service: it answers the messages of its peers.
pub trait Service: fmt::Debug + Send + Sync {
    /// Answers a text.
    fn on_text(&self, text: String) -> String;

    /// Answers a SockJS text, which may contain lone surrogates.
    fn on_sockjs_text(&self, text: Text) -> Text {
        Text::from(self.on_text(text.to_unicode()).as_str())
    }

    /// Answers a binary message. None for no answer.
    fn on_binary(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        drop(bytes);
        None
    }

    /// Returns the close code and the reason, if the service closes each connection at once.
    fn closes(&self) -> Option<(u16, &'static str)> {
        None
    }
}

/// Sends each message back.
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

/// A service at a path, with SockJS below it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The path, such as `/echo`.
    pub path: &'static str,
    /// The service.
    pub service: Arc<dyn Service>,
    /// Whether a WebSocket may ask for the path itself, without SockJS.
    pub plain: bool,
    /// Whether WebSockets are among the transports of SockJS.
    pub websocket: bool,
    /// Whether SockJS sets its cookie, for load balancers, even if the configuration does not say so.
    pub cookie: bool,
    /// Bytes after which a streaming SockJS response ends.
    pub response_bytes_max: usize,
    /// Bytes that a peer's compressed messages may inflate to in a second.
    pub inflated_per_second_max: usize,
}

/// Offers are equal if their paths are.
impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for Offer {}
