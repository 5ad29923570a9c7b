//! The access log: one line for each request, in Apache's combined format, which the hub of 2019 wrote too. The line
//! of an event stream is written at its end, that of a WebSocket when it opens.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use http::header::{REFERER, USER_AGENT};
use http::{Method, Request, Response, Version};
use http_body::Body;
use tidings_wire::redact;
use time::OffsetDateTime;

/// The log target of these lines.
pub(crate) const TARGET: &str = "tidings::access";

/// A request whose line will be written.
#[derive(Debug)]
pub(crate) struct Access {
    peer: IpAddr,
    received: OffsetDateTime,
    /// Method, target and version.
    request: Box<str>,
    /// `Referer` and `User-Agent`.
    about: Box<str>,
    method: Method,
    version: Version,
}

impl Access {
    /// Notes a request, without the secrets in its URL and its fields.
    pub(crate) fn of<B>(peer: SocketAddr, request: &Request<B>) -> Self {
        let method = request.method();
        let target = request.uri();
        let mut line = format!("{method} ");
        quote(&mut line, &redact::bytes(target.path().as_bytes()));
        if let Some(query) = target.query() {
            line.push('?');
            quote(&mut line, &redact::query(query.as_bytes()));
        }
        // Writing to a String cannot fail.
        write!(line, " {:?}", request.version()).ok();
        let field = |name| request.headers().get(name).map(http::HeaderValue::as_bytes);
        // The query of another page's URL may contain secrets.
        let referer = redact::url_bytes(field(REFERER).unwrap_or_default());
        let agent = redact::bytes(field(USER_AGENT).unwrap_or_default());
        Self {
            peer: peer.ip().to_canonical(),
            received: OffsetDateTime::now_utc(),
            request: line.into(),
            about: format!("{} {}", quoted(&referer), quoted(&agent)).into(),
            method: method.clone(),
            version: request.version(),
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
        tracing::info!(target: TARGET, "{}", self.line(status, bytes));
    }

    fn line(&self, status: u16, bytes: u64) -> String {
        let (peer, request, about) = (self.peer, &self.request, &self.about);
        let received = apache_time(self.received);
        format!("{peer} - - [{received}] \"{request}\" {status} {bytes} {about}")
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
