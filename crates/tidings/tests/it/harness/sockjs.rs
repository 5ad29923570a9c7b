//! A SockJS client without WebSocket: it polls by `xhr` and sends by `xhr_send`, by hand, so that a test
//! controls when it receives.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{Answer, Connection, Request, TestHub};

/// A session that polls.
pub struct Poller {
    address: SocketAddr,
    /// The URL of the session, without the transport.
    pub url: String,
    query: String,
    headers: Vec<(String, String)>,
    receiving: Connection,
    texts: VecDeque<String>,
}

/// What a poll brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Open,
    Heartbeat,
    Texts(Vec<String>),
    Close(u16, String),
}

impl Frame {
    /// Reads a frame without its framing.
    #[track_caller]
    pub fn parse(frame: &str) -> Self {
        let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        match frame.split_at_checked(1) {
            Some(("o", "")) => Self::Open,
            Some(("h", "")) => Self::Heartbeat,
            Some(("a", texts)) => Self::Texts(serde_json::from_value(json(texts)).expect("texts")),
            Some(("c", close)) => {
                let close = json(close);
                let code = close[0].as_u64().expect("a code");
                let reason = close[1].as_str().expect("a reason").to_owned();
                Self::Close(u16::try_from(code).expect("16 bits"), reason)
            }
            _ => panic!("not a frame: {frame:?}"),
        }
    }
}

/// Returns the URL of a session that nobody has used.
pub fn new_session(base: &str) -> String {
    static SESSIONS: AtomicUsize = AtomicUsize::new(0);
    let number = SESSIONS.fetch_add(1, Ordering::Relaxed);
    format!("{base}/{:03}/s{number}", number % 1000)
}

impl Poller {
    /// Opens a session at `base`; `query` goes with each request.
    #[track_caller]
    pub fn open(address: SocketAddr, base: &str, query: &str) -> Self {
        Self::open_with(address, base, query, &[])
    }

    /// The same with these fields in each request.
    #[track_caller]
    pub fn open_with(
        address: SocketAddr,
        base: &str,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Self {
        let headers = headers.iter();
        let mut poller = Self {
            address,
            url: new_session(base),
            query: query.to_owned(),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            receiving: Connection::open(address),
            texts: VecDeque::new(),
        };
        assert_eq!(poller.poll(), Frame::Open);
        poller
    }

    /// Returns a request of this session.
    pub fn request(&self, transport: &str, body: &str) -> Request {
        let mut request = Request::post(&format!("{}/{transport}?{}", self.url, self.query));
        request.headers = self.headers.clone();
        request.body(body)
    }

    /// Polls once.
    #[track_caller]
    pub fn poll(&mut self) -> Frame {
        let answer = self.receiving.request(&self.request("xhr", ""));
        let text = answer.text();
        assert_eq!(answer.status, 200, "{text}");
        Frame::parse(text.strip_suffix('\n').expect("a line"))
    }

    /// Sends texts in one request.
    pub fn try_send(&self, texts: &[&str]) -> Answer {
        let body = json!(texts).to_string();
        Connection::open(self.address).request(&self.request("xhr_send", &body))
    }

    /// Sends a text, which must be accepted.
    #[track_caller]
    pub fn send(&self, text: &str) {
        let answer = self.try_send(&[text]);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }

    /// Waits for the next text.
    #[track_caller]
    pub fn text(&mut self) -> String {
        loop {
            if let Some(text) = self.texts.pop_front() {
                return text;
            }
            match self.poll() {
                Frame::Texts(texts) => self.texts.extend(texts),
                Frame::Heartbeat => {}
                other @ (Frame::Open | Frame::Close(..)) => panic!("not texts: {other:?}"),
            }
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
        let data = frame["update"]["data"].as_str();
        data.unwrap_or_else(|| panic!("not an update: {frame}"))
            .to_owned()
    }

    /// Asks for something and returns the answer.
    #[track_caller]
    pub fn answered(&mut self, mut frame: Value) -> Value {
        frame["ref"] = json!("asked");
        self.send(&frame.to_string());
        loop {
            let answer = self.json();
            if answer["ref"] == "asked" {
                return answer;
            }
        }
    }
}

impl TestHub {
    /// Opens a session of the hub that polls. The greeting is read.
    #[track_caller]
    pub fn sockjs(&self, query: &str) -> Poller {
        let mut poller = Poller::open(self.address, "/sockjs", query);
        let greeting = poller.json();
        assert!(greeting["open"].is_object(), "{greeting}");
        poller
    }

    /// Joins a room by polling.
    #[track_caller]
    pub fn sockjs_room(&self, topic: &str) -> Poller {
        Poller::open(self.address, &format!("/sockjs/room/{topic}"), "")
    }
}
