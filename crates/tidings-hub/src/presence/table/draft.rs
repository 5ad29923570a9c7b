//! The presence event for a subscription that began or ended, and its document.

use tidings_core::dialect::Dialect;
use tidings_core::hub_url::HubUrl;
use tidings_core::topic::Topic;
use tidings_core::update::{Draft, EventType, Presence, Topics, Visibility};

use super::{About, Subscription};
use tidings_wire::subscription_document::{self as document, Document};

/// Makes the event for a subscription that began or ended.
pub(super) fn draft(about: &About, presence: Presence, hub: &HubUrl, old_paths: bool) -> Draft {
    let (topics, data) = match about {
        About::Ghost(announced) => (announced.topics.clone(), ended(&announced.data)),
        About::Subscription(subscription) => {
            let data = subscription.document(hub.path(), presence != Presence::Ends);
            (subscription.topics(hub.path(), old_paths), data)
        }
    };
    Draft {
        trace: None,
        topics,
        data: data.into(),
        visibility: Visibility::Private,
        id: None,
        event_type: Some(EventType::mercure()),
        retry_ms: None,
        presence: Some(presence),
    }
}

fn ended(data: &str) -> String {
    document::ended(data).unwrap_or_else(|error| {
        tracing::warn!(%error, "a presence event in the history is damaged");
        data.to_owned()
    })
}

impl Subscription {
    /// Returns the path that names it in `dialect`.
    pub(crate) fn path(&self, hub: &str, dialect: Dialect) -> String {
        let pattern = self.matcher.pattern();
        match dialect {
            Dialect::V1 => {
                document::path(hub, self.matcher.kind().name(), pattern, &self.subscriber)
            }
            Dialect::V0 | Dialect::V2019 => document::old_path(hub, pattern, &self.subscriber),
        }
    }

    /// Returns the topics of its events: its path, and with `old_paths` its 0.x path too.
    fn topics(&self, hub: &str, old_paths: bool) -> Topics {
        let topic = |dialect| Topic::of_hub(&self.path(hub, dialect));
        if old_paths {
            let topics = vec![topic(Dialect::V1), topic(Dialect::V0)];
            Topics::new(topics).unwrap_or_else(|_| Topics::one(topic(Dialect::V1)))
        } else {
            Topics::one(topic(Dialect::V1))
        }
    }

    /// Returns its document in the form of 1.0.
    pub(crate) fn document(&self, hub: &str, active: bool) -> String {
        document::text(&Document {
            id: self.path(hub, Dialect::V1).into(),
            kind: "subscription".into(),
            match_type: self.matcher.kind().name().into(),
            pattern: self.matcher.pattern().into(),
            subscriber: (&*self.subscriber).into(),
            active,
            payload: self.payload.as_deref().and_then(document::raw),
        })
    }
}
