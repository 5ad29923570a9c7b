//! Requests of JetStream, and their answers.

use std::fmt;
use std::time::Duration;

use async_nats::{HeaderMap, Message, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::connection::Connection;
use crate::entry::{HEADER, Head};
use crate::error::CallError;

/// Entries of one answer to a read.
pub(crate) const ENTRIES_MAX: u64 = 512;

/// How the description of an error names a server that is away, and one that is full: they have one code.
const ABSENT: &str = "offline";
const FULL: &str = "insufficient";

/// An error of JetStream. It did nothing then.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct ApiError {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    code: u32,
    #[serde(default)]
    description: String,
}

/// What an error means for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The line does not end where it was expected to, or the subject does not.
    Moved,
    /// There is no such stream.
    NoStream,
    /// There is a stream of this name with other settings.
    OtherStream,
    /// There is no such message.
    NoMessage,
    /// No more fits.
    Full,
    /// A message is larger than the stream allows.
    TooLarge,
    /// A batch lacks a message. It may have been larger than the stream allows.
    Incomplete,
    /// A server that is to keep the stream is away, as far as the cluster's leader knows.
    Absent,
    /// Something else.
    Other,
}

impl ApiError {
    pub(crate) fn meaning(&self) -> Meaning {
        match self.err_code {
            // Wrong last sequence, with and without saying which is right.
            10071 | 10164 => Meaning::Moved,
            10059 => Meaning::NoStream,
            10058 => Meaning::OtherStream,
            10037 => Meaning::NoMessage,
            // Resources of the account, of the server, its storage; most messages, most bytes.
            10002 | 10023 | 10047 | 10077 | 10122 => Meaning::Full,
            10054 => Meaning::TooLarge,
            10176 => Meaning::Incomplete,
            10005 if self.description.contains(ABSENT) && !self.description.contains(FULL) => {
                Meaning::Absent
            }
            _ => Meaning::Other,
        }
    }

    /// Says what the operator can do, for the errors that do not say it themselves.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        if self.meaning() == Meaning::Absent {
            return Some("a server of the NATS cluster that is to keep the stream is away");
        }
        match self.err_code {
            10039 | 10076 => Some("set `jetstream` in the server's configuration"),
            10074 => Some("a stream cannot have more replicas than there are servers"),
            10054 => Some("a message is larger than the stream allows: unset its max_msg_size"),
            10005 => Some("too few servers of the NATS cluster have room for the stream"),
            _ => None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.description, self.code, self.err_code)
    }
}

/// A stream as its leader describes it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Info {
    /// All of it, so that an update of the stream changes nothing else.
    pub(crate) config: Value,
    pub(crate) state: StreamState,
    #[serde(default)]
    pub(crate) cluster: Option<ClusterInfo>,
    #[serde(default)]
    ts: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StreamState {
    pub(crate) messages: u64,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    /// Subjects and how many messages each has, if it was asked for.
    #[serde(default)]
    pub(crate) subjects: Option<std::collections::BTreeMap<String, u64>>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ClusterInfo {
    #[serde(default)]
    pub(crate) replicas: Option<Vec<PeerInfo>>,
}

/// Another server that keeps the stream.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PeerInfo {
    #[serde(default)]
    pub(crate) offline: bool,
    /// Nanoseconds since the leader heard of it.
    #[serde(default)]
    pub(crate) active: u64,
}

impl Info {
    /// Returns the time of the leader's clock, in Unix milliseconds.
    pub(crate) fn now_ms(&self) -> Option<u64> {
        self.ts.as_deref().and_then(unix_ms)
    }

    /// Returns the name of the stream.
    pub(crate) fn name(&self) -> &str {
        self.config
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// Returns a number of the configuration.
    pub(crate) fn setting(&self, name: &str) -> Option<i64> {
        self.config.get(name)?.as_i64()
    }

    /// Returns a flag of the configuration.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.config.get(name).and_then(Value::as_bool) == Some(true)
    }

