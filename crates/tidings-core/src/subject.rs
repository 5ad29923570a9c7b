//! A topic prepared for matching: its text, and its resolved URL in parts.

use std::sync::OnceLock;

use smallvec::SmallVec;
use url::{Url, quirks};

use crate::hub_url::HubUrl;
use crate::topic::Topic;

/// A topic made ready for matching. The first URL pattern that is asked costs a URL parse, so one is
/// made per topic of an update, however many matchers are asked.
#[derive(Clone, Debug)]
pub struct Subject {
    text: Box<str>,
    hub: HubUrl,
    url: OnceLock<Option<Parts>>,
}

impl Subject {
    /// Takes a topic, which means what it means seen from `hub`.
    ///
    /// Mercure, "URL Pattern".
    #[must_use]
    pub fn new(topic: &Topic, hub: &HubUrl) -> Self {
        Self::from_text(topic.as_str(), hub)
    }

    /// Takes any text as a topic: a matcher's own text, or the path of a request to the
    /// subscription API.
    ///
    /// Mercure, "Payloads" and "Subscription API".
    #[must_use]
    pub fn from_text(text: &str, hub: &HubUrl) -> Self {
        Self {
            text: text.into(),
            hub: hub.clone(),
            url: OnceLock::new(),
        }
    }

    /// Returns the topic's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the hub from which it is seen.
    pub(crate) fn hub(&self) -> &HubUrl {
        &self.hub
    }

    /// Returns the pieces of the topic's URL, or nothing if the topic is none.
    pub(crate) fn url(&self) -> Option<&Parts> {
        let resolve = || self.hub.resolve(&self.text).map(|url| Parts::new(&url));
        self.url.get_or_init(resolve).as_ref()
    }
}

/// The components of a URL, as a URL pattern is tested against them: without the characters that
/// delimit them. WHATWG URL Pattern, "match".
///
/// All stand in one text, one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    joined: Box<str>,
    /// Where each component ends.
    ends: [usize; Component::ALL.len()],
}

impl Parts {
    pub(crate) fn new(url: &Url) -> Self {
        Self::join(|component| match component {
            Component::Protocol => url.scheme(),
            Component::Username => url.username(),
            Component::Password => url.password().unwrap_or_default(),
            Component::Hostname => url.host_str().unwrap_or_default(),
            Component::Port => quirks::port(url),
            Component::Pathname => url.path(),
            Component::Search => url.query().unwrap_or_default(),
            Component::Hash => url.fragment().unwrap_or_default(),
        })
    }

    /// Takes the components one by one.
    pub(crate) fn join<'a>(text: impl Fn(Component) -> &'a str) -> Self {
        let mut joined = String::new();
        let ends = Component::ALL.map(|component| {
            joined.push_str(text(component));
            joined.len()
        });
        Self {
            joined: joined.into(),
            ends,
        }
    }

    /// Returns one component.
    pub(crate) fn get(&self, component: Component) -> &str {
        let end = self
            .ends
            .get(component as usize)
            .copied()
            .unwrap_or_default();
        self.joined
            .get(self.start(component)..end)
            .unwrap_or_default()
    }

    /// Returns the path's segments that are not empty and follow a slash, each with the index of
    /// its first byte.
    pub(crate) fn segments(&self) -> SmallVec<[(usize, &str); 16]> {
        let mut start = 0;
        let all = self.get(Component::Pathname).split('/').map(|segment| {
            let here = start;
            start += segment.len() + 1;
            (here, segment)
        });
        all.skip(1)
            .filter(|(_, segment)| !segment.is_empty())
            .collect()
    }

    fn start(&self, component: Component) -> usize {
        let before = (component as usize)
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        before.copied().unwrap_or_default()
    }
}

/// The components of a URL, in the order in which [`Parts`] writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    Protocol,
    Username,
    Password,
    Hostname,
    Port,
    Pathname,
    Search,
    Hash,
}

impl Component {
    pub(crate) const ALL: [Self; 8] = [
        Self::Protocol,
        Self::Username,
        Self::Password,
        Self::Hostname,
        Self::Port,
        Self::Pathname,
        Self::Search,
        Self::Hash,
    ];
}

#[cfg(test)]
mod tests;
