//! A summary of the presence events that retention removed: the last position for each matcher. A
//! watcher that resumes before them is told of a gap only if it missed an event that it may see
//! (decision 0015). Bounded, in memory and in the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidings_core::{Position, Topic, Topics};

/// A summary of removed presence events.
///
/// Events are grouped by their topic up to the last slash: the subscriptions of one matcher. The
/// summary has the last removed event of each group. Beyond a bound, the groups with the oldest
/// last event are dropped. Then nothing is known about the events up to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    through: Position,
    unknown_through: Position,
    groups: BTreeMap<Arc<str>, Last>,
}

/// The last removed event of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Last {
    position: Position,
    topics: Topics,
}

impl Removed {
    /// Returns the summary of a history that has removed all presence events up to `through` and knows nothing
    /// about them.
    #[must_use]
    pub fn unknown(through: Position) -> Self {
        Self {
            through,
            unknown_through: through,
            groups: BTreeMap::new(),
        }
    }

    /// Returns the position up to which events were removed.
    #[must_use]
    pub fn through(&self) -> Position {
        self.through
    }

    /// Returns the position up to which the event of any subscription may have been removed.
    #[must_use]
    pub fn unknown_through(&self) -> Position {
        self.unknown_through
    }

    /// Returns the last removed event of each group that lost an event after `position`: its position and its
    /// topics. The newest come first.
    #[must_use]
    pub fn after(&self, position: Position) -> Vec<(Position, &Topics)> {
        let groups = self.groups.values();
        let mut after: Vec<_> = groups
            .filter(|last| last.position > position)
            .map(|last| (last.position, &last.topics))
            .collect();
        after.sort_unstable_by_key(|(position, _)| std::cmp::Reverse(*position));
        after
    }

    /// Adds the `events` that are removed, oldest first. All events up to `through` are removed then.
    pub(crate) fn note(&mut self, events: Vec<(Position, Topics)>, through: Position) {
        for (position, topics) in events {
            let group = group_of(&topics);
            self.groups.insert(group, Last { position, topics });
        }
        self.through = self.through.max(through);
        self.bound();
    }

    /// Drops the groups with the oldest last event, beyond [`GROUPS_MAX`] and [`BYTES_MAX`].
    fn bound(&mut self) {
        let mut newest: Vec<(Position, usize)> = self
            .groups
            .values()
            .map(|last| (last.position, last.bytes()))
            .collect();
        newest.sort_unstable_by_key(|(position, _)| std::cmp::Reverse(*position));
        let mut bytes = 0;
        let beyond = newest.iter().enumerate().find(|(index, (_, more))| {
            bytes += more;
            *index >= GROUPS_MAX || bytes > BYTES_MAX
        });
        if let Some((_, (position, _))) = beyond {
            let unknown_through = *position;
            self.unknown_through = self.unknown_through.max(unknown_through);
            self.groups
                .retain(|_, last| last.position > unknown_through);
        }
    }

    /// Encodes it as text: a line with both positions, then a line for each group with the position and the topics
    /// of its last event, separated by tabs. A topic has no control characters.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = format!("{}\t{}\n", self.through, self.unknown_through);
        for last in self.groups.values() {
            text.push_str(&last.position.to_string());
            for topic in last.topics.iter() {
                text.push('\t');
                text.push_str(topic.as_str());
            }
            text.push('\n');
        }
        text
    }

    /// Parses the output of [`encode`](Self::encode). None for any other text.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (through, unknown_through) = lines.next()?.split_once('\t')?;
        let mut removed = Self::unknown(position(unknown_through)?);
        removed.through = position(through)?;
        for line in lines {
            let mut fields = line.split('\t');
            let position = position(fields.next()?)?;
            let topics = Topics::new(fields.map(Topic::of_hub).collect()).ok()?;
            removed
                .groups
                .insert(group_of(&topics), Last { position, topics });
        }
        Some(removed)
    }
}

impl Last {
    fn bytes(&self) -> usize {
        self.topics.iter().map(|topic| topic.as_str().len()).sum()
    }
}

fn position(text: &str) -> Option<Position> {
    text.parse().ok().map(Position::new)
}

/// Returns the topics without their last segment, which names the subscriber.
fn group_of(topics: &Topics) -> Arc<str> {
    let parents = topics.iter().map(|topic| {
        let text = topic.as_str();
        text.rsplit_once('/').map_or(text, |(parent, _)| parent)
    });
    parents.collect::<Vec<_>>().join("\t").into()
}

/// Maximum number of groups.
const GROUPS_MAX: usize = 512;

/// Maximum size of the topics of their last events, in bytes.
const BYTES_MAX: usize = 128 * 1024;

#[cfg(test)]
mod tests;
