//! Opens WebSockets of a hub.

use super::peer::{Peer, handshake};
use super::{Answer, Connection, HUB_PATH, Request, TestHub};

impl TestHub {
    /// Opens a WebSocket of the hub; `query` comes after the `?`. The greeting is read.
    #[track_caller]
    pub fn websocket(&self, query: &str) -> Peer {
        self.websocket_by(&handshake(&format!("{HUB_PATH}?{query}")))
    }

    /// Opens a WebSocket of the hub by this request. The greeting is read.
    #[track_caller]
    pub fn websocket_by(&self, request: &Request) -> Peer {
        let mut peer = Peer::open(self.address, request);
        let greeting = peer.json();
        assert!(greeting["open"].is_object(), "{greeting}");
        peer
    }

    /// Joins a room.
    #[track_caller]
    pub fn room(&self, topic: &str) -> Peer {
        Peer::open(self.address, &handshake(&format!("/ws/{topic}")))
    }

    /// Asks for a WebSocket that is refused.
    pub fn refused(&self, request: &Request) -> Answer {
        Connection::open(self.address).request(request)
    }
}
