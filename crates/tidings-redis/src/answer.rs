//! What the server answers, taken apart. Nothing in it is trusted: what no script of ours answers
//! is an error.

use std::vec::IntoIter;

use redis::Value;
use tidings_cluster::Epoch;
use tidings_cluster::engine::{
    BootId, EngineError, Entry, EpochId, Init, Line, NodeId, Origin, Place, Sender, State,
};
use tidings_core::{Position, Print};

use crate::error::foreign;

/// Version of an entry's header, and of the head.
pub(crate) const VERSION: &str = "1";

/// Reads an array of texts; nothing if it is something else.
pub(crate) fn texts(value: Value) -> Option<Vec<String>> {
    if let Value::Array(values) = value {
        return values.into_iter().map(text).collect();
    }
    Some(vec![text(value)?])
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not listed is no text, also in later versions of the client"
)]
fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text),
        Value::Int(number) => Some(number.to_string()),
        Value::Okay => Some("OK".to_owned()),
        _ => None,
    }
}

/// Reads the first word of the answer to `ROLE`.
pub(crate) fn role(value: Value) -> Option<String> {
    let Value::Array(values) = value else {
        return None;
    };
    values.into_iter().next().and_then(text)
}

/// Reads an array of texts.
pub(crate) fn words(value: Value) -> Result<Vec<String>, EngineError> {
    texts(value).ok_or_else(|| foreign("an answer that is no list of texts"))
}

/// The answer of a script: of which kind it is, and what belongs to it, in order.
#[derive(Debug)]
pub(crate) struct Answer {
    kind: String,
    rest: IntoIter<Value>,
}

impl Answer {
    pub(crate) fn read(value: Value) -> Result<Self, EngineError> {
        let Value::Array(values) = value else {
            return Err(foreign("an answer that is no list"));
        };
        let mut rest = values.into_iter();
        let kind = rest.next().and_then(text);
        let kind = kind.ok_or_else(|| foreign("an answer without its kind"))?;
        let mut answer = Self { kind, rest };
        if answer.kind == "version" {
            let found = answer.text()?;
            return Err(foreign(&format!(
                "a line of version {found:?}, where this hub writes {VERSION}"
            )));
        }
        Ok(answer)
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// The error for a kind that the caller does not know.
    pub(crate) fn unknown(&self) -> EngineError {
        foreign(&format!("an unknown answer {:?}", self.kind))
    }

    pub(crate) fn text(&mut self) -> Result<String, EngineError> {
        let next = self.rest.next().and_then(text);
        next.ok_or_else(|| self.short())
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, EngineError> {
        match self.rest.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => Err(self.short()),
        }
    }

    pub(crate) fn position(&mut self) -> Result<Position, EngineError> {
        position(&self.text()?).ok_or_else(|| self.short())
    }

    pub(crate) fn places(&mut self) -> Result<Vec<Place>, EngineError> {
        places(&self.text()?).ok_or_else(|| self.short())
    }

    pub(crate) fn state(&mut self) -> Result<State, EngineError> {
        let next = self.rest.next();
        next.map_or_else(|| Err(self.short()), state)
    }

    fn short(&self) -> EngineError {
        foreign(&format!("an answer {:?} with less than it has", self.kind))
    }
}

/// Reads what `init.lua` answers.
pub(crate) fn init(value: Value) -> Result<Init, EngineError> {
    let mut answer = Answer::read(value)?;
    let found = match answer.kind() {
        "made" => Init::Made,
        "found" => Init::Found,
        "none" => return Ok(Init::None),
        "half" => return Ok(Init::Half),
        _ => return Err(answer.unknown()),
    };
    match answer.state()? {
        State::Line(line) => Ok(found(line)),
        State::None | State::Half => Ok(Init::Half),
    }
}

/// Reads what the function `line` of the scripts returns.
pub(crate) fn state(value: Value) -> Result<State, EngineError> {
    let mut answer = Answer::read(value)?;
    match answer.kind() {
        "none" => return Ok(State::None),
        "half" => return Ok(State::Half),
        "line" => {}
        _ => return Err(answer.unknown()),
    }
    let fields: Vec<String> = answer.rest.by_ref().filter_map(text).collect();
    // A head some of whose fields were lost, or written by somebody else, is half of one.
    Ok(line(&fields).map_or(State::Half, State::Line))
}

fn line(fields: &[String]) -> Option<Line> {
    let [epoch, last, print, secret, oldest, torn] = fields else {
        return None;
    };
    Some(Line {
        epoch: EpochId::parse(epoch)?,
        secret: Epoch::new(unhex(secret)?),
        oldest: position(oldest)?,
        last: position(last)?,
        print: match print.as_str() {
            "" => None,
            print => Some(Print::new(unhex(print)?)),
        },
        torn: torn == "torn",
    })
}

/// Reads the places of a batch: `12,13,=6`.
pub(crate) fn places(text: &str) -> Option<Vec<Place>> {
    let place = |text: &str| match text.strip_prefix('=') {
        Some(known) => position(known).map(Place::Known),
        None => position(text).map(Place::New),
    };
    text.split(',').map(place).collect()
}

/// Reads a position in decimal.
pub(crate) fn position(text: &str) -> Option<Position> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(text)?.parse().ok().map(Position::new)
}

