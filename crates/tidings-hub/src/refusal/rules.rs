//! The table from the errors of the hub's rules to refusals.

use tidings_core::event_id::EventIdError;
use tidings_core::target::TargetError;
use tidings_core::topic::TopicError;
use tidings_core::update::{EventTypeError, TopicsError};
use tidings_wire::idempotency_key::KeyError;
use tidings_wire::old_publish_form::OldFormError;
use tidings_wire::publish_form::FormError;
use tidings_wire::selector_query::SelectorError;
use tidings_wire::subscribe_query::QueryError;

use super::Refusal;
use crate::ingest::PublishError;
use crate::subscribing::SubscribeError;
use crate::subscribing::rooms::RoomError;

impl Refusal {
    /// Says why an update was not published. With `explain`, it names the topic that the token does not grant.
    pub fn of_publishing(error: &PublishError, explain: bool) -> Self {
        let detail = with_sources(error);
        match error {
            PublishError::Topic {
                source: TopicError::TooLong { .. },
                ..
            } => Self::too_large("topic-too-long", "Topic too long", detail),
            PublishError::Topic { .. } => {
                Self::invalid("topic-invalid", "Topic not allowed", detail)
            }
            PublishError::Reserved { .. } => {
                Self::invalid("topic-reserved", "Topic reserved for the hub", detail)
            }
            PublishError::Topics(TopicsError::None) => {
                Self::invalid("topic-missing", "Topic missing", detail)
            }
            PublishError::Topics(TopicsError::TooMany { .. }) => {
                Self::too_large("too-many-topics", "Too many topics", detail)
            }
            PublishError::Id(EventIdError::TooLong { .. }) => {
                Self::too_large("id-too-long", "Event id too long", detail)
            }
            PublishError::Id(_) => Self::invalid("id-invalid", "Event id not allowed", detail),
            PublishError::Type(EventTypeError::TooLong { .. }) => {
                Self::too_large("type-too-long", "Event type too long", detail)
            }
            PublishError::Type(_) => {
                Self::invalid("type-invalid", "Event type not allowed", detail)
            }
            PublishError::Forbidden { .. } if explain => Self::scope_insufficient(detail),
            PublishError::Forbidden { .. } => {
                Self::scope_insufficient("the token does not allow publishing to every topic given")
            }
            PublishError::Target {
                source: TargetError::TooLong { .. },
                ..
            } => Self::too_large("target-too-long", "Target too long", detail),
            PublishError::Target { .. } => {
                Self::invalid("target-invalid", "Target not allowed", detail)
            }
            PublishError::Targets(_) => {
                Self::too_large("too-many-targets", "Too many targets", detail)
            }
            PublishError::ForbiddenTarget { .. } | PublishError::ForbiddenAtAll => {
                Self::scope_insufficient(detail)
            }
            PublishError::OverRate(over) => (*over).into(),
            PublishError::Busy => Self::unavailable("busy", "The hub is busy", detail),
            PublishError::Closed => Self::stopping(),
            PublishError::InDoubt => {
                Self::unavailable("in-doubt", "The update may have been stored", detail)
            }
            PublishError::KeyReused => {
                Self::contradicts("key-reused", "Key used for another update", detail)
            }
            PublishError::EngineAway => {
                let title = "The engine of the cluster is away";
                Self::unavailable("engine-unavailable", title, detail)
            }
            PublishError::TooLargeForEngine(_) => {
                let title = "Update too large for the engine of the cluster";
                Self::too_large("update-too-large", title, detail)
            }
            PublishError::NotStored(_) => {
                let title = "The hub cannot store updates now";
                Self::unavailable("history-unavailable", title, detail)
            }
        }
    }
}

impl From<KeyError> for Refusal {
    fn from(error: KeyError) -> Self {
        Self::invalid(
            "key-invalid",
            "Idempotency-Key not understood",
            error.to_string(),
        )
    }
}

