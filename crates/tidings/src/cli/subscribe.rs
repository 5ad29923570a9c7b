//! `tidings subscribe`: prints updates as they arrive, and reconnects without losing any.
//!
//! It polls, because an event stream does not say the topics of an update
//! (`docs/reference/long-polling.md`). A hub that knows no long polling answers with an event stream,
//! which is read as well.

use std::io::Read;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tidings_auth::Role;
use tidings_wire::sse_decoder::{DEFAULT_EVENT_TYPE, Decoded, Decoder, Event};

use super::hub::{self, Hub};
use super::print;
use super::shown_update::Shown;
use tidings_hub::clock::unix_ms;

/// Print updates as they arrive
///
/// With the time of arrival, the topics and the id. Reconnects when the connection is lost, and prints
/// the missed updates first. Reports connection problems on standard error.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[group(id = "what", multiple = true, required = true, args = ["topics", "more_topics", "patterns"])]
pub struct Arguments {
    /// Topics to receive; * receives all
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,

    /// The same as TOPIC; may be repeated
    #[arg(long = "topic", value_name = "TOPIC")]
    more_topics: Vec<String>,

    /// URL pattern of topics to receive, such as `https://example.com/books/:id`
    #[arg(long = "match-urlpattern", value_name = "PATTERN")]
    patterns: Vec<String>,

    /// Begin after the update with this id
    #[arg(long, value_name = "ID", conflicts_with = "earliest")]
    last_event_id: Option<String>,

    /// Begin with the oldest stored update
    #[arg(long)]
    earliest: bool,

    /// Print each update as one line of JSON: time, id, topics, type, data, and private and retry if
    /// they are set
    #[arg(long)]
    json: bool,

    /// Print nothing but the data of each update, and a line break
    #[arg(long, conflicts_with = "json")]
    raw: bool,

    /// Exit after this many updates
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,

    /// Exit when the connection ends
    #[arg(long)]
    no_reconnect: bool,

    #[command(flatten)]
    hub: hub::Arguments,
}

/// Runs the command until enough updates have arrived or the hub refuses.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let hub = Hub::find(&arguments.hub, Role::Subscribe)?;
    let mut subscriber = Subscriber::new(arguments);
    let mut failures = 0;
    loop {
        match subscriber.connect(&hub)? {
            End::Enough => return Ok(()),
            End::Answered => {
                failures = 0;
                print::check_open()?;
            }
            End::Lost { reason, received } => {
                // The first connection shows whether the address is right.
                if !subscriber.connected_once {
                    anyhow::bail!("{reason}");
                }
                if arguments.no_reconnect {
                    return Ok(());
                }
                failures = if received { 0 } else { failures + 1 };
                print::check_open()?;
                let delay = delay(subscriber.retry, failures)?;
                print::error(&format!(
                    "{reason}; reconnecting in {} ms",
                    delay.as_millis()
                ));
                std::thread::sleep(delay);
            }
        }
    }
}

/// One subscription across all its connections.
struct Subscriber<'a> {
    arguments: &'a Arguments,
    /// The last event id, or the initial cursor.
    cursor: Option<String>,
    retry: Duration,
    printed: u64,
    connected_once: bool,
    transport: Transport,
}

/// How updates are received.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Transport {
    LongPoll,
    /// For a hub whose cursors do not last from one poll to the next, since it keeps no history.
    EventStream,
}

/// The answer of a long poll.
#[derive(Deserialize)]
struct Poll {
    updates: Vec<Received>,
    /// The cursor of the next request.
    last_event_id: String,
}

/// An update that arrived.
#[derive(Deserialize)]
struct Received {
    id: String,
    /// None from an event stream, which does not say them.
    topics: Option<Vec<String>>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    #[serde(default)]
    private: bool,
    retry: Option<u64>,
    data: String,
}

impl From<Event> for Received {
    fn from(event: Event) -> Self {
        Self {
            id: event.last_event_id,
            topics: None,
            event_type: Some(event.event_type).filter(|name| name != DEFAULT_EVENT_TYPE),
            private: false,
            retry: None,
            data: event.data,
        }
    }
}

/// How a connection ended.
enum End {
    /// The requested number of updates was printed.
    Enough,
    /// As it should: a poll was answered.
    Answered,
    /// It broke, or the hub closed it.
    Lost {
        reason: String,
        /// Whether anything arrived, which resets the backoff.
        received: bool,
    },
}

