//! How event streams end on the wire: `subscribe.end`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use h2::Reason;
use rustls::pki_types::ServerName;
use tidings_wire::sse_decoder::{Decoded, Decoder, Event};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::harness::serving::{self, Certificate, serve_tls, token};
use crate::harness::{
    Connection, DEADLINE, EventStream, HUB_PATH, Request, TestHub, run, wait_until,
};

/// Asks for every update that is kept.
const ALL: &str = "/.well-known/mercure?match=a&last_event_id=earliest";
/// What a stream carries that is drained; the last two right before its end.
const UPDATES: [&str; 3] = ["one", "two", "three"];
/// Bytes of the longest event here.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

#[test]
fn over_http_1_an_abrupt_end_leaves_out_the_last_chunk_and_no_event() {
    for (end, complete) in [("", true), ("clean", true), ("abrupt", false)] {
        for cause in [Cause::Lifetime, Cause::Drain] {
            check_http_1(Served::start(end, cause, false), cause, complete);
        }
    }
}

#[test]
fn over_tls_too() {
    for (end, complete) in [("clean", true), ("abrupt", false)] {
        for cause in [Cause::Lifetime, Cause::Drain] {
            check_http_1(Served::start(end, cause, true), cause, complete);
        }
    }
}

#[test]
fn over_http_2_an_abrupt_end_resets_the_stream_after_whole_events() {
    for (end, complete) in [("clean", true), ("abrupt", false)] {
        for cause in [Cause::Lifetime, Cause::Drain] {
            for tls in [false, true] {
                check_http_2(Served::start(end, cause, tls), cause, complete);
            }
        }
    }
}

#[test]
fn http_1_0_has_one_end_only() {
    for end in ["clean", "abrupt"] {
        let mut served = Served::start(end, Cause::Drain, false);
        served.publish("one");
        let request = Request::get(ALL).http10();
        let mut stream = EventStream::open(served.connect(), &request);
        assert_eq!(stream.event().data, "one");
        served.hub.terminate();
        assert_eq!(stream.next_event(), None);
        assert!(served.hub.wait_for_exit().success());
    }
}

#[test]
fn a_long_poll_is_answered_whole_all_the_same() {
    let mut served = Served::start("abrupt", Cause::Drain, false);
    let mut waiting = served.connect();
    let request = Request::get(&format!("{HUB_PATH}?match=a"));
    waiting.send_request(&request.header("Prefer", "wait=20"));
    served
        .hub
        .wait_for_metric("tidings_subscribers", |count| count >= 1.0);
    served.hub.terminate();
    let answer = waiting.read_answer(false);
    assert_eq!(answer.json()["updates"], serde_json::json!([]));
    assert!(served.hub.wait_for_exit().success());
}

#[test]
fn an_unknown_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml");
    let toml = serving::toml("[subscribe]\nend = \"reset\"\n");
    std::fs::write(&path, toml).unwrap();
    let path = path.to_str().unwrap();
    let (code, _, error) = run(&["config", "check", "--config", path], &[]);
    assert_ne!(code, 0);
    assert!(
        error.contains("subscribe.end") && error.contains("clean, abrupt"),
        "{error}"
    );
}

#[test]
fn a_subscriber_that_resumes_after_each_abrupt_end_loses_nothing() {
    let served = Served::start("abrupt", Cause::Lifetime, false);
    let address = served.hub.address;
    let connections = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&connections);
    let reader = thread::spawn(move || {
        let mut last_id = "earliest".to_owned();
        let mut data = Vec::new();
        while data.last().is_none_or(|data| data != "last") {
            seen.fetch_add(1, Ordering::Relaxed);
            let mut stream = Connection::open(address);
            let request = Request::get(&format!("{HUB_PATH}?match=a"));
            stream.send_request(&request.header("Last-Event-ID", &last_id));
            assert_eq!(stream.read_head().status, 200);
            let (events, complete) = unchunk(&stream.read_to_end());
            assert!(!complete);
            for event in decode(&events) {
                last_id = event.last_event_id;
                data.push(event.data);
            }
        }
        data
    });
    let mut expected = Vec::new();
    while connections.load(Ordering::Relaxed) < 4 {
        assert!(!reader.is_finished(), "the reader failed");
        expected.push(format!("update {}", expected.len()));
        served.publish(expected.last().unwrap());
    }
    expected.push("last".to_owned());
    served.publish("last");
    assert_eq!(reader.join().expect("a reader"), expected);
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Lifetime,
    Drain,
}

impl Cause {
    /// Returns what a stream carries until its end.
    fn expected(self) -> &'static [&'static str] {
        match self {
            Self::Lifetime => &UPDATES[..1],
            Self::Drain => &UPDATES,
        }
    }

    /// Brings the end about, right behind updates that nobody has read yet; a lifetime ends by itself.
    fn act(self, served: &Served) {
        match self {
            Self::Lifetime => {}
            Self::Drain => {
                let delivered = || {
                    served.hub.metric("tidings_deliveries_total")
                        + served.hub.metric("tidings_replayed_updates_total")
                };
                UPDATES[1..].iter().for_each(|data| served.publish(data));
                // Published is not yet spread: a hub that stops leaves the rest to whoever resumes.
                wait_until("they are handed over", || {
                    (delivered() >= UPDATES.len() as f64).then_some(())
                });
                served.hub.terminate();
            }
        }
    }
}

/// A hub with `subscribe.end`.
struct Served {
    hub: TestHub,
    certificate: Option<Certificate>,
    token: String,
}

