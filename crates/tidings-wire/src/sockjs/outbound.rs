//! Outbound frames, and the framing of each transport.

use bytes::Bytes;

use super::place::Transport;
use super::text::{self, Text};

/// Bytes of `h` that begin an `xhr_streaming` response: old browsers buffer that much.
const XHR_PRELUDE_BYTES: usize = 2048;
/// Bytes before the first script of an `htmlfile` page, for the same reason.
const HTML_HEAD_BYTES_MIN: usize = 1025;
/// The maximum length of the name of a JavaScript function, in bytes.
const CALLBACK_BYTES_MAX: usize = 128;

/// Returns the frame that carries texts of a peer.
pub fn text_frame<'a>(texts: impl IntoIterator<Item = &'a Text>) -> String {
    let mut frame = String::from("a[");
    for text in texts {
        if !frame.ends_with('[') {
            frame.push(',');
        }
        text.write_json(&mut frame);
    }
    frame.push(']');
    frame
}

/// Returns the frame that carries one Unicode text.
pub fn unicode_frame(text: &str) -> String {
    let mut frame = String::with_capacity(text.len() + 8);
    frame.push_str("a[");
    text::write_json(text, &mut frame);
    frame.push(']');
    frame
}

/// Merges frames into one, for a transport that takes one at a time: the texts of all frames, or a
/// heartbeat if they contain no text. `None` if there is no frame.
pub fn joined_frame<'a>(frames: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut joined = None;
    for frame in frames {
        let texts = frame
            .strip_prefix("a[")
            .and_then(|rest| rest.strip_suffix(']'));
        match (&mut joined, texts) {
            (None, _) => joined = Some(frame.to_owned()),
            (Some(_), None | Some("")) => {}
            (Some(before), Some(_)) if !before.starts_with("a[") => frame.clone_into(before),
            (Some(before), Some(texts)) => {
                before.pop();
                before.push(',');
                before.push_str(texts);
                before.push(']');
            }
        }
    }
    joined
}

/// Returns the frame that closes a session.
pub fn close_frame(code: u16, reason: &str) -> String {
    let mut frame = format!("c[{code},");
    text::write_json(reason, &mut frame);
    frame.push(']');
    frame
}

/// Why a `c` parameter does not name a JavaScript function. The protocol prescribes the error
/// texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// The parameter is missing or empty.
    #[error("\"callback\" parameter required")]
    Missing,
    /// The name contains other characters than letters, digits, `-`, `_` and `.`, or is too long.
    #[error("invalid \"callback\" parameter")]
    Invalid,
}

/// The name of a JavaScript function on the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback(Box<str>);

impl Callback {
    /// Parses a `c` parameter. The name is written into a script, so few characters are allowed.
    ///
    /// # Errors
    ///
    /// [`CallbackError`] if the name is missing or invalid.
    ///
    /// SockJS protocol 0.3.3, "HtmlFile", "JsonPolling".
    pub fn parse(name: Option<&str>) -> Result<Self, CallbackError> {
        let name = name
            .filter(|name| !name.is_empty())
            .ok_or(CallbackError::Missing)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.len() > CALLBACK_BYTES_MAX || !name.bytes().all(allowed) {
            return Err(CallbackError::Invalid);
        }
        Ok(Self(name.into()))
    }
}

/// The framing of one receiving connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// The bare frame, as a text message of a WebSocket.
    WebSocket,
    /// One frame per line: one in a response (`xhr`), or many (`xhr_streaming`, which begins with a
    /// prelude).
    Lines {
        /// Whether the response carries more than one frame.
        streaming: bool,
    },
    /// One event of an event stream per frame.
    Events,
    /// One script per frame, in a page, which calls a function of the page around it.
    Scripts(Callback),
    /// One script, which calls a function.
    Jsonp(Callback),
}

impl Framing {
    /// Returns the framing of a receiving transport. `callback` is its `c` parameter.
    ///
    /// # Errors
    ///
    /// [`CallbackError`] if the transport needs a function and `callback` does not name one.
    pub fn new(transport: Transport, callback: Option<&str>) -> Result<Self, CallbackError> {
        Ok(match transport {
            Transport::WebSocket => Self::WebSocket,
            Transport::Xhr | Transport::XhrSend | Transport::JsonpSend => {
                Self::Lines { streaming: false }
            }
            Transport::XhrStreaming => Self::Lines { streaming: true },
            Transport::EventSource => Self::Events,
            Transport::HtmlFile => Self::Scripts(Callback::parse(callback)?),
            Transport::Jsonp => Self::Jsonp(Callback::parse(callback)?),
        })
    }

    /// Returns whether one response carries more than one frame.
    pub fn streams(&self) -> bool {
        !matches!(self, Self::Lines { streaming: false } | Self::Jsonp(_))
    }

    /// Returns the media type of the response.
    pub fn media_type(&self) -> &'static str {
        match self {
            Self::Events => "text/event-stream",
            Self::Scripts(_) => "text/html; charset=UTF-8",
            Self::WebSocket | Self::Lines { .. } | Self::Jsonp(_) => {
                "application/javascript; charset=UTF-8"
            }
        }
    }

    /// Returns the bytes before the first frame, as a chunk of its own.
    pub fn prelude(&self) -> Bytes {
        match self {
            Self::WebSocket | Self::Lines { streaming: false } | Self::Jsonp(_) => Bytes::new(),
            Self::Lines { streaming: true } => {
                let mut line = super::HEARTBEAT.repeat(XHR_PRELUDE_BYTES);
                line.push('\n');
                line.into()
            }
            Self::Events => Bytes::from_static(b"\r\n"),
            Self::Scripts(callback) => html_head(callback).into(),
        }
    }

    /// Wraps `frame` in the framing of the transport, as a separate chunk.
    pub fn wrap(&self, frame: &str) -> Bytes {
        match self {
            Self::WebSocket => Bytes::copy_from_slice(frame.as_bytes()),
            Self::Lines { .. } => format!("{frame}\n").into(),
            // A frame contains no line breaks, because they are escaped. Every sockjs-client
            // applies `decodeURI` or `unescape` to the data of an event stream, and to no other
            // transport.
            Self::Events => format!("data: {}\r\n\r\n", frame.replace('%', "%25")).into(),
            Self::Scripts(_) => {
                format!("<script>\np({});\n</script>\r\n", script_text(frame)).into()
            }
            // The comment prevents the response from being taken for a Flash file.
            Self::Jsonp(Callback(name)) => {
                format!("/**/{name}({});\r\n", script_text(frame)).into()
            }
        }
    }
}

/// Returns `frame` as a JavaScript string that cannot end the script element around it.
fn script_text(frame: &str) -> String {
    let mut json = String::with_capacity(frame.len() + 16);
    text::write_json(frame, &mut json);
    json.replace('<', "\\u003c")
}

fn html_head(Callback(name): &Callback) -> String {
    let mut head = format!(
        "<!doctype html>\n<html><head>\n  <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n  \
         <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n</head>\
         <body><h2>Don't panic!</h2>\n  <script>\n    document.domain = document.domain;\n    \
         var c = parent.{name};\n    c.start();\n    function p(d) {{c.message(d);}};\n    \
         window.onload = function() {{c.stop();}};\n  </script>"
    );
    while head.len() < HTML_HEAD_BYTES_MIN {
        head.push(' ');
    }
    head.push_str("\r\n\r\n");
    head
}

#[cfg(test)]
mod tests;
