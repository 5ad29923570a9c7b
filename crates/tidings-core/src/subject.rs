//! A topic prepared for matching: its text, and its resolved URL in parts.

use std::sync::OnceLock;

use smallvec::SmallVec;
use url::{Url, quirks};

use crate::hub_url::HubUrl;
use crate::topic::Topic;

/// A topic prepared for matching. The first URL pattern that is tested costs one URL parse, so each
/// topic of an update has one subject, however many matchers are tested.
#[derive(Clone, Debug)]
pub struct Subject {
    text: Box<str>,
    hub: HubUrl,
    url: OnceLock<Option<Parts>>,
}

impl Subject {
    /// Takes a topic. `hub` is the base of a relative topic.
    ///
    /// Mercure, "URL Pattern".
    #[must_use]
    pub fn new(topic: &Topic, hub: &HubUrl) -> Self {
        Self::from_text(topic.as_str(), hub)
    }

    /// Takes any text as a topic: the text of a matcher, or the path of a request to the
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

    /// Returns the hub that a relative topic is resolved against.
    pub(crate) fn hub(&self) -> &HubUrl {
        &self.hub
    }

    /// Returns the components of the topic's URL; `None` if the topic is no URL.
    pub(crate) fn url(&self) -> Option<&Parts> {
        let resolve = || self.hub.resolve(&self.text).map(|url| Parts::new(&url));
        self.url.get_or_init(resolve).as_ref()
    }
}

/// The components of a URL as URL patterns test them: without the characters that delimit them.
/// WHATWG URL Pattern, "match".
///
/// All components are stored in one text, one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    joined: Box<str>,
    /// The end of each component.
    ends: [usize; Component::ALL.len()],
}

impl Parts {
    pub(crate) fn new(url: &Url) -> Self {
        Self::from_components(|component| match component {
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

    /// Takes the components from a function.
    pub(crate) fn from_components<'a>(text: impl Fn(Component) -> &'a str) -> Self {
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

    /// Returns the non-empty segments of the path that follow a slash, each with the index of its
    /// first byte.
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

/// The components of a URL, in the order in which [`Parts`] stores them.
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
