//! The line that `tidings dev` writes to the terminal for each request. It says what a page's script cannot see: why
//! the browser hides an answer from the page, and what to do about it.
//!
//! The access log of a hub in production is in `access.rs`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HOST, HeaderName, ORIGIN};
use http::{Extensions, HeaderMap, Request, StatusCode};
use tidings_wire::redact;
use time::OffsetDateTime;

use super::output;

/// Maximum number of requests shown in one second. Of the others only the number is shown.
const LINES_PER_SECOND_MAX: u64 = 100;
/// Maximum number of bytes shown of a target, a topic or a reason.
const SHOWN_BYTES_MAX: usize = 300;
/// The opaque origin, as of a page in a file; RFC 6454, 6.1.
const OPAQUE: &str = "null";
/// The header that tells a navigation from a script's request; Fetch Metadata Request Headers, 2.2.
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
/// The indentation of the further lines of a request.
const INDENT: &str = "                 ";

/// Why a request was refused. An extension of the response, for the line about it.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The short name, such as `origin-refused`.
    pub(crate) name: &'static str,
    /// What was wrong, with which value.
    pub(crate) detail: String,
}

/// What a request published. An extension of the response, for the line about it.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    /// The canonical topic of the update.
    pub(crate) topic: String,
    /// Whether it is private.
    pub(crate) private: bool,
}

/// A request whose line will be written.
#[derive(Debug)]
pub(crate) struct RequestLine {
    received: OffsetDateTime,
    begun: Instant,
    /// Method and target.
    request: String,
    /// The origin of the requesting page, unless it is a page of this hub.
    page: Option<String>,
    kind: Kind,
}

/// What kind of request a browser sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A script's request. The browser decides whether the script may read the answer.
    Script,
    /// A preflight: the browser asks whether the script may send its request.
    Preflight,
    /// A WebSocket. The hub itself allows or refuses the page.
    WebSocket,
    /// A navigation: the browser shows the answer to the visitor.
    Navigation,
}

impl RequestLine {
    /// Notes a request, without the secrets in its URL.
    pub(crate) fn of<B>(request: &Request<B>, is_websocket: bool) -> Self {
        let headers = request.headers();
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let host = request.uri().authority().map(http::uri::Authority::as_str);
        let own = format!("http://{}", host.or_else(|| text(HOST)).unwrap_or_default());
        let page = text(ORIGIN).filter(|origin| *origin != own);
        let kind = if is_websocket {
            Kind::WebSocket
        } else if request.method() == http::Method::OPTIONS {
            Kind::Preflight
        } else if text(SEC_FETCH_MODE) == Some("navigate") {
            Kind::Navigation
        } else {
            Kind::Script
        };
        Self {
            received: OffsetDateTime::now_utc(),
            begun: Instant::now(),
            request: format!("{} {}", request.method(), shown_target(request.uri())),
            page: page.map(|page| printable(page.as_bytes())),
            kind,
        }
    }

    /// Writes the line of a complete response.
    pub(crate) fn on_response(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) {
        let ms = self.begun.elapsed().as_secs_f64() * 1000.0;
        let what = match extensions.get::<Published>() {
            Some(Published { topic, private }) => {
                let private = if *private { ", private" } else { "" };
                format!("published {}{private}, ", printable(topic.as_bytes()))
            }
            None => String::new(),
        };
        let mut notes = String::new();
        let refused = extensions.get::<Refused>();
        if let Some(Refused { name, detail }) = refused {
            note(&mut notes, &printable(detail.as_bytes()));
            if let Some(advice) = self.advice(name) {
                note(&mut notes, &advice);
            }
        }
        if refused.is_none_or(|refused| refused.name != ORIGIN_REFUSED) {
            self.note_page(headers, &mut notes);
        }
        self.write(status, &format!("{what}{ms:.1} ms"), &notes);
    }

    /// Writes the line of an event stream that begins.
    pub(crate) fn on_stream(&self, headers: &HeaderMap) {
        let mut notes = String::new();
        self.note_page(headers, &mut notes);
        self.write(StatusCode::OK, "event stream", &notes);
    }

    /// Writes the line of a WebSocket that opens.
    pub(crate) fn on_upgrade(&self) {
        let mut notes = String::new();
        self.note_opaque(&mut notes);
        self.write(StatusCode::SWITCHING_PROTOCOLS, "WebSocket", &notes);
    }