impl<'a> Subscriber<'a> {
    fn new(arguments: &'a Arguments) -> Self {
        let earliest = arguments.earliest.then(|| EARLIEST.to_owned());
        Self {
            arguments,
            cursor: arguments.last_event_id.clone().or(earliest),
            retry: RETRY_DEFAULT,
            printed: 0,
            connected_once: false,
            transport: Transport::LongPoll,
        }
    }

    /// Makes one connection and prints updates until it ends.
    fn connect(&mut self, hub: &Hub) -> anyhow::Result<End> {
        let wait_secs = match (self.transport, &self.cursor) {
            (Transport::EventStream, _) => None,
            // The answer names the cursor from which nothing will be missed.
            (Transport::LongPoll, None) => Some(0),
            (Transport::LongPoll, Some(_)) => Some(WAIT_SECS),
        };
        let answer = match hub.open(&self.query(), wait_secs) {
            Ok(answer) => answer,
            Err(error) => {
                return Ok(End::Lost {
                    reason: error.to_string(),
                    received: false,
                });
            }
        };
        let status = answer.status();
        if status != http::StatusCode::OK {
            // These mean "later"; any other request would be refused again.
            let later = status == http::StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
            let reason = hub.refused(answer);
            if later && self.connected_once {
                return Ok(End::Lost {
                    reason: reason.to_string(),
                    received: false,
                });
            }
            return Err(reason.into());
        }
        let kind = answer
            .headers()
            .get("Content-Type")
            .and_then(|kind| kind.to_str().ok());
        let is = |name: &str| kind.is_some_and(|kind| kind.starts_with(name));
        let (polled, streams) = (is("application/json"), is("text/event-stream"));
        if !polled && !streams {
            anyhow::bail!(
                "the response is not an event stream but {}",
                kind.unwrap_or("of no type")
            );
        }
        self.connected_once = true;
        if let Some(line) = self.loss(&answer) {
            print::error(&line);
            self.transport = Transport::EventStream;
        }
        let body = answer.into_body().into_reader();
        match polled {
            true => self.read_poll(body),
            false => self.read(body),
        }
    }

    /// Prints the updates of a poll and notes where the next one begins.
    fn read_poll(&mut self, body: impl Read) -> anyhow::Result<End> {
        let mut text = String::new();
        let read = body.take(POLL_BYTES_MAX).read_to_string(&mut text);
        if let Err(error) = read {
            return Ok(End::Lost {
                reason: format!("connection lost: {error}"),
                received: false,
            });
        }
        let poll: Poll = serde_json::from_str(&text).context("the hub's answer to a poll")?;
        let mut text = String::new();
        for update in &poll.updates {
            text.push_str(&self.shown(update)?);
            if self.is_enough() {
                print::output(&text)?;
                return Ok(End::Enough);
            }
        }
        if !text.is_empty() {
            print::output(&text)?;
        }
        self.cursor = Some(poll.last_event_id);
        Ok(End::Answered)
    }

    /// Counts one more that is printed. Returns whether there are enough.
    fn is_enough(&mut self) -> bool {
        self.printed += 1;
        let count = self.arguments.count;
        count.is_some_and(|count| self.printed >= count)
    }

    fn query(&self) -> Vec<(&str, &str)> {
        let topics = self
            .arguments
            .topics
            .iter()
            .chain(&self.arguments.more_topics)
            .map(|topic| ("match", topic.as_str()));
        let patterns = self
            .arguments
            .patterns
            .iter()
            .map(|pattern| ("match_urlpattern", pattern.as_str()));
        let cursor = self
            .cursor
            .iter()
            .map(|cursor| ("last_event_id", cursor.as_str()));
        topics.chain(patterns).chain(cursor).collect()
    }

    /// Reports that the hub does not know the cursor. Mercure, "Reconnection, State Reconciliation,
    /// and Event Sourcing".
    fn loss(&self, answer: &http::Response<ureq::Body>) -> Option<String> {
        let cursor = self
            .cursor
            .as_deref()
            .filter(|cursor| *cursor != EARLIEST)?;
        let field = answer.headers().get("Mercure-Last-Event-ID");
        match field.map(|field| String::from_utf8_lossy(field.as_bytes())) {
            Some(field) if field == EARLIEST => Some(format!(
                "the hub does not know the event {cursor} (any more): updates may be lost; it \
                 begins with the oldest it has"
            )),
            Some(_) => None,
            None => Some(format!(
                "the hub does not say whether it knows event {cursor}: updates may be missing"
            )),
        }
    }

