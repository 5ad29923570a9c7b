//! Parses an event stream that arrives in chunks.
//!
//! For subscribers written in Rust, and for tests. It does not reconnect; it only keeps the cursor
//! that a reconnecting subscriber sends.

use std::mem;

use crate::byte_order_mark;

/// The type of an event that names none. WHATWG HTML, "Interpreting an event stream".
pub const DEFAULT_EVENT_TYPE: &str = "message";

/// Decodes one event stream. Make a new one for every connection.
#[derive(Debug)]
pub struct Decoder {
    /// The part of a line that has arrived, without its line break.
    line: Vec<u8>,
    data: String,
    event_type: String,
    /// The "last event ID buffer": the next dispatch makes it the last event id.
    id: String,
    last_event_id: String,
    event_bytes_max: usize,
    place: Place,
}

/// What the decoder found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// An event is complete.
    Event(Event),
    /// A comment line, without its colon. It shows that the connection is alive.
    Comment(String),
    /// The stream sets the reconnection time, in milliseconds; a number over 64 bits saturates.
    Retry(u64),
}

/// A dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its type; [`DEFAULT_EVENT_TYPE`] if the stream names none.
    pub event_type: String,
    /// Its payload, with LF between lines.
    pub data: String,
    /// The last event id as of this event; empty if there is none.
    pub last_event_id: String,
}

/// Why a stream cannot be decoded any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An event or a line exceeds the bound. Every later push fails too.
    #[error("an event of the stream is longer than {max} bytes")]
    EventTooLong {
        /// The bound, in bytes.
        max: usize,
    },
}

/// The place of the next byte in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the first line, which may begin with a byte order mark.
    FirstLine,
    Line,
    /// After a CR: an LF belongs to the same line break.
    AfterCr,
    /// After an event that was too long.
    Failed,
}

impl Decoder {
    /// Starts a stream whose events may have up to `event_bytes_max` bytes.
    ///
    /// `last_event_id` is the cursor in the request, or empty. The bound counts the type, the data
    /// and the current line; the decoder keeps about twice as much.
    pub fn new(event_bytes_max: usize, last_event_id: &str) -> Self {
        Self {
            line: Vec::new(),
            data: String::new(),
            event_type: String::new(),
            id: last_event_id.to_owned(),
            last_event_id: last_event_id.to_owned(),
            event_bytes_max,
            place: Place::FirstLine,
        }
    }

    /// Returns the cursor to reconnect with: the id of the last complete event, or empty.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Takes the next bytes of the stream, and appends to `decoded` what they complete.
    ///
    /// The end of the stream needs no call: an incomplete event is dropped. Invalid UTF-8 is
    /// replaced by U+FFFD.
    ///
    /// # Errors
    ///
    /// [`DecodeError::EventTooLong`], after everything before the long event was appended.
    ///
    /// WHATWG HTML, "Parsing an event stream" and "Interpreting an event stream".
    pub fn push(&mut self, bytes: &[u8], decoded: &mut Vec<Decoded>) -> Result<(), DecodeError> {
        let mut rest = bytes;
        if self.place == Place::AfterCr && !rest.is_empty() {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
            self.place = Place::Line;
        }
        while self.place != Place::Failed {
            let line_len = memchr::memchr2(b'\r', b'\n', rest);
            let (part, tail) = rest
                .split_at_checked(line_len.unwrap_or(rest.len()))
                .unwrap_or((rest, &[]));
            if self.buffered() + part.len() > self.event_bytes_max {
                self.place = Place::Failed;
                break;
            }
            self.line.extend_from_slice(part);
            if line_len.is_none() {
                return Ok(());
            }
            self.on_line(decoded);
            self.place = if tail == b"\r" {
                Place::AfterCr
            } else {
                Place::Line
            };
            rest = match tail {
                [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
                [] => &[],
            };
        }
        if self.place == Place::Failed {
            return Err(DecodeError::EventTooLong {
                max: self.event_bytes_max,
            });
        }
        Ok(())
    }

    /// Returns the bytes that count against the bound.
    fn buffered(&self) -> usize {
        self.line.len() + self.data.len() + self.event_type.len()
    }

    fn on_line(&mut self, decoded: &mut Vec<Decoded>) {
        let mut line = mem::take(&mut self.line);
        // No part of an invalid sequence is ASCII, so decoding line by line gives the same as
        // decoding the stream.
        let text = String::from_utf8_lossy(&line);
        let text = match self.place {
            Place::FirstLine => byte_order_mark::without(&text),
            Place::Line | Place::AfterCr | Place::Failed => &text,
        };
        match text.split_once(':') {
            _ if text.is_empty() => decoded.extend(self.dispatch().map(Decoded::Event)),
            Some(("", comment)) => decoded.push(Decoded::Comment(comment.to_owned())),
            Some((name, value)) => {
                let value = value.strip_prefix(' ').unwrap_or(value);
                decoded.extend(self.on_field(name, value).map(Decoded::Retry));
            }
            None => decoded.extend(self.on_field(text, "").map(Decoded::Retry)),
        }
        line.clear();
        self.line = line;
    }

    /// Handles a field. Returns the reconnection time if the field sets it.
    fn on_field(&mut self, name: &str, value: &str) -> Option<u64> {
        match name {
            "event" => value.clone_into(&mut self.event_type),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "retry" => return parse_retry(value),
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        self.last_event_id.clone_from(&self.id);
        let event_type = mem::take(&mut self.event_type);
        let mut payload = mem::take(&mut self.data);
        // Without a `data` field nothing is dispatched. An empty one has left an LF here.
        payload.pop()?;
        Some(Event {
            event_type: if event_type.is_empty() {
                DEFAULT_EVENT_TYPE.to_owned()
            } else {
                event_type
            },
            data: payload,
            last_event_id: self.last_event_id.clone(),
        })
    }
}

/// Parses a value of ASCII digits. Any other value is ignored, as is an empty one.
fn parse_retry(value: &str) -> Option<u64> {
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
