//! The access log: one line for each request, in Apache's combined format, which the hub of 2019 wrote too, or as a
//! JSON object. The line of an event stream is written at its end, that of a WebSocket when it opens.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use http::header::{REFERER, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, Version};
use http_body::Body;
use serde_json::json;
use tidings_wire::redact;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::output;

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Apache's combined format.
    Combined,
    /// One JSON object.
    Json,
}

/// A request whose line will be written. Without the secrets of its URL and its fields.
#[derive(Debug)]
pub(crate) struct Access {
    style: Style,
    peer: IpAddr,
    id: HeaderValue,
    received: OffsetDateTime,
    began: Instant,
    method: Method,
    /// Path and query.
    target: Box<[u8]>,
    version: Version,
    referer: Box<[u8]>,
    agent: Box<[u8]>,
}

impl Access {
    /// Notes a request with its id.
    pub(crate) fn of<B>(
        style: Style,
        peer: SocketAddr,
        request: &Request<B>,
        id: &HeaderValue,
    ) -> Self {
        let uri = request.uri();
        let mut target = redact::bytes(uri.path().as_bytes()).into_owned();
        if let Some(query) = uri.query() {
            target.push(b'?');
            target.extend_from_slice(&redact::query(query.as_bytes()));
        }
        let field = |name| request.headers().get(name).map(HeaderValue::as_bytes);
        // The query of another page's URL may contain secrets.
        let referer = redact::url_bytes(field(REFERER).unwrap_or_default());
        let agent = redact::bytes(field(USER_AGENT).unwrap_or_default());
        Self {
            style,
            peer: peer.ip().to_canonical(),
            id: id.clone(),
            received: OffsetDateTime::now_utc(),
            began: Instant::now(),
            method: request.method().clone(),
            target: target.into(),
            version: request.version(),
            referer: Box::from(&*referer),
            agent: Box::from(&*agent),
        }
    }

    /// Writes the line of a complete response.
    pub(crate) fn on_response(&self, response: &Response<impl Body>) {
        let length = response.body().size_hint().exact().unwrap_or_default();
        let sent = if self.method == Method::HEAD {
            0
        } else {
            length
        };
        self.write(response.status().as_u16(), sent);
    }

    /// Writes the line of a WebSocket that opens.
    pub(crate) fn on_upgrade(&self) {
        let over_http2 = self.version == Version::HTTP_2;
        self.write(if over_http2 { 200 } else { 101 }, 0);
    }

    /// Writes the line of a response with this many bytes of content.
    pub(crate) fn write(&self, status: u16, bytes: u64) {
        let mut line = match self.style {
            Style::Combined => self.combined(status, bytes),
            Style::Json => self.json(status, bytes),
        };
        line.push('\n');
        output::access(&line);
    }

    fn combined(&self, status: u16, bytes: u64) -> String {
        let received = apache_time(self.received);
        let mut line = format!("{} - - [{received}] \"{} ", self.peer, self.method);
        quote(&mut line, &self.target);
        let (referer, agent) = (quoted(&self.referer), quoted(&self.agent));
        // Writing to a String cannot fail.
        write!(
            line,
            " {:?}\" {status} {bytes} {referer} {agent}",
            self.version
        )
        .ok();
        line
    }

    fn json(&self, status: u16, bytes: u64) -> String {
        let text = String::from_utf8_lossy;
        let received = self.received.format(&Rfc3339).unwrap_or_default();
        json!({
            "timestamp": received,
            "target": "tidings::access",
            "request_id": text(self.id.as_bytes()),
            "peer": self.peer,
            "method": self.method.as_str(),
            "path": text(&self.target),
            "version": format!("{:?}", self.version),
            "status": status,
            "bytes": bytes,
            "duration_ms": self.began.elapsed().as_secs_f64() * 1000.0,
            "referer": text(&self.referer),
            "user_agent": text(&self.agent),
        })
        .to_string()
    }
}

/// Returns a time as Apache writes it: `17/May/2019:08:00:01 +0000`.
fn apache_time(time: OffsetDateTime) -> String {
    let month = time.month().to_string();
    let month = month.get(..3).unwrap_or_default();
    format!(
        "{:02}/{month}/{}:{:02}:{:02}:{:02} +0000",
        time.day(),
        time.year(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

/// Returns a peer's text in quotes.
fn quoted(bytes: &[u8]) -> String {
    let mut quoted = String::from('"');
    quote(&mut quoted, bytes);
    quoted.push('"');
    quoted
}

/// Appends a peer's text, escaped so that it ends neither the quotes nor the line.
fn quote(out: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                out.push('\\');
                out.push(byte.into());
            }
            b' '..=b'~' => out.push(byte.into()),
            _ => {
                write!(out, "\\x{byte:02x}").ok();
            }
        }
    }
}

#[cfg(test)]
mod tests;
