//! Writes the response head of an event stream.
//!
//! For shards that write HTTP/1 to the socket directly. All other responses go through the HTTP
//! library.

use crate::bearer::is_token_character;
use crate::form::shown;

/// The HTTP/1 version of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The body ends when the connection closes.
    Http10,
    /// The body is sent in chunks.
    Http11,
}

/// Why a head cannot be written: a mistake of the caller, not of a peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The name of a field is not a token.
    #[error("response field name {name:?} is not a token")]
    Name {
        /// The name.
        name: Box<str>,
    },
    /// The head sets this field itself, or the field would contradict the framing of the body.
    #[error("response field {name:?} is set by the head itself")]
    Fixed {
        /// The name.
        name: Box<str>,
    },
    /// The value of a field has a control character other than a tab.
    #[error("the value of response field {name:?} has a control character")]
    Value {
        /// The name of the field.
        name: Box<str>,
    },
}

/// Returns the head of an event stream's response, up to and including the empty line.
///
/// `date` is the value of the `Date` field. `extra` are further fields, none of which the head sets
/// itself. Their values may contain bytes outside ASCII, for example in an event id.
///
/// # Errors
///
/// [`HeadError`] for the first invalid field, so that no value can inject another field.
///
/// WHATWG HTML, "Server-sent events"; RFC 9112, 4 and 6.
pub fn event_stream_head(
    version: Version,
    date: &str,
    extra: &[(&str, &str)],
) -> Result<Vec<u8>, HeadError> {
    let extra_len: usize = extra
        .iter()
        .map(|(name, value)| name.len() + value.len() + 4)
        .sum();
    let mut head = Vec::with_capacity(STATIC_LEN_MAX + date.len() + extra_len);
    head.extend_from_slice(FIRST_LINES);
    append_field(&mut head, "cache-control", CACHE_CONTROL)?;
    head.extend_from_slice(match version {
        Version::Http10 => b"connection: close\r\n".as_slice(),
        Version::Http11 => b"transfer-encoding: chunked\r\n",
    });
    append_field(&mut head, "date", date)?;
    for (name, value) in extra {
        if FIXED.iter().any(|fixed| fixed.eq_ignore_ascii_case(name)) {
            return Err(HeadError::Fixed { name: shown(name) });
        }
        append_field(&mut head, name, value)?;
    }
    head.extend_from_slice(b"\r\n");
    Ok(head)
}

/// Keeps the event stream out of caches and out of compression, which would hold events back until
/// a block is full.
///
/// RFC 9111, 5.2.2.6.
pub const CACHE_CONTROL: &str =
    "private, no-cache, no-store, no-transform, must-revalidate, max-age=0";

/// The status line and the fields of every event stream. An HTTP/1.1 server answers an HTTP/1.0
/// request with its own version, too. RFC 9110, 6.2.
const FIRST_LINES: &[u8] = b"HTTP/1.1 200 OK\r\n\
    content-type: text/event-stream\r\n\
    x-accel-buffering: no\r\n";

/// An upper bound for the length of everything that does not depend on the arguments.
const STATIC_LEN_MAX: usize = FIRST_LINES.len() + CACHE_CONTROL.len() + 96;

/// The fields that `extra` must not have.
const FIXED: [&str; 7] = [
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "transfer-encoding",
    "x-accel-buffering",
];

fn append_field(head: &mut Vec<u8>, name: &str, value: &str) -> Result<(), HeadError> {
    if name.is_empty() || !name.bytes().all(is_token_character) {
        return Err(HeadError::Name { name: shown(name) });
    }
    if value
        .bytes()
        .any(|byte| byte.is_ascii_control() && byte != b'\t')
    {
        return Err(HeadError::Value { name: shown(name) });
    }
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value.as_bytes());
    head.extend_from_slice(b"\r\n");
    Ok(())
}

#[cfg(test)]
mod tests;
