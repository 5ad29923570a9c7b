//! Writes events of an event stream.
//!
//! [`sse_decoder`](crate::sse_decoder) reads an event stream; [`frame`](crate::frame) shares the
//! written bytes between subscribers.

/// A comment line, which subscribers ignore. It keeps a silent stream open, and shows a new
/// subscriber that it is connected.
///
/// WHATWG HTML, "Authoring notes" of server-sent events.
pub const KEEP_ALIVE: &[u8] = b":\n";

/// The media type of an event stream.
pub const MEDIA_TYPE: &str = "text/event-stream";

/// The fields of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFields<'a> {
    /// The type of the event; without one a browser calls `onmessage`. Contains no line break.
    pub event_type: Option<&'a str>,
    /// How long subscribers wait before they reconnect, in milliseconds.
    pub retry_ms: Option<u64>,
    /// The cursor that subscribers keep. Contains no line break and no NUL.
    pub id: &'a str,
    /// The payload. Subscribers receive every CR, LF or CRLF in it as LF.
    pub data: &'a str,
}

/// Appends one event to `out`: `event`, `retry`, `id`, one `data` for every line, an empty line.
///
/// Empty data is still an event, with one empty `data` line. A type or an id is written only up to
/// its first line break, so it can never inject another field.
///
/// WHATWG HTML, "Parsing an event stream"; Mercure, "Publication".
pub fn encode_event(out: &mut Vec<u8>, event: EventFields<'_>) {
    out.reserve(event_len(event));
    if let Some(event_type) = event.event_type {
        append_field(out, b"event: ", first_line(event_type).as_bytes());
    }
    if let Some(ms) = event.retry_ms {
        append_field(out, b"retry: ", Decimal::new(ms).digits());
    }
    append_field(out, b"id: ", first_line(event.id).as_bytes());
    for line in lines(event.data) {
        append_field(out, b"data: ", line.as_bytes());
    }
    out.push(b'\n');
}

/// Returns how many bytes [`encode_event`] appends for `event`.
pub fn event_len(event: EventFields<'_>) -> usize {
    let event_type = event
        .event_type
        .map_or(0, |text| "event: \n".len() + first_line(text).len());
    let retry = event
        .retry_ms
        .map_or(0, |ms| "retry: \n".len() + Decimal::new(ms).digits().len());
    let id = "id: \n".len() + first_line(event.id).len();
    let lines: usize = lines(event.data)
        .map(|line| "data: \n".len() + line.len())
        .sum();
    event_type + retry + id + lines + "\n".len()
}

/// Appends a reconnection time of `ms` milliseconds to `out`, without an event.
///
/// Subscribers store the time and dispatch no event.
///
/// WHATWG HTML, "Parsing an event stream".
pub fn encode_retry(out: &mut Vec<u8>, ms: u64) {
    append_field(out, b"retry: ", Decimal::new(ms).digits());
    out.push(b'\n');
}

fn append_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Returns the lines of `text`, at least one; CR, LF and CRLF end a line.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (line, tail) = split_line(rest?);
        rest = tail;
        Some(line)
    })
}

fn first_line(text: &str) -> &str {
    let (line, rest) = split_line(text);
    debug_assert!(rest.is_none(), "a type or an id has a line break: {text:?}");
    line
}

/// Returns the first line of `text` and, if a line break ends it, the text after that.
fn split_line(text: &str) -> (&str, Option<&str>) {
    let Some((line, rest)) = memchr::memchr2(b'\r', b'\n', text.as_bytes())
        .and_then(|index| text.split_at_checked(index))
    else {
        return (text, None);
    };
    (
        line,
        rest.strip_prefix("\r\n")
            .or_else(|| rest.strip_prefix(['\r', '\n'])),
    )
}

/// A number in decimal, without an allocation.
struct Decimal {
    buffer: [u8; 20],
    start: usize,
}

impl Decimal {
    fn new(mut number: u64) -> Self {
        let mut decimal = Self {
            buffer: [b'0'; 20],
            start: 20,
        };
        for place in decimal.buffer.iter_mut().rev() {
            decimal.start -= 1;
            // A remainder of ten always fits a byte; `try_from` avoids a cast.
            *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
            if number == 0 {
                break;
            }
        }
        decimal
    }

    fn digits(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