    /// Returns what hubs noted beside the stream.
    pub(crate) fn metadata(&self, name: &str) -> Option<&str> {
        self.config.get("metadata")?.get(name)?.as_str()
    }
}

/// The answer to a publish.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ack {
    pub(crate) seq: u64,
}

/// A message as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    /// The value of our header.
    pub(crate) header: Option<String>,
    pub(crate) payload: Bytes,
    /// When it was stored, in Unix milliseconds by the clock of the stream's leader.
    pub(crate) stored_ms: u64,
}

#[derive(Deserialize)]
struct Got {
    message: GotMessage,
}

#[derive(Deserialize)]
struct GotMessage {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: Option<String>,
    #[serde(default)]
    data: Option<String>,
    time: String,
}

impl Stored {
    /// Reads the header of an entry.
    pub(crate) fn head(&self) -> Result<Head, CallError> {
        let head = self.header.as_deref().and_then(Head::parse);
        head.ok_or_else(|| CallError::Unreadable {
            what: format!(
                "the message at {} of the stream, whose header `{HEADER}` is {:?}",
                self.seq, self.header
            ),
        })
    }

    fn of_got(got: GotMessage) -> Option<Self> {
        let decode = |text: Option<String>| STANDARD.decode(text.unwrap_or_default()).ok();
        let headers = decode(got.hdrs)?;
        let headers = String::from_utf8_lossy(&headers).into_owned();
        let header = headers.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name == HEADER).then(|| value.trim().to_owned())
        });
        Some(Self {
            subject: got.subject,
            seq: got.seq,
            header,
            payload: decode(got.data)?.into(),
            stored_ms: unix_ms(&got.time)?,
        })
    }

    /// Reads an answer to a direct get.
    fn of_direct(message: &Message) -> Option<Self> {
        let headers = message.headers.as_ref()?;
        let text = |name: &str| headers.get_last(name).map(|value| value.as_str());
        Some(Self {
            subject: text("Nats-Subject")?.to_owned(),
            seq: text("Nats-Sequence")?.parse().ok()?,
            header: text(HEADER).map(str::to_owned),
            payload: message.payload.clone(),
            stored_ms: unix_ms(text("Nats-Time-Stamp")?)?,
        })
    }
}

/// Reads a time as the server writes it.
fn unix_ms(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok()
}

/// The requests of one connection.
pub(crate) struct Api<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) within: Duration,
}

