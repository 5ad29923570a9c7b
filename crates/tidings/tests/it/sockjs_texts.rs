//! Texts with percent signs on their way from an update to the wire of SockJS. The tests of
//! `tidings-test-server` have the escapes of each framing.

use crate::harness::peer::{Peer, handshake};
use crate::harness::sockjs::new_session;
use crate::harness::{Connection, Request, TestHub};

/// One update is encoded once for all who hear it by SockJS; the escapes of one framing are not those
/// of another.
#[test]
fn one_update_goes_to_every_framing_by_its_own_escapes() {
    let hub = TestHub::dev();
    let base = "/sockjs/room/chat";
    let mut events = stream(
        &hub,
        &Request::get(&format!("{}/eventsource", new_session(base))),
    );
    assert_eq!(chunks(&mut events, 2), ["\r\n", "data: o\r\n\r\n"]);
    let mut lines = stream(
        &hub,
        &Request::post(&format!("{}/xhr_streaming", new_session(base))),
    );
    assert_eq!(chunks(&mut lines, 2)[1], "o\n");
    let mut framed = Peer::open(
        hub.address,
        &handshake(&format!("{}/websocket", new_session(base))),
    );
    assert_eq!(framed.text(), "o");
    let mut speaker = hub.room("chat");
    for text in ["50% off", "%25", "a%\nb", "{\"rate\": \"7%\"}"] {
        speaker.send(text);
        let json = serde_json::to_string(text).expect("JSON");
        assert_eq!(framed.text(), format!("a[{json}]"));
        assert_eq!(chunks(&mut lines, 1), [format!("a[{json}]\n")]);
        let escaped = json.replace('%', "%25");
        assert_eq!(
            chunks(&mut events, 1),
            [format!("data: a[{escaped}]\r\n\r\n")]
        );
    }
}

#[test]
fn updates_and_closing_words_with_percent_signs_come_by_event_stream() {
    let hub = TestHub::dev();
    let topic = "https://example.com/sale";
    let target = format!("{}/eventsource?match={topic}", new_session("/sockjs"));
    let mut events = stream(&hub, &Request::get(&target));
    assert_eq!(chunks(&mut events, 2)[1], "data: o\r\n\r\n");
    assert!(chunks(&mut events, 1)[0].starts_with("data: a[\"{\\\"open\\\":"));
    let id = hub.published(&[
        ("topic", topic),
        ("data", "50% off\n"),
        ("id", "urn:sale:5%"),
    ]);
    assert_eq!(id, "urn:sale:5%");
    assert_eq!(
        chunks(&mut events, 1),
        [concat!(
            r#"data: a["{\"update\":{\"id\":\"urn:sale:5%25\",\"topics\":[\"https://example.com/sale\"],"#,
            r#"\"data\":\"50%25 off\\n\"}}"]"#,
            "\r\n\r\n"
        )]
    );
}

/// Begins an answer that goes on; the head is read.
#[track_caller]
fn stream(hub: &TestHub, request: &Request) -> Connection {
    let mut connection = Connection::open(hub.address);
    connection.send_request(request);
    assert_eq!(connection.read_head().status, 200);
    connection
}

#[track_caller]
fn chunks(connection: &mut Connection, count: usize) -> Vec<String> {
    let mut chunk = || connection.read_chunk().expect("a chunk");
    (0..count)
        .map(|_| String::from_utf8(chunk()).expect("UTF-8"))
        .collect()
}
