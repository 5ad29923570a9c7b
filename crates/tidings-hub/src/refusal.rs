//! Refusals: why a peer does not get what it asked for. Each has a kind, a stable name for programs, and a
//! detail that says what was wrong, with which value, and what to do.
//!
//! Nothing here belongs to a protocol. HTTP makes a [`Refusal`] a problem document with a status and
//! fields (`http/problem`), and the hub's WebSocket frames make it an `error` frame
//! (`session/protocol/hub_frames`). Metrics use the name. `docs/reference/http.md` lists all names.

mod rules;

use crate::account::{Limit, OverLimit, OverRate};

/// What sort of refusal it is. Each protocol has one table from these to its own codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The peer sent something malformed, or that a rule of the hub does not allow.
    Invalid,
    /// A field or a body exceeds its limit.
    TooLarge,
    /// A token is needed, and there is none.
    TokenMissing,
    /// The token is not accepted.
    TokenInvalid,
    /// The token is good and does not allow this.
    ScopeInsufficient,
    /// The named thing does not exist.
    NotFound,
    /// The request is well formed, and contradicts an earlier one.
    Contradicts,
    /// The peer holds or asks for more than it may. It can do something about it.
    TooMuch,
    /// The hub cannot do this now. Trying again later may help.
    Unavailable,
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What sort of refusal it is. Each protocol derives its own code from it.
    pub kind: Kind,
    /// The short name; also the label in metrics.
    pub name: &'static str,
    /// One line for people, the same for every refusal of this name.
    pub title: &'static str,
    /// What was wrong this time, with which value, and what to do.
    pub detail: String,
    /// The key of the limit that was reached, if it is one of the peer's.
    pub limit: Option<&'static str>,
    /// Seconds after which trying again can help, if that is known.
    pub retry_after_secs: Option<u64>,
    /// Whether the detail repeats only what the peer sent, so that it may always be told.
    pub is_harmless: bool,
}

impl Refusal {
    fn new(kind: Kind, name: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            name,
            title,
            detail: detail.into(),
            limit: None,
            retry_after_secs: None,
            is_harmless: false,
        }
    }

    /// Marks the detail as harmless: it is told even where details are otherwise withheld.
    pub(crate) fn harmless(self) -> Self {
        Self {
            is_harmless: true,
            ..self
        }
    }

    /// Something is malformed, or not allowed by a rule of the hub.
    pub fn invalid(name: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, name, title, detail)
    }

    /// A body or a field exceeds its limit.
    pub fn too_large(name: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::TooLarge, name, title, detail)
    }

    /// A token is needed, and there is none.
    pub fn token_missing(detail: impl Into<String>) -> Self {
        let title = "Access token missing";
        Self::new(Kind::TokenMissing, "token-missing", title, detail)
    }

    /// The token is not accepted.
    pub(crate) fn token_invalid(detail: impl Into<String>) -> Self {
        let title = "Access token not accepted";
        Self::new(Kind::TokenInvalid, "token-invalid", title, detail)
    }

    /// The token is not that of operators.
    pub fn operator_refused(detail: impl Into<String>) -> Self {
        Self::token_invalid(detail)
    }

    /// The token is good and does not allow this.
    pub fn scope_insufficient(detail: impl Into<String>) -> Self {
        let title = "Access token does not allow this";
        Self::new(Kind::ScopeInsufficient, "scope-insufficient", title, detail)
    }

    /// The request contradicts an earlier one.
    pub(crate) fn contradicts(
        name: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self::new(Kind::Contradicts, name, title, detail)
    }

    /// The named thing does not exist.
    pub fn not_found(name: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::NotFound, name, title, detail)
    }

    /// The hub cannot do this now.
    pub fn unavailable(name: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, name, title, detail)
    }

    /// The hub is being stopped.
    pub(crate) fn stopping() -> Self {
        let detail = "the hub is being stopped";
        Self::unavailable("stopping", "The hub is stopping", detail)
    }

    /// The history cannot be read.
    pub fn history_unreadable() -> Self {
        let detail = "the history cannot be read now";
        Self::unavailable("history-unreadable", "History not readable", detail)
    }
}

impl From<&OverLimit> for Refusal {
    /// A limit of the memory that the hub holds for peers was reached.
    fn from(over: &OverLimit) -> Self {
        let (name, title) = match over.limit {
            Limit::SockJs => ("queue-full", "Too much waits"),
            Limit::Connection | Limit::Address | Limit::Total => {
                ("memory-limit", "Too much memory held")
            }
            Limit::UnindexedPerAddress | Limit::Unindexed => {
                ("too-many-patterns", "Too many unindexed patterns")
            }
        };
        if !over.limit.is_of_peer() {
            return Self::unavailable(name, title, over.to_string());
        }
        let detail = format!("{over}; {}", over.kind.remedy());
        Self {
            limit: Some(over.limit.key()),
            ..Self::new(Kind::TooMuch, name, title, detail)
        }
    }
}

impl From<OverLimit> for Refusal {
    fn from(over: OverLimit) -> Self {
        Self::from(&over)
    }
}

impl From<OverRate> for Refusal {
    /// A peer does something too often.
    fn from(over: OverRate) -> Self {
        let title = "Too many requests";
        Self {
            limit: Some(over.key()),
            retry_after_secs: Some(over.retry_after_secs()),
            is_harmless: true,
            ..Self::new(Kind::TooMuch, "rate-limited", title, over.to_string())
        }
    }
}
