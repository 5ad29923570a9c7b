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

pub use self::encoding::{Encoding, Texts};
use crate::session::protocol::FORMS;

/// Forms in which the text of one update may be kept: itself, an event, a text of a WebSocket, the
/// same compressed.
const COPIES: usize = 4;
/// Texts shorter than this are not compressed: they would hardly become shorter.
const PACKED_BYTES_MIN: usize = 128;
/// Forms in which a topic may be kept: itself, as a subject, and the URL of that.
const TOPIC_COPIES: usize = 3;
/// Bytes that a subject costs beside them.
const SUBJECT_BYTES: usize = 160;
/// Bytes that one kept update costs beside its text: the structures around it, rounded up.
const OVERHEAD_BYTES: usize = 320;

/// A committed update, shared by every shard.
#[derive(Debug)]
pub struct Posted {
    /// What the history holds.
    pub update: Arc<Update>,
    /// Interned matchers that select the update, ascending; empty for what was read back from the
    /// history, which is matched against one subscriber's own matchers instead.
    pub matching: Arc<[MatcherId]>,
    /// Its topics, made ready for matching.
    subjects: OnceLock<Subjects>,
    frame: OnceLock<Frame>,
    texts: OnceLock<Box<TextFrames>>,
    /// The wire form of a presence event in the words of 0.x.
    old_frame: OnceLock<Box<Frame>>,
}

/// The topics of one update, made ready for matching.
pub(crate) type Subjects = SmallVec<[Subject; 1]>;

/// The frames of WebSockets, each made when the first session needs it.
#[derive(Debug, Default)]
struct TextFrames {
    /// Of each form, bare and in a frame of SockJS.
    forms: [[TextFrame; 2]; FORMS.len()],
    /// The JSON of the update alone, and a line end.
    line: OnceLock<Bytes>,
}

/// One of them, plain and compressed: one for each window.
#[derive(Debug, Default)]
struct TextFrame {
    plain: OnceLock<Bytes>,
    packed: [OnceLock<Bytes>; 3],
}

impl Posted {
    /// Wraps a freshly committed update with the matchers that select it.
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

    /// Keeps the subjects that the update was matched by, where grants will be asked about them.
    pub(crate) fn with_subjects(self, subjects: Subjects) -> Self {
        if !self.update.visibility.is_public() {
            // Nobody can have asked before.
            drop(self.subjects.set(subjects));
        }
        self
    }

    /// Returns the topics made ready for matching. Whoever asks first makes them, for all.
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
    pub(crate) fn replayed(update: Arc<Update>) -> Self {
        Self::new(update, Arc::from([]))
    }

    /// Returns the wire form for a subscriber that speaks `dialect`, encoded by the first caller and
    /// shared from then on. Only the hub's own events differ between dialects.
    pub(crate) fn frame(&self, dialect: Dialect) -> &Frame {
        match (dialect, self.update.presence) {
            (Dialect::V0 | Dialect::V2019, Some(_)) => self.old_frame(),
            (Dialect::V1, _) | (_, None) => self.new_frame(),
        }
    }

    /// Old subscribers listen to `onmessage`, so the event has no type.
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

    /// Returns the frame of a WebSocket, encoded by the first caller and shared from then on.
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
            // Data that does not compress is sent as it is, which the peer must take too.
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

    /// Returns the text that tells this update.
    fn text(&self, texts: Texts) -> Cow<'_, str> {
        let tell = FORMS.get(texts.form.number());
        let text = tell.map_or(Cow::Borrowed(""), |tell| tell(self));
        if texts.in_sockjs {
            unicode_frame(&text).into()
        } else {
            text
        }
    }

    /// Returns what `encode` makes of the update's fields.
    pub(crate) fn with_fields<T>(&self, encode: impl FnOnce(UpdateFields<'_>) -> T) -> T {
        let update = &self.update;
        let private = !update.visibility.is_public();
        // The other names of a private update may be those of people who may read it.
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

    /// Returns whether whoever has `grants` may read the update: what is not public needs a grant
    /// (invariant 5, private by grant).
    pub fn is_readable_with(&self, grants: Option<&Grants>, hub: &HubUrl) -> bool {
        let visibility = &self.update.visibility;
        let granted = |grants: &Grants| grants.allows_update(visibility, self.subjects(hub));
        visibility.is_public() || grants.is_some_and(granted)
    }

    /// Returns the bytes of memory that keeping this update costs, its wire form included.
    pub(crate) fn kept_bytes(&self) -> usize {
        let topics = self.update.topics.iter();
        let topics: usize = topics
            .map(|topic| SUBJECT_BYTES + TOPIC_COPIES * topic.as_str().len())
            .sum();
        OVERHEAD_BYTES + topics + COPIES * self.update.data.len()
    }
}

/// Compresses by the calling thread's own compressor, which holds hundreds of kilobytes and is made
/// when it is first needed.
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
pub(crate) type Batch = Arc<[Arc<Posted>]>;
