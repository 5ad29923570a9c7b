//! The line as a hub knows it: what is written beside its stream, and where it ends.

use std::time::{Duration, Instant};

use serde_json::json;
use tidings_cluster::Epoch;
use tidings_cluster::engine::{EpochId, Line};
use tidings_core::{Position, Print};

use crate::api::{Api, Info, Stored};
use crate::error::CallError;
use crate::names::{Names, from_hex, hex};

/// Names in the metadata of the line's stream.
const VERSION: &str = "tidings.version";
const EPOCH: &str = "tidings.epoch";
const SECRET: &str = "tidings.secret";
const INCARNATION: &str = "tidings.incarnation";

/// The version of streams and messages that this hub writes.
const FORMAT: &str = "1";
/// How often the last entry is asked for, if it is gone when it is looked at.
const LOOKS_MAX: usize = 3;

/// What is known of a line.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) about: About,
    /// The oldest entry; the position after `last` if there is none.
    pub(crate) oldest: Position,
    /// The newest position.
    pub(crate) last: Position,
    /// The entry there.
    pub(crate) end: Option<End>,
}

/// What is written beside the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) epoch: EpochId,
    pub(crate) secret: Epoch,
    /// Names this stream under this epoch: a stream that was made anew, and a line with a new epoch,
    /// take nothing from a hub that does not know it yet.
    pub(crate) incarnation: String,
}

/// The last entry of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) print: Print,
    pub(crate) published_ms: u64,
    pub(crate) subject: String,
}

/// What there is under a cluster's name.
#[derive(Debug)]
pub(crate) enum Loaded {
    Line(View, Box<Info>),
    /// No stream; or one that somebody has begun to put back, with nothing in it.
    None(Option<Box<Info>>),
    /// A stream without what is written beside it.
    Half,
}

impl About {
    /// Makes a new incarnation of a line.
    pub(crate) fn new(epoch: EpochId, secret: Epoch) -> Self {
        Self {
            epoch,
            secret,
            incarnation: hex(&random()),
        }
    }

    /// Returns the metadata of the stream.
    pub(crate) fn metadata(&self) -> Vec<(&'static str, String)> {
        vec![
            (VERSION, FORMAT.to_owned()),
            (EPOCH, self.epoch.to_string()),
            (SECRET, hex(&self.secret.secret())),
            (INCARNATION, self.incarnation.clone()),
        ]
    }

    /// Reads the metadata. Nothing if it is not that of a line.
    fn read(info: &Info) -> Result<Option<Self>, CallError> {
        let Some(version) = info.metadata(VERSION) else {
            return Ok(None);
        };
        if version != FORMAT {
            let what =
                format!("a stream of version {version:?}: another version of the hub made it");
            return Err(CallError::Unreadable { what });
        }
        let epoch = info.metadata(EPOCH).and_then(EpochId::parse);
        let secret = info.metadata(SECRET).and_then(from_hex);
        let incarnation = info.metadata(INCARNATION);
        Ok(match (epoch, secret, incarnation) {
            (Some(epoch), Some(secret), Some(incarnation)) => Some(Self {
                epoch,
                secret: Epoch::new(secret),
                incarnation: incarnation.to_owned(),
            }),
            _ => None,
        })
    }
}

impl View {
    /// Asks the leader of the stream.
    pub(crate) async fn load(api: &Api<'_>, names: &Names) -> Result<Loaded, CallError> {
        for _ in 0..LOOKS_MAX {
            let Some(info) = api.info(&names.line, &serde_json::Value::Null).await? else {
                return Ok(Loaded::None(None));
            };
            let Some(about) = About::read(&info)? else {
                return Ok(Loaded::Half);
            };
            let state = &info.state;
            let last = Position::new(state.last_seq);
            if state.messages == 0 {
                // A window is never empty by itself: the newest entry always fits.
                if last > Position::ZERO {
                    return Ok(Loaded::None(Some(Box::new(info))));
                }
                let view = Self {
                    about,
                    oldest: last.next(),
                    last,
                    end: None,
                };
                return Ok(Loaded::Line(view, Box::new(info)));
            }
            let end = api
                .get(&names.line, &json!({ "seq": state.last_seq }))
                .await?;
            if let Some(end) = end {
                let view = Self {
                    about,
                    oldest: Position::new(state.first_seq),
                    last,
                    end: Some(End::of(&end)?),
                };
                return Ok(Loaded::Line(view, Box::new(info)));
            }
        }
        let what = "a stream whose last message cannot be read".to_owned();
        Err(CallError::Unreadable { what })
    }

    pub(crate) fn line(&self) -> Line {
        Line {
            epoch: self.about.epoch,
            secret: self.about.secret,
            oldest: self.oldest,
            last: self.last,
            print: self.end.as_ref().map(|end| end.print),
            torn: false,
        }
    }
}

impl End {
    pub(crate) fn of(stored: &Stored) -> Result<Self, CallError> {
        let head = stored.head()?;
        Ok(Self {
            print: head.print,
            published_ms: head.published_ms,
            subject: stored.subject.clone(),
        })
    }
}

/// The clock of the stream's leader, from one of its answers on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    at: Instant,
    unix_ms: u64,
}

impl Clock {
    pub(crate) fn set(unix_ms: u64) -> Self {
        Self {
            at: Instant::now(),
            unix_ms,
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let since: Duration = self.at.elapsed();
        self.unix_ms + u64::try_from(since.as_millis()).unwrap_or(u64::MAX / 2)
    }
}

/// Returns random bytes.
pub(crate) fn random() -> [u8; 8] {
    let mut bytes = [0; 8];
    if getrandom::fill(&mut bytes).is_err() {
        // No secret depends on it; another clock reading will do.
        let now = Instant::now();
        let text = format!("{now:?}");
        for (byte, from) in bytes.iter_mut().zip(text.bytes().rev()) {
            *byte = from;
        }
    }
    bytes
}
