//! Outbound frames, and the framing of each transport.

use bytes::Bytes;

use super::place::Transport;
use super::text::{self, Text};

/// Bytes of `h` that open an `xhr_streaming` answer: old browsers show nothing before them.
const XHR_PRELUDE_BYTES: usize = 2048;
/// Bytes before the first script of an `htmlfile` page, for the same reason.
const HTML_HEAD_BYTES_MIN: usize = 1025;
/// The longest name of a JavaScript function that is taken.
const CALLBACK_BYTES_MAX: usize = 128;

/// Returns the frame that hands over texts of a peer.
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

/// Returns the frame that hands over one text which is Unicode.
pub fn unicode_frame(text: &str) -> String {
    let mut frame = String::with_capacity(text.len() + 8);
    frame.push_str("a[");
    text::write_json(text, &mut frame);
    frame.push(']');
    frame
}

/// Joins frames into one, for a transport that takes one at a time: the texts of all of them, or a
/// heartbeat if there are none. `None` if there is no frame at all.
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

/// Returns the frame that ends a session.
pub fn close_frame(code: u16, reason: &str) -> String {
    let mut frame = format!("c[{code},");
    text::write_json(reason, &mut frame);
    frame.push(']');
    frame
}

/// Why a `c` parameter names no JavaScript function. The texts are those that the protocol asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// There is none, or it is empty.
    #[error("\"callback\" parameter required")]
    Missing,
    /// It holds other characters than letters, digits, `-`, `_` and `.`, or is too long.
    #[error("invalid \"callback\" parameter")]
    Invalid,
}

/// The name of a JavaScript function of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback(Box<str>);

impl Callback {
    /// Reads a `c` parameter. The name goes into a script, so little is allowed.
    ///
    /// # Errors
    ///
    /// See [`CallbackError`].
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
    /// Bare, each in a text frame of a WebSocket.
    WebSocket,
    /// A line each; one to an answer (`xhr`) or many (`xhr_streaming`, which has a prelude).
    Lines {
        /// Whether the answer goes on.
        streaming: bool,
    },
    /// Events of an event stream.
    Events,
    /// Scripts of a page that calls a function of the page around it.
    Scripts(Callback),
    /// One script that calls a function.
    Jsonp(Callback),
}

impl Framing {
    /// Returns the framing of a transport that receives. `callback` is its `c` parameter.
    ///
    /// # Errors
    ///
    /// The transport needs a function and `callback` names none.
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

    /// Returns whether one answer carries more than one frame.
    pub fn streams(&self) -> bool {
        !matches!(self, Self::Lines { streaming: false } | Self::Jsonp(_))
    }

    /// Returns the media type of the answer.
    pub fn media_type(&self) -> &'static str {
        match self {
            Self::Events => "text/event-stream",
            Self::Scripts(_) => "text/html; charset=UTF-8",
            Self::WebSocket | Self::Lines { .. } | Self::Jsonp(_) => {
                "application/javascript; charset=UTF-8"
            }
        }
    }

    /// Returns what goes out before the first frame; a chunk of its own.
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
            // A frame holds no line breaks: they are escaped. Every sockjs-client applies `decodeURI` or
            // `unescape` to what an event stream brings, and no other transport does.
            Self::Events => format!("data: {}\r\n\r\n", frame.replace('%', "%25")).into(),
            Self::Scripts(_) => {
                format!("<script>\np({});\n</script>\r\n", script_text(frame)).into()
            }
            // The comment keeps the answer from being taken for a Flash file.
            Self::Jsonp(Callback(name)) => {
                format!("/**/{name}({});\r\n", script_text(frame)).into()
            }
        }
    }
}

/// Returns `frame` as a JavaScript string that cannot end the script around it.
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
