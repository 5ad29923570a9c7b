//! One HTTP/2 connection with many streams that request much, and read or finish nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use h2::ext::Protocol;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::HUB_PATH;
use super::serving::Certificate;

/// The address of a peer.
#[derive(Clone, Copy, Debug)]
pub struct Source(pub Ipv4Addr);

/// What one stream asks for.
#[derive(Clone, Debug)]
pub struct Query {
    method: &'static str,
    target: String,
    fields: Vec<(&'static str, String)>,
    /// What of a body is sent.
    part: Option<Bytes>,
    /// Whether that is all of it.
    is_whole: bool,
    is_websocket: bool,
}

impl Query {
    /// A poll for all updates of a topic.
    pub fn poll(topic: &str, token: Option<&str>) -> Self {
        let mut fields = vec![("prefer", "wait=0".to_owned())];
        fields.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
        Self {
            method: "GET",
            target: format!("{HUB_PATH}?match={topic}&last_event_id=earliest"),
            fields,
            part: None,
            is_whole: false,
            is_websocket: false,
        }
    }

    /// A stream with everything of a topic.
    pub fn stream(topic: &str) -> Self {
        Self {
            fields: Vec::new(),
            ..Self::poll(topic, None)
        }
    }

    /// A subscription whose body does not end.
    pub fn unfinished_body(bytes: usize) -> Self {
        let form = "application/x-www-form-urlencoded".to_owned();
        Self {
            method: "QUERY",
            target: HUB_PATH.to_owned(),
            fields: vec![("content-type", form)],
            part: Some(Bytes::from(vec![b'x'; bytes])),
            is_whole: false,
            is_websocket: false,
        }
    }

    /// A subscription with this form.
    pub fn subscription(form: String) -> Self {
        Self {
            part: Some(form.into()),
            is_whole: true,
            ..Self::unfinished_body(0)
        }
    }

    /// A WebSocket with a text that lacks its last byte.
    pub fn unfinished_text(bytes: u32) -> Self {
        let mut part = text_head(bytes);
        part.resize(part.len() + bytes as usize - 1, b'x');
        Self::websocket(part)
    }

    /// A WebSocket with this text.
    pub fn text(text: &str) -> Self {
        let mut part = text_head(u32::try_from(text.len()).expect("a short text"));
        part.extend_from_slice(text.as_bytes());
        Self::websocket(part)
    }

