//! The standard's own handshake, and every field that can be wrong.

use super::*;
use crate::websocket::deflate::Context;

fn request() -> RequestFields<'static> {
    RequestFields {
        upgrade: vec!["websocket"],
        connection: vec!["keep-alive, Upgrade"],
        key: vec!["dGhlIHNhbXBsZSBub25jZQ=="],
        version: vec!["13"],
    }
}

/// RFC 6455, 1.3.
#[test]
fn the_standards_key_is_accepted() {
    assert_eq!(request().accept().unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn each_field_is_checked() {
    let with = |change: fn(&mut RequestFields<'static>)| {
        let mut request = request();
        change(&mut request);
        request.accept().unwrap_err()
    };
    assert_eq!(with(|r| r.upgrade.clear()), HandshakeError::NoUpgrade);
    assert_eq!(with(|r| r.upgrade = vec!["h2c"]), HandshakeError::NoUpgrade);
    assert_eq!(
        with(|r| r.connection = vec!["close"]),
        HandshakeError::NoConnectionUpgrade
    );
    assert_eq!(with(|r| r.version = vec!["8"]), HandshakeError::Version);
    assert_eq!(with(|r| r.version.clear()), HandshakeError::Version);
    assert_eq!(with(|r| r.key.clear()), HandshakeError::Key);
    assert_eq!(
        with(|r| r.key.push("dGhlIHNhbXBsZSBub25jZQ==")),
        HandshakeError::Key
    );
    assert_eq!(with(|r| r.key = vec!["c2hvcnQ="]), HandshakeError::Key);
    assert_eq!(with(|r| r.key = vec!["not base64"]), HandshakeError::Key);
}

#[test]
fn the_first_protocol_that_the_peer_prefers_is_chosen() {
    let supported = ["chat", "wamp"];
    assert_eq!(
        choose_protocol(["mqtt, wamp", "chat"], &supported),
        Some("wamp")
    );
    assert_eq!(choose_protocol(["mqtt"], &supported), None);
    assert_eq!(choose_protocol([], &supported), None);
}

#[test]
fn the_answer_is_one_that_flash_takes() {
    let agreed = Agreement::choose(["permessage-deflate"], Context::Kept, Context::Kept);
    let head = response_head(
        "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        Some("chat"),
        agreed.as_ref(),
    );
    assert_eq!(
        String::from_utf8(head).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Protocol: chat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\n\
         \r\n"
    );
}
