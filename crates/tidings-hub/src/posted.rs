//! A committed update on its way to subscribers. It is matched once, in `router`, and encoded once for each
//! framing; shards write it.

mod encoding;

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use smallvec::SmallVec;
use tidings_core::dialect::Dialect;
use tidings_core::grant::Grants;
use tidings_core::hub_url::HubUrl;
use tidings_core::index::MatcherId;
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_core::subject::Subject;
use tidings_core::update::Update;
use tidings_wire::frame::Frame;
use tidings_wire::hub_frames::{self, UpdateFields};
use tidings_wire::sockjs::outbound::unicode_frame;
use tidings_wire::sse::EventFields;
use tidings_wire::subscription_document as document;
use tidings_wire::websocket::Opcode;
use tidings_wire::websocket::deflate::{Context, Deflater, Window};
use tidings_wire::websocket::encoder::{self, Packing};
use tokio::time::Instant;

pub use self::encoding::{Encoding, Texts};
use crate::session::protocol::FORMS;

/// Copies of one update's data that may be held: the data itself, an event, a WebSocket message, and the
/// same compressed.
const COPIES: usize = 4;
/// Data shorter than this is not compressed: it would hardly become shorter.
const PACKED_BYTES_MIN: usize = 128;
/// Copies of one topic that may be held: the topic itself, its subject, and the subject's URL.
const TOPIC_COPIES: usize = 3;
/// Bytes that a subject takes beside its texts.
const SUBJECT_BYTES: usize = 160;
/// Bytes that one update takes beside its texts: the structures around it, rounded up.
const OVERHEAD_BYTES: usize = 320;

/// A committed update, shared by every shard.
#[derive(Debug)]
pub struct Posted {
    /// The update, as the history holds it.
    pub update: Arc<Update>,
    /// The interned matchers that select the update, ascending. Empty for an update that was read back from
    /// the history: that is matched against one subscriber's own matchers.
    pub matching: Arc<[MatcherId]>,
    /// Its topics, parsed for matching.
    subjects: OnceLock<Subjects>,
    frame: OnceLock<Frame>,
    texts: OnceLock<Box<TextFrames>>,
    /// A presence event's wire form in the old dialects.
    old_frame: OnceLock<Box<Frame>>,
}

/// The topics of one update, parsed for matching.
pub(crate) type Subjects = SmallVec<[Subject; 1]>;

/// The WebSocket frames of one update. Each is encoded when the first session needs it.
#[derive(Debug, Default)]
struct TextFrames {
    /// For each form: bare, and in a SockJS frame.
    forms: [[TextFrame; 2]; FORMS.len()],
    /// The update's JSON alone, and a line end.
    line: OnceLock<Bytes>,
}

/// One WebSocket frame: plain, and compressed for each window.
#[derive(Debug, Default)]
struct TextFrame {
    plain: OnceLock<Bytes>,
    packed: [OnceLock<Bytes>; 3],
}

impl Posted {
    /// Wraps an update that was just committed, with the matchers that select it.
    pub(crate) fn new(update: Arc<Update>, matching: Arc<[MatcherId]>) -> Self {
        Self {
            update,
            matching,
            subjects: OnceLock::new(),
            frame: OnceLock::new(),
            texts: OnceLock::new(),
            old_frame: OnceLock::new(),
        }
    }

    /// Keeps the subjects that the update was matched by, if grants will be asked about them.
    pub(crate) fn with_subjects(self, subjects: Subjects) -> Self {
        if !self.update.visibility.is_public() {
            // The cell is empty: nobody can have asked before.
            drop(self.subjects.set(subjects));
        }
        self
    }

    /// Returns the topics, parsed for matching. The first caller parses them, for all.
    pub(crate) fn subjects(&self, hub: &HubUrl) -> &[Subject] {
        let topics = &self.update.topics;
        self.subjects.get_or_init(|| {
            topics
                .iter()
                .map(|topic| Subject::new(topic, hub))
                .collect()
        })
    }

    /// Wraps an update that was read back from the history.
    pub fn replayed(update: Arc<Update>) -> Self {
        Self::new(update, Arc::from([]))
    }

    /// Returns the wire form in `dialect`, encoded by the first caller and shared from then on. Only presence
    /// events differ between dialects.
    pub(crate) fn frame(&self, dialect: Dialect) -> &Frame {
        match (dialect, self.update.presence) {
            (Dialect::V0 | Dialect::V2019, Some(_)) => self.old_frame(),
            (Dialect::V1, _) | (_, None) => self.new_frame(),
        }
    }

    /// Encodes a presence event for the old dialects. Their subscribers listen to `onmessage`, so the event has
    /// no type.
    fn old_frame(&self) -> &Frame {
        self.old_frame.get_or_init(|| {
            let data = document::translated(&self.update.data);
            Box::new(Frame::encode(EventFields {
                event_type: None,
                retry_ms: self.update.retry_ms,
                id: self.update.id.as_str(),
                data: data.as_deref().unwrap_or(&self.update.data),
            }))
        })
    }

    fn new_frame(&self) -> &Frame {
        self.frame.get_or_init(|| {
            let update = &self.update;
            Frame::encode(EventFields {
                event_type: update.event_type.as_ref().map(|name| name.as_str()),
                retry_ms: update.retry_ms,
                id: update.id.as_str(),
                data: &update.data,
            })
        })
    }