    fn websocket(part: Vec<u8>) -> Self {
        Self {
            method: "CONNECT",
            target: format!("{HUB_PATH}?match=https://example.com/a"),
            fields: vec![("sec-websocket-version", "13".to_owned())],
            part: Some(part.into()),
            is_whole: false,
            is_websocket: true,
        }
    }
}

/// The head of a text, masked by zeroes; RFC 6455, 5.2.
fn text_head(bytes: u32) -> Vec<u8> {
    let mut head = vec![0x81];
    match u16::try_from(bytes) {
        Ok(bytes) => {
            head.push(0xfe);
            head.extend(bytes.to_be_bytes());
        }
        Err(_) => {
            head.push(0xff);
            head.extend(u64::from(bytes).to_be_bytes());
        }
    }
    head.extend([0; 4]);
    head
}

/// The streams, until it is dropped.
pub struct Flood {
    seen: Arc<Mutex<Seen>>,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    statuses: Vec<u16>,
    resets: usize,
    /// The codes of the closing frames of WebSockets.
    closed: Vec<u16>,
}

impl Flood {
    /// Opens a stream for each query. Takes nothing beyond a `window`.
    pub fn begin(
        address: SocketAddr,
        certificate: Option<&Certificate>,
        source: Source,
        window: Option<u32>,
        queries: &[Query],
    ) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (end, ended) = oneshot::channel();
        let tls = certificate.map(|certificate| Arc::new(certificate.config(&[b"h2"])));
        let (queries, noted) = (queries.to_vec(), Arc::clone(&seen));
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let socket = TcpSocket::new_v4().expect("a socket");
                socket.bind((source.0, 0).into()).expect("bound");
                let tcp = socket.connect(address).await.expect("connected");
                let all = async {
                    match tls {
                        None => run(tcp, window, queries, &noted).await,
                        Some(config) => {
                            let name = ServerName::try_from("localhost").expect("a name");
                            let tls = TlsConnector::from(config).connect(name, tcp).await;
                            run(tls.expect("TLS"), window, queries, &noted).await;
                        }
                    }
                };
                tokio::select! {
                    () = all => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            seen,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// Returns the status of each answer that came.
    pub fn statuses(&self) -> Vec<u16> {
        self.seen.lock().expect("no panic").statuses.clone()
    }

    /// Returns how many answers had this status.
    pub fn count(&self, status: u16) -> usize {
        let statuses = self.statuses();
        statuses.iter().filter(|seen| **seen == status).count()
    }

    /// Returns how many streams the hub reset.
    pub fn resets(&self) -> usize {
        self.seen.lock().expect("no panic").resets
    }

    /// Returns how many WebSockets the hub closed with this code.
    pub fn closed_with(&self, code: u16) -> usize {
        let seen = self.seen.lock().expect("no panic");
        seen.closed.iter().filter(|seen| **seen == code).count()
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

async fn run(
    connected: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    window: Option<u32>,
    queries: Vec<Query>,
    seen: &Arc<Mutex<Seen>>,
) {
    let mut builder = h2::client::Builder::new();
    if let Some(window) = window {
        builder.initial_window_size(window);
    }
    let (sender, connection) = builder.handshake(connected).await.expect("HTTP/2");
    let mut streams = JoinSet::new();
    streams.spawn(async move { drop(connection.await) });
    for query in queries {
        streams.spawn(ask(sender.clone(), query, Arc::clone(seen)));
    }
    while streams.join_next().await.is_some() {}
}

async fn ask(mut sender: SendRequest<Bytes>, query: Query, seen: Arc<Mutex<Seen>>) {
    while query.is_websocket && !sender.is_extended_connect_protocol_enabled() {
        // The hub's settings are on their way.
        tokio::task::yield_now().await;
    }
    let mut request = http::Request::builder()
        .method(query.method)
        .uri(format!("http://localhost{}", query.target));
    for (name, value) in query.fields {
        request = request.header(name, value);
    }
    if query.is_websocket {
        request = request.extension(Protocol::from_static("websocket"));
    }
    let request = request.body(()).expect("a request");
    let Ok(ready) = sender.ready().await else {
        return;
    };
    sender = ready;
    let ended = query.part.is_none();
    let Ok((answer, mut body)) = sender.send_request(request, ended) else {
        return;
    };
    if let Some(part) = query.part {
        // One whose answer came already takes no more.
        body.send_data(part, query.is_whole).ok();
    }
    watch(answer, body, query.is_websocket, &seen).await;
}

/// Notes what the hub says on a stream.
async fn watch(
    answer: ResponseFuture,
    _body: SendStream<Bytes>,
    is_websocket: bool,
    seen: &Mutex<Seen>,
) {
    let Ok(answer) = answer.await else {
        seen.lock().expect("no panic").resets += 1;
        return;
    };
    let status = answer.status().as_u16();
    seen.lock().expect("no panic").statuses.push(status);
    let mut said = answer.into_body();
    let mut text = Vec::new();
    loop {
        match said.data().await {
            Some(Ok(data)) => {
                text.extend_from_slice(&data);
                if is_websocket {
                    said.flow_control().release_capacity(data.len()).ok();
                }
            }
            Some(Err(_)) => {
                seen.lock().expect("no panic").resets += 1;
                break;
            }
            None => break,
        }
    }
    // A closing frame is the last: two bytes, then the code and a short reason; RFC 6455, 5.5.1.
    let close = text.iter().rposition(|byte| *byte == 0x88);
    if let Some([_, _, first, second, ..]) = close.and_then(|at| text.get(at..)) {
        let code = u16::from_be_bytes([*first, *second]);
        seen.lock().expect("no panic").closed.push(code);
    }
}