    /// Adds a note if the browser hides the answer from the page. The page's script does not learn why.
    fn note_page(&self, headers: &HeaderMap, notes: &mut String) {
        let Some(page) = &self.page else { return };
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            self.note_opaque(notes);
            return;
        }
        let what = match self.kind {
            Kind::Script => "the browser hides this answer from the page",
            Kind::Preflight => "the browser will not send the page's request",
            Kind::WebSocket | Kind::Navigation => return,
        };
        note(
            notes,
            &format!("{what}: its origin {page} is not allowed (CORS)"),
        );
        note(notes, &allowing(page));
    }

    /// Explains once what a page without an origin may be, if one was allowed.
    fn note_opaque(&self, notes: &mut String) {
        if self.page.as_deref() == Some(OPAQUE) && !OPAQUE_SEEN.swap(true, Ordering::Relaxed) {
            note(
                notes,
                "a page without an origin is an HTML file, or a sandboxed frame of any website. It \
                 may only read public updates; --no-file-pages refuses it",
            );
        }
    }

    fn advice(&self, name: &str) -> Option<String> {
        Some(match name {
            ORIGIN_REFUSED => allowing(self.page.as_deref().unwrap_or(OPAQUE)),
            "token-missing" => {
                "tidings token make --publish '*' prints a token; tidings publish uses one by itself"
                    .to_owned()
            }
            "token-invalid" | "token-presentation" => {
                "tidings token inspect --dev TOKEN shows what the token contains".to_owned()
            }
            "scope-insufficient" => {
                "tidings token make --publish TOPIC prints a token for a topic".to_owned()
            }
            _ => return None,
        })
    }

    fn write(&self, status: StatusCode, what: &str, notes: &str) {
        let Some(skipped) = QUOTA.take(self.received.unix_timestamp()) else {
            return;
        };
        if skipped > 0 {
            output::complain(&format!("{INDENT}{skipped} more requests"));
        }
        output::complain(&self.line(status, what, notes));
    }

    fn line(&self, status: StatusCode, what: &str, notes: &str) -> String {
        let (hour, minute, second) = self.received.to_hms();
        let page = match &self.page {
            Some(page) if page == OPAQUE => ", for a page without an origin".to_owned(),
            Some(page) => format!(", for a page of {page}"),
            None => String::new(),
        };
        let line = format!(
            "{hour:02}:{minute:02}:{second:02}Z  {}  {}  {what}{page}{notes}",
            status.as_u16(),
            self.request
        );
        redact::text(&line).into_owned()
    }
}

/// Returns how to allow a page of an origin.
fn allowing(page: &str) -> String {
    match page {
        OPAQUE => {
            "open the page at http://localhost instead of from a file: python3 -m http.server \
                   serves a folder"
                .to_owned()
        }
        page => format!("to allow it, start the hub with: tidings dev --origin {page}"),
    }
}

fn note(notes: &mut String, text: &str) {
    // Writing to a String cannot fail.
    write!(notes, "\n{INDENT}{text}").ok();
}

/// Returns a target without its secrets, percent-decoded for people to read.
fn shown_target(target: &http::Uri) -> String {
    let mut shown = redact::bytes(target.path().as_bytes()).into_owned();
    if let Some(query) = target.query() {
        shown.push(b'?');
        shown.extend(redact::query(query.as_bytes()));
    }
    let read: Vec<u8> = percent_encoding::percent_decode(&shown).collect();
    printable(&read)
}

/// Returns a peer's text, cut to a length. Characters that a terminal would obey or hide are escaped.
fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for character in String::from_utf8_lossy(bytes).chars() {
        if text.len() > SHOWN_BYTES_MAX {
            text.push_str("...");
            break;
        }
        match character {
            ' '..='~' => text.push(character),
            character if character.is_alphanumeric() => text.push(character),
            character => text.extend(character.escape_unicode()),
        }
    }
    text
}

/// Counts the lines of the current second, for all threads.
struct Quota {
    second: AtomicU64,
    taken: AtomicU64,
    skipped: AtomicU64,
}

impl Quota {
    const fn new() -> Self {
        Self {
            second: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        }
    }

    /// Returns whether a line may be written, and how many requests were skipped before it. When a second begins,
    /// concurrent threads may write a few more lines.
    fn take(&self, now: i64) -> Option<u64> {
        let now = now.unsigned_abs();
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.taken.store(0, Ordering::Relaxed);
        }
        if self.taken.fetch_add(1, Ordering::Relaxed) < LINES_PER_SECOND_MAX {
            Some(self.skipped.swap(0, Ordering::Relaxed))
        } else {
            self.skipped.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

static QUOTA: Quota = Quota::new();
static OPAQUE_SEEN: AtomicBool = AtomicBool::new(false);

/// The name of the refusal of a page's origin.
const ORIGIN_REFUSED: &str = "origin-refused";

#[cfg(test)]
mod tests;