    /// Returns a WebSocket frame, encoded by the first caller and shared from then on.
    pub(crate) fn websocket_frame(&self, texts: Texts, window: Option<Window>) -> Bytes {
        let frames = self.texts.get_or_init(Box::default);
        // Every form has a place.
        let of_form = frames.forms.get(texts.form.number());
        let Some([bare, in_sockjs]) = of_form else {
            return Bytes::new();
        };
        let frame = if texts.in_sockjs { in_sockjs } else { bare };
        let [small, middle, large] = &frame.packed;
        let plain = || frame.plain.get_or_init(|| encoder::text(&self.text(texts)));
        let Some(window) = window.filter(|_| self.update.data.len() >= PACKED_BYTES_MIN) else {
            return plain().clone();
        };
        let packed = match window {
            Window::Bits9 => small,
            Window::Bits12 => middle,
            Window::Bits15 => large,
        };
        let pack = || {
            let payload = deflate(window, self.text(texts).as_bytes());
            let frame = encoder::frame(Opcode::Text, Packing::Deflated, &payload);
            // Data that does not compress is sent plain. The peer must accept that too.
            if frame.len() < plain().len() {
                frame
            } else {
                plain().clone()
            }
        };
        packed.get_or_init(pack).clone()
    }

    /// Returns one line of JSON, encoded by the first caller and shared from then on.
    pub(crate) fn line(&self) -> Bytes {
        let frames = self.texts.get_or_init(Box::default);
        let encode = || {
            let mut line = self.with_fields(|fields| hub_frames::encode_update(&fields));
            line.push('\n');
            line.into()
        };
        frames.line.get_or_init(encode).clone()
    }

    /// Returns the message that carries this update.
    fn text(&self, texts: Texts) -> Cow<'_, str> {
        let tell = FORMS.get(texts.form.number());
        let text = tell.map_or(Cow::Borrowed(""), |tell| tell(self));
        if texts.in_sockjs {
            unicode_frame(&text).into()
        } else {
            text
        }
    }

    /// Returns the result of `encode` for the update's fields.
    pub(crate) fn with_fields<T>(&self, encode: impl FnOnce(UpdateFields<'_>) -> T) -> T {
        let update = &self.update;
        let private = !update.visibility.is_public();
        // The alternate topics of a private update may name the people who may read it.
        let named = if private { 1 } else { usize::MAX };
        let topics: SmallVec<[&str; 4]> = update
            .topics
            .iter()
            .take(named)
            .map(|topic| topic.as_str())
            .collect();
        encode(UpdateFields {
            id: update.id.as_str(),
            topics: &topics,
            event_type: update.event_type.as_ref().map(|name| name.as_str()),
            retry: update.retry_ms,
            private,
            data: &update.data,
        })
    }

    /// Returns whether a subscriber with `grants` may read the update: an update that is not public needs a
    /// grant (invariant 5, private by grant).
    pub fn is_readable_with(&self, grants: Option<&Grants>, hub: &HubUrl) -> bool {
        let visibility = &self.update.visibility;
        let granted = |grants: &Grants| grants.allows_update(visibility, self.subjects(hub));
        visibility.is_public() || grants.is_some_and(granted)
    }

    /// Returns whether a matcher selects the update.
    pub fn is_selected_by(&self, matcher: &Matcher, hub: &HubUrl) -> bool {
        // Topics are resolved as URLs only for URL patterns, which need it.
        if matcher.kind() != MatcherType::UrlPattern || matcher.is_wildcard() {
            let mut topics = self.update.topics.iter();
            return topics.any(|topic| matcher.matches_text(topic.as_str()) == Some(true));
        }
        let mut subjects = self.subjects(hub).iter();
        subjects.any(|subject| matcher.matches(subject))
    }

    /// Returns the bytes of memory that this update takes, its wire forms included.
    pub(crate) fn kept_bytes(&self) -> usize {
        let topics = self.update.topics.iter();
        let topics: usize = topics
            .map(|topic| SUBJECT_BYTES + TOPIC_COPIES * topic.as_str().len())
            .sum();
        OVERHEAD_BYTES + topics + COPIES * self.update.data.len()
    }
}

/// Compresses with the calling thread's own compressor. That holds hundreds of kilobytes, and is made when it
/// is first needed.
fn deflate(window: Window, payload: &[u8]) -> Vec<u8> {
    thread_local! {
        static COMPRESSORS: RefCell<Vec<(Window, Deflater)>> = const { RefCell::new(Vec::new()) };
    }
    COMPRESSORS.with_borrow_mut(|compressors| {
        if let Some((_, known)) = compressors.iter_mut().find(|(known, _)| *known == window) {
            return known.deflate(payload);
        }
        let mut new = Deflater::new(window, Context::Discarded);
        let packed = new.deflate(payload);
        compressors.push((window, new));
        packed
    })
}

/// Updates that were committed as one group, in order.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The updates, in order.
    pub posts: Arc<[Arc<Posted>]>,
    /// When they became durable.
    pub(crate) durable: Instant,
}
