//! Presence in the lab: its tracker as a task of the hub's single thread, and queries of its state.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::Lab;
use tidings_hub::presence::question::{Answer, Found, Question};
use tidings_hub::presence::{self, Dependencies, Hubs, RollCall, Tracker};
use tidings_hub::shard::Shared;
use tidings_wire::subscription_document::Document;

/// The live subscriptions of a hub.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    /// Their patterns, sorted.
    pub patterns: Vec<String>,
    /// The validator of the answer.
    pub version: String,
}

impl Lab {
    /// Queries all subscriptions. The answer comes after presence has run.
    pub fn subscriptions(&self) -> oneshot::Receiver<Listed> {
        let (answer, answered) = oneshot::channel();
        let presence = self.shared.presence.clone();
        self.runtime.block_on(async {
            tidings_hub::tasks::spawn(async move {
                if let Some(presence) = presence
                    && let Some(found) = presence.ask(Question::all()).await
                {
                    let patterns = patterns(&found);
                    let version = found.version;
                    answer.send(Listed { patterns, version }).ok();
                }
            });
        });
        answered
    }
}

/// Runs presence in the hub's single thread.
pub(super) fn keep(
    shared: &Shared,
    commands: mpsc::Receiver<presence::Command>,
    roster: Option<(Hubs, RollCall)>,
) {
    let dependencies = Dependencies {
        hub: shared.options.hub().clone(),
        ingest: shared.ingest.clone(),
        history: shared.history.clone(),
        metrics: Arc::clone(&shared.metrics),
        ghosts: shared.history.take_announced(),
        roster,
        grace: watch::channel(presence::Options::DEFAULT.grace).1,
    };
    // The seed of a run decides what happens. Identifiers need not depend on it; they only have to
    // differ, also between the hubs of one run.
    let bytes = || fastrand::u128(..).to_le_bytes();
    let tracker = Tracker::new(presence::Options::DEFAULT, dependencies, Box::new(bytes));
    tidings_hub::tasks::spawn(tracker.run(commands));
}

/// Returns the patterns of the live subscriptions in an answer, sorted.
fn patterns(answer: &Answer) -> Vec<String> {
    let Found::Page(page) = &answer.found else {
        return Vec::new();
    };
    let items = format!("[{}]", page.items);
    let items: Vec<Document<'_>> = serde_json::from_str(&items).unwrap_or_default();
    let mut patterns: Vec<String> = items
        .into_iter()
        .map(|document| document.pattern.into_owned())
        .collect();
    patterns.sort_unstable();
    patterns
}
