//! The access log: one line for each request, in the combined format of Apache, which the hub of 2019
//! wrote too. Of an event stream it is written at its end, of a WebSocket when it is opened.

use std::fmt::Write;
use std::net::IpAddr;

use http::header::{AsHeaderName, REFERER, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body::Body as _;
use tidings_wire::form;
use time::OffsetDateTime;

use super::{Body, Visit};

/// By which the lines are told from the others.
pub(crate) const TARGET: &str = "tidings::access";

/// Parameters that carry a token, which must not stand in a log.
const SECRET: [&[u8]; 3] = [b"authorization", b"access_token", b"jwt"];

/// A request of which a line will be written.
#[derive(Debug)]
pub(crate) struct Access {
    peer: IpAddr,
    received: OffsetDateTime,
    /// Method, target and version.
    request: Box<str>,
    /// Where the peer says to come from, and what it says to be.
    about: Box<str>,
    method: Method,
    version: Version,
}

impl Access {
    /// Takes note of a request, without the tokens in its address.
    pub(crate) fn of<B>(visit: Visit, request: &Request<B>) -> Self {
        let method = request.method();
        let target = request.uri();
        let mut line = format!("{method} ");
        quote(&mut line, target.path().as_bytes());
        if let Some(query) = target.query() {
            line.push('?');
            quote(&mut line, without_tokens(query).as_bytes());
        }
        // Writing to a text cannot fail.
        write!(line, " {:?}", request.version()).ok();
        let headers = request.headers();
        Self {
            peer: visit.peer.ip().to_canonical(),
            received: OffsetDateTime::now_utc(),
            request: line.into(),
            about: format!("{} {}", field(headers, REFERER), field(headers, USER_AGENT)).into(),
            method: method.clone(),
            version: request.version(),
        }
    }

    /// Writes the line of an answer that is complete.
    pub(crate) fn on_response(&self, response: &Response<Body>) {
        let length = response.body().size_hint().exact().unwrap_or_default();
        let sent = if self.method == Method::HEAD {
            0
        } else {
            length
        };
        self.write(response.status().as_u16(), sent);
    }

    /// Writes the line of a WebSocket that is opened.
    pub(crate) fn on_upgrade(&self) {
        let over_http2 = self.version == Version::HTTP_2;
        self.write(if over_http2 { 200 } else { 101 }, 0);
    }

    /// Writes the line of an answer with this many bytes of content.
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

/// Returns a field of the request in quotes; empty if it is not there.
fn field(headers: &HeaderMap, name: impl AsHeaderName) -> String {
    let mut quoted = String::from('"');
    if let Some(value) = headers.get(name) {
        quote(&mut quoted, value.as_bytes());
    }
    quoted.push('"');
    quoted
}

/// Appends what a peer wrote so that it neither ends the quotes nor the line.
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

/// Returns a query in which `hidden` stands for each token.
fn without_tokens(query: &str) -> String {
    let pairs = query.split('&').map(|pair| {
        let mut named = form::pairs(pair.as_bytes());
        let name = named.next().map(|pair| pair.name_bytes().to_vec());
        if name.is_some_and(|name| SECRET.contains(&name.as_slice())) {
            let name = pair.split('=').next().unwrap_or_default();
            return format!("{name}=hidden");
        }
        pair.to_owned()
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests;
