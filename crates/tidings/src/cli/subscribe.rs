//! `tidings subscribe`: prints updates as they arrive, and reconnects without losing any.

use std::io::Read;
use std::time::Duration;

use anyhow::Context;
use tidings_auth::Role;
use tidings_wire::sse_decoder::{DEFAULT_EVENT_TYPE, Decoded, Decoder, Event};

use super::hub::{self, Hub};
use super::print;

/// Print updates as they arrive
///
/// Reconnects when the connection is lost, and prints the missed updates first. Reports connection
/// problems on standard error.
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

    /// Print each update as one line of JSON
    #[arg(long)]
    json: bool,

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
}

/// How a connection ended.
enum End {
    /// The requested number of updates was printed.
    Enough,
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
        }
    }

    /// Makes one connection and prints updates until it ends.
    fn connect(&mut self, hub: &Hub) -> anyhow::Result<End> {
        let answer = match hub.open(&self.query()) {
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
        if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
            anyhow::bail!(
                "the response is not an event stream but {}",
                kind.unwrap_or("of no type")
            );
        }
        self.connected_once = true;
        if let Some(line) = self.loss(&answer) {
            print::error(&line);
        }
        self.read(answer.into_body().into_reader())
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
                    text.push_str(&self.shown(&event)?);
                    if !event.last_event_id.is_empty() {
                        self.cursor = Some(event.last_event_id);
                    }
                    self.printed += 1;
                    enough = self
                        .arguments
                        .count
                        .is_some_and(|count| self.printed >= count);
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

    fn shown(&self, event: &Event) -> anyhow::Result<String> {
        let Event {
            event_type,
            data,
            last_event_id,
        } = event;
        if self.arguments.json {
            let object = serde_json::json!({
                "id": last_event_id, "type": event_type, "data": data,
            });
            return Ok(format!("{}\n", serde_json::to_string(&object)?));
        }
        let mut text = format!("id: {last_event_id}\n");
        if event_type != DEFAULT_EVENT_TYPE {
            text.push_str(&format!("event: {event_type}\n"));
        }
        for line in data.split('\n') {
            text.push_str(&format!("data: {line}\n"));
        }
        text.push('\n');
        Ok(text)
    }
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

const EXAMPLES: &str = "\
Examples:
  tidings subscribe https://example.com/books/1
  tidings subscribe --match-urlpattern 'https://example.com/books/:id' --earliest --json
  tidings subscribe --hub https://example.com/.well-known/mercure '*' --count 1

Exit codes: 0 ended as asked, 1 refused or failed, 2 wrong arguments.";

#[cfg(test)]
mod tests;