impl Served {
    fn start(end: &str, cause: Cause, tls: bool) -> Self {
        let secs = match cause {
            Cause::Lifetime => 1,
            Cause::Drain => 0,
        };
        let mut more = format!(
            "[server]\ndrain_secs = 1\n\
             [subscribe]\nanonymous = true\nconnection_secs_max = {secs}\n"
        );
        if !end.is_empty() {
            more.push_str(&format!("end = \"{end}\"\n"));
        }
        let (hub, certificate) = if tls {
            let (hub, certificate) = serve_tls(&more);
            (hub, Some(certificate))
        } else {
            (TestHub::serve(&serving::toml(&more)), None)
        };
        Self {
            hub,
            certificate,
            token: token(),
        }
    }

    fn connect(&self) -> Connection {
        match &self.certificate {
            None => Connection::open(self.hub.address),
            Some(certificate) => certificate.open(&self.hub),
        }
    }

    #[track_caller]
    fn publish(&self, data: &str) {
        let request = Request::post(HUB_PATH).bearer(&self.token);
        let answer = self
            .connect()
            .request(&request.form(&[("topic", "a"), ("data", data)]));
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

#[track_caller]
fn check_http_1(served: Served, cause: Cause, complete: bool) {
    served.publish("one");
    let mut stream = served.connect();
    stream.send_request(&Request::get(ALL));
    assert_eq!(stream.read_head().status, 200);
    let mut came = Vec::new();
    while !has_first(&came) {
        came.extend(stream.read_some().expect("the first update"));
    }
    cause.act(&served);
    came.extend(stream.read_to_end());
    let (events, ended) = unchunk(&came);
    assert_eq!(ended, complete, "{cause:?}");
    assert_eq!(data(&events), cause.expected(), "{cause:?}");
}

#[track_caller]
fn check_http_2(served: Served, cause: Cause, complete: bool) {
    served.publish("one");
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().expect("a runtime");
    let tls = served.certificate.as_ref();
    let tls = tls.map(|certificate| Arc::new(certificate.config(&[b"h2"])));
    let address = served.hub.address;
    let (begun, mut has_begun) = mpsc::channel(1);
    let reader = thread::spawn(move || {
        runtime.block_on(async {
            let tcp = TcpStream::connect(address).await.expect("connected");
            let reading = async {
                match tls {
                    None => read_http_2(tcp, begun).await,
                    Some(config) => {
                        let name = ServerName::try_from("localhost").expect("a name");
                        let tls = TlsConnector::from(config).connect(name, tcp).await;
                        read_http_2(tls.expect("TLS"), begun).await
                    }
                }
            };
            let reading = tokio::time::timeout(DEADLINE, reading).await;
            reading.expect("the stream ends in time")
        })
    });
    has_begun.blocking_recv().expect("the first update");
    cause.act(&served);
    let (events, end) = reader.join().expect("a reader");
    let reset = (!complete).then_some(Reason::INTERNAL_ERROR);
    assert_eq!(end, reset, "{cause:?}");
    assert!(events.ends_with(b"\n\n"), "{cause:?}");
    assert_eq!(data(&events), cause.expected(), "{cause:?}");
}

/// Reads one event stream to its end; `begun` is told once the first update is there. Returns what
/// came, and the reason if the stream was reset.
async fn read_http_2(
    connected: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    begun: mpsc::Sender<()>,
) -> (Vec<u8>, Option<Reason>) {
    let (sender, connection) = h2::client::handshake(connected).await.expect("HTTP/2");
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let request = http::Request::get(format!("https://localhost{ALL}")).body(());
    let mut sender = sender.ready().await.expect("a stream");
    let sent = sender.send_request(request.expect("a request"), true);
    let answer = sent.expect("sent").0.await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let mut came = Vec::new();
    let end = loop {
        match body.data().await {
            None => break None,
            Some(Ok(bytes)) => {
                let more: Bytes = bytes;
                let window = body.flow_control();
                window.release_capacity(more.len()).expect("its own");
                came.extend(more);
                if has_first(&came) {
                    begun.try_send(()).ok();
                }
            }
            Some(Err(error)) => {
                assert!(error.is_reset() && error.is_remote(), "{error}");
                break error.reason();
            }
        }
    };
    (came, end)
}

fn has_first(came: &[u8]) -> bool {
    came.windows(11).any(|window| window == b"data: one\n\n")
}

/// Takes the chunks apart. Returns what was in them, and whether the last one is there; half a chunk
/// fails the test.
#[track_caller]
fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut events = Vec::new();
    loop {
        let Some(at) = bytes.windows(2).position(|two| two == b"\r\n") else {
            assert_eq!(bytes, b"", "half a chunk");
            return (events, false);
        };
        let size = std::str::from_utf8(&bytes[..at]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        let chunk = bytes.get(at + 2..at + 2 + size).expect("a whole chunk");
        bytes = &bytes[at + 2 + size..];
        bytes = bytes.strip_prefix(b"\r\n").expect("a whole chunk");
        if size == 0 {
            assert_eq!(bytes, b"", "nothing follows the last chunk");
            return (events, true);
        }
        events.extend(chunk);
    }
}

fn decode(stream: &[u8]) -> Vec<Event> {
    let mut decoded = Vec::new();
    let mut decoder = Decoder::new(EVENT_BYTES_MAX, "");
    decoder.push(stream, &mut decoded).expect("a stream");
    let events = decoded.into_iter().filter_map(|decoded| match decoded {
        Decoded::Event(event) => Some(event),
        Decoded::Comment(_) | Decoded::Retry(_) => None,
    });
    events.collect()
}

fn data(stream: &[u8]) -> Vec<String> {
    let events = decode(stream).into_iter();
    events.map(|event| event.data).collect()
}
