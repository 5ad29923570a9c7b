//! What an operator asks of servers, and does to their streams: on a connection beside the engine's.

use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Instant;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, HeaderMap, Message};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot::{Sender, channel};

use super::{DEADLINE, Servers, moment};

/// An operator with a connection to all servers.
pub(crate) struct Admin {
    urls: Vec<String>,
}

impl Admin {
    pub(crate) fn of(servers: &Servers) -> Self {
        let url = |address: &tidings_access::Address| format!("nats://{address}");
        Self {
            urls: servers.addresses().iter().map(url).collect(),
        }
    }

    /// Waits until the servers take streams. Returns whether they do in time.
    pub(crate) fn waits_for_leader(&self) -> bool {
        self.alone(async {
            let client = self.client().await;
            let config = json!({ "name": "probe", "subjects": ["probe"], "num_replicas": 3 });
            let start = Instant::now();
            while start.elapsed() < DEADLINE {
                let made = ask(&client, "STREAM.CREATE.probe", &config).await;
                if made.get("error").is_none() && !made.is_null() {
                    ask(&client, "STREAM.DELETE.probe", &Value::Null).await;
                    return true;
                }
                moment().await;
            }
            false
        })
    }

    /// Runs what asks on a runtime of its own: the test may be in one already.
    pub(crate) fn alone<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        std::thread::scope(|scope| {
            let run = || runtime().block_on(work);
            scope.spawn(run).join().unwrap()
        })
    }

    pub(crate) async fn client(&self) -> Client {
        connect(self.urls.clone()).await
    }

    /// Sends a request of JetStream's own.
    pub(crate) fn request(&self, subject: &str, body: &Value) -> Value {
        self.alone(async { ask(&self.client().await, subject, body).await })
    }

    /// Has a stream store a message.
    pub(crate) fn store(&self, subject: &str, headers: HeaderMap, data: &str) {
        let (subject, data) = (subject.to_owned(), Bytes::copy_from_slice(data.as_bytes()));
        self.alone(async { store(&self.client().await, subject, headers, data).await });
    }

    /// Returns the server that leads a stream.
    pub(crate) fn leader(&self, stream: &str) -> Option<usize> {
        let info = self.request(&format!("STREAM.INFO.{stream}"), &Value::Null);
        let leader = info["cluster"]["leader"].as_str()?.strip_prefix('n')?;
        leader.parse().ok()
    }
}

/// A leader that was replaced and does not know it: of what is published, it says that the line does
/// not end there, while the servers that know better may take it.
pub(crate) struct Replaced {
    over: Sender<()>,
    thread: JoinHandle<u32>,
}

impl Replaced {
    pub(crate) fn start(admin: &Admin, subjects: &'static str) -> Self {
        let (over, mut is_over) = channel();
        let (ready, is_ready) = sync_channel(0);
        let urls = admin.urls.clone();
        let answer = async move {
            let client = connect(urls).await;
            let mut messages = client.subscribe(subjects).await.unwrap();
            client.flush().await.unwrap();
            ready.send(()).unwrap();
            let moved = json!({ "error": { "code": 400, "err_code": 10164 } }).to_string();
            let mut refused = 0;
            while let Either::Left((Some(message), _)) = select(messages.next(), &mut is_over).await
            {
                if let Some(reply) = message.reply {
                    client.publish(reply, moved.clone().into()).await.unwrap();
                    client.flush().await.unwrap();
                    refused += 1;
                }
            }
            refused
        };
        let thread = std::thread::spawn(|| runtime().block_on(answer));
        is_ready.recv_timeout(DEADLINE).unwrap();
        Self { over, thread }
    }

    /// Ends it. Returns how much it has refused.
    pub(crate) fn end(self) -> u32 {
        drop(self.over);
        self.thread.join().unwrap()
    }
}

/// Connects; a server that does not answer is asked again soon.
pub(crate) async fn connect(urls: Vec<String>) -> Client {
    let options = async_nats::ConnectOptions::new();
    let options = options.request_timeout(Some(std::time::Duration::from_millis(500)));
    options.connect(urls).await.unwrap()
}

/// Sends a request of JetStream's own. Nothing is answered as null.
pub(crate) async fn ask(client: &Client, subject: &str, body: &Value) -> Value {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = client
        .request(format!("$JS.API.{subject}"), body.into())
        .await;
    answer.map_or(Value::Null, |answer| {
        serde_json::from_slice(&answer.payload).unwrap()
    })
}

/// Makes a stream anew with its settings and its messages up to `last`, as if the rest was never
/// stored.
pub(crate) async fn lose_tail(client: &Client, stream: &str, last: u64) {
    let info = ask(client, &format!("STREAM.INFO.{stream}"), &Value::Null).await;
    let first = info["state"]["first_seq"].as_u64().unwrap();
    let mut kept = Vec::new();
    for seq in first..=last {
        let get = format!("STREAM.MSG.GET.{stream}");
        let got = ask(client, &get, &json!({ "seq": seq })).await;
        kept.push(got["message"].clone());
    }
    ask(client, &format!("STREAM.DELETE.{stream}"), &Value::Null).await;
    let mut config = info["config"].clone();
    config["first_seq"] = first.into();
    let made = ask(client, &format!("STREAM.CREATE.{stream}"), &config).await;
    assert!(made.get("error").is_none(), "{made}");
    for message in kept {
        let decode = |name: &str| STANDARD.decode(message[name].as_str().unwrap_or_default());
        let text = String::from_utf8(decode("hdrs").unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        for line in text.lines() {
            if let Some(("Tidings", value)) = line.split_once(": ") {
                headers.insert("Tidings", value);
            }
        }
        let subject = message["subject"].as_str().unwrap().to_owned();
        let data = Bytes::from(decode("data").unwrap());
        let sent = store(client, subject, headers, data).await;
        let ack: Value = serde_json::from_slice(&sent.payload).unwrap();
        assert_eq!(ack["seq"], message["seq"], "{ack}");
    }
}

/// Sends a message until a stream takes it: one that has just been made is not known everywhere.
async fn store(client: &Client, subject: String, headers: HeaderMap, data: Bytes) -> Message {
    let start = Instant::now();
    loop {
        let (subject, headers) = (subject.clone(), headers.clone());
        let sent = client.request_with_headers(subject, headers, data.clone());
        match sent.await {
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                assert!(start.elapsed() < DEADLINE, "no stream takes it");
                moment().await;
            }
            sent => return sent.unwrap(),
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}