/// Reads a sender: `NODE.BOOT`.
pub(crate) fn sender(text: &str) -> Option<Sender> {
    let (node, boot) = text.split_once('.')?;
    Some(Sender {
        node: NodeId::parse(node)?,
        boot: BootId::parse(boot)?,
    })
}

/// Reads the entries of `XRANGE`.
pub(crate) fn entries(value: Value) -> Result<Vec<Entry>, EngineError> {
    let Value::Array(values) = value else {
        return Err(foreign("entries that are no list"));
    };
    values.into_iter().map(entry).collect()
}

/// Reads the entries of `XREAD` over one stream. No answer: none came.
pub(crate) fn read_entries(value: Value) -> Result<Vec<Entry>, EngineError> {
    if value == Value::Nil {
        return Ok(Vec::new());
    }
    let Value::Array(streams) = value else {
        return Err(foreign("streams that are no list"));
    };
    let stream = streams.into_iter().next();
    match stream {
        Some(Value::Array(mut named)) if named.len() == 2 => {
            entries(named.pop().unwrap_or_default())
        }
        _ => Err(foreign("a stream without its entries")),
    }
}

fn entry(value: Value) -> Result<Entry, EngineError> {
    let Value::Array(parts) = value else {
        return Err(foreign("an entry that is no list"));
    };
    let mut parts = parts.into_iter();
    let id = parts.next().and_then(text).unwrap_or_default();
    let damaged = || foreign(&format!("the entry {id:?} cannot be read"));
    let position = id
        .strip_suffix("-0")
        .and_then(position)
        .ok_or_else(damaged)?;
    let Some(Value::Array(fields)) = parts.next() else {
        return Err(damaged());
    };
    let [name, header, bytes_name, bytes] =
        <[Value; 4]>::try_from(fields).map_err(|_other| damaged())?;
    let Value::BulkString(bytes) = bytes else {
        return Err(damaged());
    };
    let names = text(name).as_deref() == Some("h") && text(bytes_name).as_deref() == Some("u");
    let header = text(header).filter(|_| names).ok_or_else(damaged)?;
    let header = Header::parse(&header).ok_or_else(damaged)?;
    Ok(Entry {
        position,
        published_ms: header.published_ms,
        origin: header.origin,
        print: Some(header.print),
        bytes: bytes.into(),
    })
}

/// What stands beside an update's bytes: `1 PRINT MS NODE BOOT BATCH INDEX`.
struct Header {
    print: Print,
    published_ms: u64,
    origin: Origin,
}

impl Header {
    fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [VERSION, print, published_ms, node, boot, batch, index] = words.as_slice() else {
            return None;
        };
        Some(Self {
            print: Print::new(unhex(print)?),
            published_ms: published_ms.parse().ok()?,
            origin: Origin {
                sender: Sender {
                    node: NodeId::parse(node)?,
                    boot: BootId::parse(boot)?,
                },
                batch: batch.parse().ok()?,
                index: index.parse().ok()?,
            },
        })
    }
}

/// Writes an origin as a header has it.
pub(crate) fn origin(origin: Origin) -> String {
    let Sender { node, boot } = origin.sender;
    format!("{node} {boot} {} {}", origin.batch, origin.index)
}

/// Writes bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    text
}

/// Reads what [`hex`] wrote.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        let is_hex = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        *byte = u8::from_str_radix(is_hex.then_some(pair)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
