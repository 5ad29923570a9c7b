//! The door for WebSockets of 2010 (`draft-hixie-thewebsocketprotocol-76`): the handshake of Safari 5
//! and Chrome 6 to 13, and of one of the SockJS protocol's own tests. `admission` decides what they may
//! use, as for every WebSocket.

use std::rc::Rc;

use http::header::{HOST, HeaderName, ORIGIN};
use http::request::Parts;
use tidings_core::dialect::Dialect;
use tidings_wire::websocket::hixie76::{self, Keys};

use crate::http::Site;
use crate::http::admission::MessageFraming;
use crate::http::{Answer, ConnectionInfo};
use tidings_hub::shard::Subscription;

const KEY_1: HeaderName = HeaderName::from_static("sec-websocket-key1");
const KEY_2: HeaderName = HeaderName::from_static("sec-websocket-key2");

/// Such a WebSocket that is about to be opened.
#[derive(Debug)]
pub(crate) struct OldUpgrade {
    pub(crate) subscription: Subscription,
    pub(crate) framing: MessageFraming,
    pub(crate) keys: Keys,
    pub(crate) head: String,
}

/// Returns the keys of such a request.
pub(crate) fn keys(asked: &Parts) -> Option<Keys> {
    let text = |name: &HeaderName| asked.headers.get(name)?.to_str().ok();
    Keys::parse(text(&KEY_1)?, text(&KEY_2)?)
}

/// Returns the answer that opens one.
pub(crate) fn open(
    site: &Rc<Site>,
    info: &ConnectionInfo,
    asked: &Parts,
    keys: Keys,
    framing: MessageFraming,
    subscription: Subscription,
) -> Answer {
    debug_assert!(
        subscription.dialect == Dialect::V1,
        "old WebSockets, not old hubs"
    );
    let text = |name: HeaderName| {
        let value = asked
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let config = site.config();
    let listener = info.listener.and_then(|index| config.listens.get(index));
    let secure =
        listener.is_some_and(|listen| listen.tls) || config.hub.origin().starts_with("https://");
    let scheme = if secure { "wss" } else { "ws" };
    let path = asked.uri.path_and_query().map_or("/", |path| path.as_str());
    let location = format!("{scheme}://{}{path}", text(HOST));
    Answer::OldUpgrade(Box::new(OldUpgrade {
        subscription,
        framing,
        keys,
        head: hixie76::response_head(&text(ORIGIN), &location),
    }))
}
