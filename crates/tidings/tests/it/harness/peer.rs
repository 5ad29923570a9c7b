//! The other end of a WebSocket, so that a test decides about every byte. It reads by the codec of
//! the product, which the conformance suite checks against other peers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_wire::websocket::Opcode;
use tidings_wire::websocket::deflate::{Agreement, Context, Inflater};
use tidings_wire::websocket::encoder::{Packing, masked_frame};
use tidings_wire::websocket::frames::{Decoder, Event, Limits, Role};

use super::exchange::ReadWrite;
use super::{DEADLINE, Request};

const KEY: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
const LIMITS: Limits = Limits {
    bytes_max: 64 * 1024 * 1024,
    fragments_max: 1,
};

/// How long other events may pass before the one that is waited for: each of them comes in time, so that
/// no read fails.
const PASSING_MAX: Duration = DEADLINE.saturating_mul(4);

/// An open WebSocket.
pub struct Peer {
    stream: Box<dyn ReadWrite>,
    decoder: Decoder,
    unread: Vec<u8>,
    /// The head of the answer that opened it.
    pub head: String,
}

/// Returns the request that opens a WebSocket.
pub fn handshake(target: &str) -> Request {
    Request::get(target)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
}

impl Peer {
    /// Opens one; anything but 101 fails the test.
    #[track_caller]
    pub fn open(address: SocketAddr, request: &Request) -> Self {
        let stream = TcpStream::connect(address).expect("the hub accepts connections");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(DEADLINE)).expect("an option");
        stream.set_write_timeout(Some(DEADLINE)).expect("an option");
        Self::over(address, stream, request)
    }

    /// Opens one over a stream that is connected already.
    #[track_caller]
    pub fn over(address: SocketAddr, stream: impl ReadWrite + 'static, request: &Request) -> Self {
        let mut stream: Box<dyn ReadWrite> = Box::new(stream);
        let bytes = String::from_utf8(request.bytes()).expect("a text");
        let bytes = bytes.replace("HOST", &address.to_string());
        stream.write_all(bytes.as_bytes()).expect("written");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            let count = stream.read(&mut byte).expect("a head");
            assert!(count == 1, "no head: {:?}", String::from_utf8_lossy(&head));
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).expect("a text");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let agreed = head
            .lines()
            .find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "))
            .and_then(|offer| Agreement::choose([offer], Context::Kept, Context::Kept))
            .map(|mut agreed| {
                agreed.peer = agreed.server;
                agreed
            });
        Self {
            stream,
            decoder: Decoder::new(Role::Peer, LIMITS, agreed.as_ref().map(Inflater::new)),
            unread: Vec::new(),
            head,
        }
    }

    /// Takes over a stream through which frames go already.
    pub fn opened(stream: impl ReadWrite + 'static) -> Self {
        Self::opened_with(stream, None)
    }

    /// The same where this compression was agreed on.
    pub fn opened_with(stream: impl ReadWrite + 'static, agreed: Option<&Agreement>) -> Self {
        Self {
            stream: Box::new(stream),
            decoder: Decoder::new(Role::Peer, LIMITS, agreed.map(Inflater::new)),
            unread: Vec::new(),
            head: String::new(),
        }
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("written");
    }

    /// Sends bytes as they are; returns whether the connection took them.
    pub fn try_send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Returns the connection, to write to without reading.
    pub fn into_stream(self) -> Box<dyn ReadWrite> {
        self.stream
    }

    /// Sends one frame.
    pub fn send_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let frame = masked_frame(opcode, Packing::Plain, payload, KEY);
        self.send_bytes(&frame);
    }

    /// Sends a text.
    pub fn send(&mut self, text: &str) {
        self.send_frame(Opcode::Text, text.as_bytes());
    }

    /// Sends JSON.
    pub fn ask(&mut self, frame: &Value) {
        self.send(&frame.to_string());
    }

    /// Sends JSON and returns the answer with the same `ref`, which must come next but for updates
    /// that are already on their way.
    #[track_caller]
    pub fn answered(&mut self, mut frame: Value) -> Value {
        frame["ref"] = json!("asked");
        self.ask(&frame);
        let end = Instant::now() + PASSING_MAX;
        loop {
            let answer = self.json();
            if answer["ref"] == "asked" {
                return answer;
            }
            assert!(
                Instant::now() < end,
                "updates came, and no answer to {frame}"
            );
        }
    }

    /// Waits for the next event; nothing at the end of the connection.
    pub fn next(&mut self) -> Option<Event> {
        loop {
            let mut input: &[u8] = &self.unread;
            let event = self.decoder.decode(&mut input).expect("frames of a server");
            let read = self.unread.len() - input.len();
            self.unread.drain(..read);
            if event.is_some() {
                return event;
            }
            let mut buffer = [0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(count) => self.unread.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing came: {error}"),
            }
        }
    }

    /// Waits for the next text, answering pings.
    #[track_caller]
    pub fn text(&mut self) -> String {
        let end = Instant::now() + PASSING_MAX;
        loop {
            match self.next() {
                Some(Event::Text(text)) => return text,
                Some(Event::Ping(payload)) => self.send_frame(Opcode::Pong, &payload),
                other => panic!("not a text: {other:?}"),
            }
            assert!(Instant::now() < end, "pings came, and no text");
        }
    }

    /// Waits for the next text, as JSON.
    #[track_caller]
    pub fn json(&mut self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Waits for the next update and returns its data.
    #[track_caller]
    pub fn data(&mut self) -> String {
        let frame = self.json();
        frame["update"]["data"]
            .as_str()
            .unwrap_or_else(|| panic!("not an update: {frame}"))
            .to_owned()
    }

    /// Waits for the close frame and the end; returns code and reason.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let end = Instant::now() + PASSING_MAX;
        let close = loop {
            match self.next() {
                Some(Event::Close(close)) => break close,
                Some(_) => assert!(Instant::now() < end, "frames came, and no close frame"),
                None => panic!("the connection ended without a close frame"),
            }
        };
        let close = close.expect("a code");
        (close.code.get(), close.reason.into())
    }

    /// Waits for the end of the connection.
    #[track_caller]
    pub fn ended(&mut self) {
        let end = Instant::now() + PASSING_MAX;
        while self.next().is_some() {
            assert!(
                Instant::now() < end,
                "frames came, and no end of the connection"
            );
        }
    }
}