/// The title for a list that is not written as repeated fields.
const LIST: &str = "List not understood";

impl From<FormError> for Refusal {
    fn from(error: FormError) -> Self {
        let detail = error.to_string();
        match error {
            FormError::NotUtf8(_) => Self::invalid("not-utf8", "Not UTF-8", detail),
            FormError::List(_) => Self::invalid("list-invalid", LIST, detail),
            FormError::NoTopic => Self::invalid("topic-missing", "Topic missing", detail),
            FormError::TooManyTopics { .. } => {
                Self::too_large("too-many-topics", "Too many topics", detail)
            }
            FormError::Retry { .. } => Self::invalid("retry-invalid", "Retry not a number", detail),
        }
    }
}

impl From<OldFormError> for Refusal {
    fn from(error: OldFormError) -> Self {
        match error {
            OldFormError::Form(error) => error.into(),
            OldFormError::TooManyTargets { .. } => {
                Self::too_large("too-many-targets", "Too many targets", error.to_string())
            }
        }
    }
}

impl From<SelectorError> for Refusal {
    fn from(error: SelectorError) -> Self {
        let (name, title) = match error {
            SelectorError::NotUtf8(_) => ("not-utf8", "Not UTF-8"),
            SelectorError::List(_) => ("list-invalid", LIST),
            SelectorError::NoSelector => ("selector-missing", "Topic selector missing"),
            SelectorError::TooMany { .. } => ("too-many-matchers", "Too many matchers"),
        };
        Self::invalid(name, title, error.to_string())
    }
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        let (name, title) = match error {
            QueryError::NotUtf8(_) => ("not-utf8", "Not UTF-8"),
            QueryError::UnknownMatcherType { .. } => {
                ("matcher-type-unknown", "Unknown matcher type")
            }
            QueryError::NoMatcher => ("matcher-missing", "Matcher missing"),
            QueryError::TooManyMatchers { .. } => ("too-many-matchers", "Too many matchers"),
        };
        let mut detail = error.to_string();
        if matches!(
            error,
            QueryError::NoMatcher | QueryError::UnknownMatcherType { .. }
        ) {
            detail.push_str(
                "; ask for topics with match=TOPIC or match_urlpattern=PATTERN, once for each",
            );
        }
        Self::invalid(name, title, detail)
    }
}

impl From<SubscribeError> for Refusal {
    fn from(error: SubscribeError) -> Self {
        let detail = with_sources(&error);
        match error {
            SubscribeError::Anonymous { .. } => Self::token_missing(detail),
            SubscribeError::MatcherType { .. } => {
                Self::invalid("matcher-type-unknown", "Unknown matcher type", detail)
            }
            SubscribeError::Matcher { .. } => {
                Self::invalid("matcher-invalid", "Matcher not allowed", detail)
            }
            SubscribeError::TooManyMatchers { .. } => {
                Self::invalid("too-many-matchers", "Too many matchers", detail)
            }
            SubscribeError::OverLimit(over) => over.into(),
            SubscribeError::OverRate(over) => over.into(),
            SubscribeError::HistoryUnreadable => Self::history_unreadable(),
            SubscribeError::CatchingUp => {
                Self::unavailable("catching-up", "The hub is catching up", detail)
            }
            SubscribeError::Closed => Self::stopping(),
        }
    }
}

impl From<RoomError> for Refusal {
    fn from(error: RoomError) -> Self {
        let detail = error.to_string();
        match error {
            RoomError::Topic(_) | RoomError::Reserved { .. } => {
                Self::invalid("topic-invalid", "Topic not allowed", detail)
            }
            RoomError::Unknown => Self::not_found("not-found", "Not found", detail),
        }
    }
}

/// Joins the texts of an error and its causes. The innermost one often says what to do.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let line = source.to_string();
        if !text.contains(&line) {
            text.push_str(": ");
            text.push_str(&line);
        }
        cause = source.source();
    }
    text
}
