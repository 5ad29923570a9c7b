//! Spans as OTLP: the protobuf messages of OpenTelemetry's protocol, as far as spans need them.
//!
//! Own code, because the crates of OpenTelemetry bring a second HTTP stack and break with each release
//! (decision 0027). opentelemetry-proto, `opentelemetry/proto/trace/v1/trace.proto`.

use tidings_hub::traces::{Attribute, Span};

/// The media type of a request; OTLP, "Binary Protobuf Encoding".
pub(crate) const MEDIA_TYPE: &str = "application/x-protobuf";

/// `Status.StatusCode.STATUS_CODE_ERROR`.
const STATUS_ERROR: u64 = 2;

/// Returns an `ExportTraceServiceRequest` with these spans of one service.
pub(crate) fn request(resource: &[(String, String)], spans: &[Span]) -> Vec<u8> {
    let mut resource_spans = Message::default();
    let mut described = Message::default();
    for (key, value) in resource {
        described.message(1, &attribute(key, &Attribute::Text(value.clone())));
    }
    resource_spans.message(1, &described);
    let mut scope_spans = Message::default();
    let mut scope = Message::default();
    scope.bytes(1, b"tidings");
    scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
    scope_spans.message(1, &scope);
    for span in spans {
        scope_spans.message(2, &encode(span));
    }
    resource_spans.message(2, &scope_spans);
    let mut request = Message::default();
    request.message(1, &resource_spans);
    request.0
}

fn encode(span: &Span) -> Message {
    let mut message = Message::default();
    message.bytes(1, span.context.trace_id());
    message.bytes(2, span.context.span_id());
    if let Some(parent) = &span.parent {
        message.bytes(4, parent);
    }
    message.bytes(5, span.name.as_bytes());
    message.number(6, span.kind as u64);
    message.fixed64(7, span.begun_ns);
    message.fixed64(8, span.ended_ns);
    for (key, value) in &span.attributes {
        message.message(9, &attribute(key, value));
    }
    for (name, at_ns) in &span.events {
        let mut event = Message::default();
        event.fixed64(1, *at_ns);
        event.bytes(2, name.as_bytes());
        message.message(11, &event);
    }
    for cause in &span.links {
        let mut link = Message::default();
        link.bytes(1, cause.trace_id());
        link.bytes(2, cause.span_id());
        link.fixed32(6, u32::from(cause.is_sampled()));
        message.message(13, &link);
    }
    if let Some(error) = &span.error {
        let mut status = Message::default();
        status.bytes(2, error.as_bytes());
        status.number(3, STATUS_ERROR);
        message.message(15, &status);
    }
    message.fixed32(16, u32::from(span.context.is_sampled()));
    message
}

/// Returns a `KeyValue`.
fn attribute(key: &str, value: &Attribute) -> Message {
    let mut any = Message::default();
    match value {
        Attribute::Text(text) => any.bytes(1, text.as_bytes()),
        // Counts are far below the sign.
        Attribute::Number(number) => any.number(3, *number),
    }
    let mut pair = Message::default();
    pair.bytes(1, key.as_bytes());
    pair.message(2, &any);
    pair
}

/// Returns how many spans the collector did not take of a request that it answered with success: what an
/// `ExportTraceServiceResponse` says in `partial_success`. 0 if the body is none.
pub(crate) fn rejected(body: &[u8]) -> u64 {
    let partial = Fields(body).find_map(|field| match field {
        (1, Value::Bytes(partial)) => Some(partial),
        _ => None,
    });
    let rejected = Fields(partial.unwrap_or_default()).find_map(|field| match field {
        (1, Value::Number(rejected)) => Some(rejected),
        _ => None,
    });
    rejected.unwrap_or(0)
}

/// The fields of a message that was received, as far as it is well-formed.
struct Fields<'a>(&'a [u8]);

/// The value of a field that was received.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed size, which nothing here has.
    Fixed,
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for place in 0..VARINT_BYTES_MAX {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let count = usize::try_from(count).ok()?;
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            VARINT => Value::Number(self.varint()?),
            FIXED64 => self.take(8).map(|_| Value::Fixed)?,
            FIXED32 => self.take(4).map(|_| Value::Fixed)?,
            LENGTH => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    }
}

/// The longest number.
const VARINT_BYTES_MAX: u32 = 10;

/// A message that is being written; Protocol Buffers, "Encoding".
#[derive(Debug, Default)]
struct Message(Vec<u8>);

/// Wire types.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED32: u64 = 5;

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            let [low, ..] = (value | 0x80).to_le_bytes();
            self.0.push(low);
            value >>= 7;
        }
        let [low, ..] = value.to_le_bytes();
        self.0.push(low);
    }

    fn tag(&mut self, field: u64, wire_type: u64) {
        self.varint(field << 3 | wire_type);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.tag(field, VARINT);
        self.varint(value);
    }

    fn fixed64(&mut self, field: u64, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend(value.to_le_bytes());
    }

    fn fixed32(&mut self, field: u64, value: u32) {
        self.tag(field, FIXED32);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.tag(field, LENGTH);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn message(&mut self, field: u64, value: &Self) {
        self.bytes(field, &value.0);
    }
}

#[cfg(test)]
mod tests;