    fn read(&mut self, mut stream: impl Read) -> anyhow::Result<End> {
        let last_event_id = self.cursor.clone().filter(|cursor| cursor != EARLIEST);
        let mut decoder = Decoder::new(EVENT_BYTES_MAX, last_event_id.as_deref().unwrap_or(""));
        let mut buffer = vec![0; READ_BYTES];
        let mut decoded = Vec::new();
        let mut received = false;
        loop {
            let reason = match stream.read(&mut buffer) {
                Ok(0) => "the hub closed the connection".to_owned(),
                Ok(length) => {
                    received = true;
                    decoder.push(buffer.get(..length).unwrap_or(&[]), &mut decoded)?;
                    if self.take(&mut decoded)? {
                        return Ok(End::Enough);
                    }
                    continue;
                }
                Err(error) => format!("connection lost: {error}"),
            };
            return Ok(End::Lost { reason, received });
        }
    }

    /// Prints the decoded events and returns whether there are enough.
    fn take(&mut self, decoded: &mut Vec<Decoded>) -> anyhow::Result<bool> {
        let mut text = String::new();
        let mut enough = false;
        for item in decoded.drain(..) {
            match item {
                Decoded::Event(event) if !enough => {
                    let update = Received::from(event);
                    text.push_str(&self.shown(&update)?);
                    if !update.id.is_empty() {
                        self.cursor = Some(update.id);
                    }
                    enough = self.is_enough();
                }
                Decoded::Retry(retry_ms) => {
                    self.retry = Duration::from_millis(retry_ms).min(DELAY_MAX);
                }
                // A keep-alive, about every 15 seconds.
                Decoded::Comment(_) => print::check_open()?,
                Decoded::Event(_) => {}
            }
        }
        if !text.is_empty() {
            print::output(&text)?;
        }
        Ok(enough)
    }

    fn shown(&self, update: &Received) -> anyhow::Result<String> {
        let time = print::time_of_ms(unix_ms());
        if self.arguments.raw {
            return Ok(format!("{}\n", update.data));
        }
        if !self.arguments.json {
            let topics = update.topics.iter().flatten().map(String::as_str);
            let shown = Shown {
                time: &time,
                id: &update.id,
                topics: &topics.collect::<Vec<_>>(),
                event_type: update.event_type.as_deref(),
                private: update.private,
                data: &update.data,
            };
            return Ok(shown.text());
        }
        let event_type = update.event_type.as_deref();
        let line = Line {
            time,
            id: &update.id,
            topics: update.topics.as_deref(),
            event_type: event_type.unwrap_or(DEFAULT_EVENT_TYPE),
            data: &update.data,
            private: update.private.then_some(true),
            retry: update.retry,
        };
        Ok(format!("{}\n", serde_json::to_string(&line)?))
    }
}

/// An update as a line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    time: String,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<&'a [String]>,
    #[serde(rename = "type")]
    event_type: &'a str,
    data: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    private: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<u64>,
}

/// Returns the wait before a reconnect: exponential backoff up to a bound, with jitter (a random 50
/// to 100 %), so that many subscribers do not reconnect at once.
fn delay(retry: Duration, failures: u32) -> anyhow::Result<Duration> {
    let whole = retry
        .saturating_mul(2_u32.saturating_pow(failures.min(16)))
        .min(DELAY_MAX);
    let random = getrandom::u32().context("the system provides no random bytes")?;
    Ok(whole.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0))
}

/// The cursor that means "from the oldest update".
const EARLIEST: &str = "earliest";

const RETRY_DEFAULT: Duration = Duration::from_secs(1);

/// Maximum wait before a reconnect.
const DELAY_MAX: Duration = Duration::from_secs(30);

/// Maximum size of an event, in bytes.
const EVENT_BYTES_MAX: usize = 64 * 1024 * 1024;

const READ_BYTES: usize = 64 * 1024;

/// Seconds that a poll waits for an update; hubs wait for 60 at most.
const WAIT_SECS: u64 = 50;

/// Maximum size of the answer of a poll, in bytes. Hubs send about one MiB, or one update.
const POLL_BYTES_MAX: u64 = 64 * 1024 * 1024;

const EXAMPLES: &str = "\
Examples:
  tidings subscribe https://example.com/books/1
  tidings subscribe --match-urlpattern 'https://example.com/books/:id' \\
    --earliest --json
  tidings subscribe --hub https://example.com/.well-known/mercure '*' --count 1

Exit codes: 0 ended as asked, 1 refused or failed, 2 wrong arguments.";

#[cfg(test)]
mod tests;
