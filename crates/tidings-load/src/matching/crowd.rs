//! Many subscribers with many distinct matchers each, and the updates that each must receive.

use std::ops::Range;
use std::time::Duration;

use crate::BenchError;
use crate::clock::{nanos, now_ns};
use crate::load::PATIENCE;
use crate::scrape::Metrics;
use crate::target::escaped;

/// The interval at which the hub is asked whether all have left.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// The type of the matchers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The topic itself.
    Exact,
    /// A URL pattern.
    UrlPattern,
}

impl Kind {
    /// Returns the name of the type in Mercure's queries.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::UrlPattern => "urlpattern",
        }
    }

    fn parameter(self) -> &'static str {
        match self {
            Self::Exact => "match",
            Self::UrlPattern => "match_urlpattern",
        }
    }
}

/// The form of the matchers.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    kind: Kind,
    text: String,
}

impl Shape {
    pub(super) fn new(kind: Kind, text: &str) -> Self {
        let text = text.to_owned();
        Self { kind, text }
    }

    /// Returns the query that subscribes to the matchers with these numbers.
    pub(super) fn query(&self, numbers: Range<usize>) -> String {
        let name = self.kind.parameter();
        let pairs = numbers.map(|number| format!("{name}={}", escaped(&self.matcher(number))));
        pairs.collect::<Vec<_>>().join("&")
    }

    fn matcher(&self, number: usize) -> String {
        self.text.replace('#', &format!("{number:06}"))
    }

    /// Returns a topic that the matcher with this number matches. The names and wildcards of a
    /// pattern are filled in with text of this place only, so that the topic is new.
    pub(super) fn topic(&self, number: usize, place: usize) -> String {
        let matcher = self.matcher(number);
        if self.kind == Kind::Exact {
            return matcher;
        }
        let (mut topic, mut rest) = (String::new(), matcher.as_str());
        while let Some(found) = rest.find("/:").map(|at| at + 1).or_else(|| rest.find('*')) {
            let (before, variable) = rest.split_at_checked(found).unwrap_or((rest, ""));
            let end = variable.char_indices().skip(1);
            let mut end = end.skip_while(|(_, letter)| letter.is_ascii_alphanumeric());
            let end = end.next().map_or(variable.len(), |(at, _)| at);
            topic.push_str(before);
            topic.push_str(&format!("new{place}"));
            rest = variable.split_at_checked(end).map_or("", |(_, rest)| rest);
        }
        topic.push_str(rest);
        topic
    }
}

/// The subscribers of one wave.
#[derive(Debug)]
pub(super) struct Crowd {
    matchers: usize,
    /// Their numbers, in the order of subscription.
    pub(super) accounts: Vec<usize>,
}

impl Crowd {
    pub(super) fn new(matchers: usize) -> Self {
        Self {
            matchers,
            accounts: Vec::new(),
        }
    }

    /// Returns the subscriber, other than the bystander, that should receive the update at `place`.
    pub(super) fn receiver(&self, place: usize) -> Option<usize> {
        let number = place % (self.accounts.len() * self.matchers).max(1);
        self.accounts.get(number / self.matchers).copied()
    }
}

/// Waits until the hub counts one subscriber and has freed the matchers of the others.
///
/// # Errors
///
/// [`BenchError::Metrics`], or [`BenchError::Stuck`].
pub(super) fn wait_until_gone(metrics: Option<&str>) -> Result<(), BenchError> {
    let Some(url) = metrics else {
        return Ok(());
    };
    let begin = now_ns();
    loop {
        let left = Metrics::read(url)?.counter("tidings_matchers");
        if left <= 1 {
            return Ok(());
        }
        if now_ns() - begin > nanos(PATIENCE) {
            return Err(BenchError::Stuck {
                what: "matchers to be freed",
                have: left,
                want: 1,
                secs: PATIENCE.as_secs(),
            });
        }
        std::thread::sleep(ASK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_new_and_selected_by_its_matcher() {
        check(
            Kind::Exact,
            "https://e.com/books/#",
            "https://e.com/books/000007",
        );
        check(
            Kind::UrlPattern,
            "https://e.com/x#/:id",
            "https://e.com/x000007/new3",
        );
        check(
            Kind::UrlPattern,
            "https://e.com/:kind/x#/*",
            "https://e.com/new3/x000007/new3",
        );
    }

    #[track_caller]
    fn check(kind: Kind, shape: &str, topic: &str) {
        assert_eq!(Shape::new(kind, shape).topic(7, 3), topic);
    }
}