impl Api<'_> {
    /// What only reads is asked again sooner, after two fifths of the time: while a stream has no
    /// leader, nobody answers.
    fn reading(&self) -> Self {
        Self {
            within: self.within * 2 / 5,
            ..*self
        }
    }

    /// Sends a request of JetStream's own and reads the answer.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        subject: &str,
        body: &Value,
    ) -> Result<T, CallError> {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            body.to_string().into()
        };
        self.send(&format!("$JS.API.{subject}"), HeaderMap::new(), body)
            .await
    }

    /// Sends a message whose answer is JSON.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
    ) -> Result<T, CallError> {
        let answer = self
            .connection
            .request(subject, headers, payload, self.within);
        answer_of(&answer.await?.payload)
    }

    /// Asks the leader of a stream. Nothing if there is no such stream.
    pub(crate) async fn info(&self, stream: &str, body: &Value) -> Result<Option<Info>, CallError> {
        let subject = format!("STREAM.INFO.{stream}");
        let info = self.reading().call(&subject, body).await;
        unless(info, Meaning::NoStream)
    }

    /// Makes a stream. Nothing if there is one of this name with other settings.
    pub(crate) async fn create(
        &self,
        stream: &str,
        config: &Value,
    ) -> Result<Option<Info>, CallError> {
        let info = self.call(&format!("STREAM.CREATE.{stream}"), config).await;
        unless(info, Meaning::OtherStream)
    }

    /// Changes the settings of a stream.
    pub(crate) async fn update(&self, stream: &str, config: &Value) -> Result<Info, CallError> {
        self.call(&format!("STREAM.UPDATE.{stream}"), config).await
    }

    /// Asks the leader for a message: `{"seq": N}` or `{"last_by_subj": SUBJECT}`.
    pub(crate) async fn get(
        &self,
        stream: &str,
        which: &Value,
    ) -> Result<Option<Stored>, CallError> {
        let subject = format!("STREAM.MSG.GET.{stream}");
        let got = self.reading().call::<Got>(&subject, which).await;
        let Some(got) = unless(got, Meaning::NoMessage)? else {
            return Ok(None);
        };
        let stored = Stored::of_got(got.message);
        stored.map(Some).ok_or_else(|| CallError::Unreadable {
            what: "a stored message".to_owned(),
        })
    }

    /// Asks for many messages at once, from whichever server has the stream: it may lag behind.
    pub(crate) async fn direct(
        &self,
        stream: &str,
        which: &Value,
    ) -> Result<Vec<Stored>, CallError> {
        let (inbox, mut messages) = self.connection.inbox().await?;
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        self.connection
            .ask(subject, inbox, which.to_string().into())
            .await?;
        let mut all = Vec::new();
        loop {
            let within = self.reading().within;
            let message = self.connection.next(&mut messages, within).await?;
            match message.status {
                None => {}
                Some(StatusCode::NOT_FOUND) => return Ok(all),
                Some(status) if status.as_u16() == END_OF_BATCH => return Ok(all),
                Some(status) => {
                    let text = message.description.unwrap_or_default();
                    return Err(CallError::Said(ApiError {
                        err_code: 0,
                        code: u32::from(status.as_u16()),
                        description: text,
                    }));
                }
            }
            let stored = Stored::of_direct(&message).ok_or_else(|| CallError::Unreadable {
                what: "a message of a direct get".to_owned(),
            })?;
            all.push(stored);
            if all.len() as u64 > ENTRIES_MAX {
                let what = "more messages than were asked for".to_owned();
                return Err(CallError::Unreadable { what });
            }
        }
    }

    /// Returns entries from `from` on, in order: at most `count` and about `bytes_max`.
    pub(crate) async fn entries(
        &self,
        stream: &str,
        from: u64,
        count: u64,
        bytes_max: u64,
    ) -> Result<Vec<Stored>, CallError> {
        let which = json!({
            "seq": from.max(1),
            "batch": count.clamp(1, ENTRIES_MAX),
            "max_bytes": bytes_max.max(1),
        });
        self.direct(stream, &which).await
    }
}

/// The status of the message that ends the answers to a direct get.
const END_OF_BATCH: u16 = 204;

fn answer_of<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CallError> {
    let unreadable = |error: serde_json::Error| CallError::Unreadable {
        what: format!("{error} in an answer of JetStream"),
    };
    let mut value: Value = serde_json::from_slice(payload).map_err(unreadable)?;
    if let Some(error) = value.get_mut("error").map(Value::take) {
        let error = serde_json::from_value(error).map_err(unreadable)?;
        return Err(CallError::Said(error));
    }
    serde_json::from_value(value).map_err(unreadable)
}

fn unless<T>(answer: Result<T, CallError>, meaning: Meaning) -> Result<Option<T>, CallError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(CallError::Said(error)) if error.meaning() == meaning => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As 2.15.1 said it while its cluster began, and as it says that disks are full.
    #[test]
    fn an_absent_server_is_no_full_one() {
        let error = |detail: &str| -> ApiError {
            let description = format!("no suitable peers for placement, {detail}");
            let error = json!({ "code": 400, "err_code": 10005, "description": description });
            serde_json::from_value(error).unwrap()
        };
        let absent = error("peer offline");
        assert_eq!(absent.meaning(), Meaning::Absent);
        assert!(absent.advice().unwrap().ends_with("is away"));
        let full = error("insufficient storage");
        assert_eq!(full.meaning(), Meaning::Other);
        assert!(full.advice().unwrap().contains("room"));
        let both = error("peer offline, insufficient storage");
        assert!(both.advice().unwrap().contains("room"));
    }
}
