//! Serves what operators ask for by the admin API, on the control thread, and takes samples of the live figures.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::MissedTickBehavior;

use super::Hub;
use crate::http::admin::desk::{Sample, Wish};
use tidings_hub::clock::unix_ms;

/// How often a sample is taken.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Samples that are kept: five minutes, and the one before.
const SAMPLES_MAX: usize = 301;
/// Verbs that are done at the same time. A long purge must not delay a disconnect.
const VERBS_MAX: usize = 8;

impl Hub {
    /// Does what operators ask for, until one of them ends the hub.
    pub(super) async fn serve_operators(&self) {
        // At the end it is dropped: whoever asks then is told that the hub stops.
        let Some(mut wishes) = self.wishes.take() else {
            return std::future::pending().await;
        };
        let mut samples = VecDeque::with_capacity(SAMPLES_MAX);
        let mut ticks = tokio::time::interval(SAMPLE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut verbs = FuturesUnordered::new();
        loop {
            let wish = tokio::select! {
                Some(()) = verbs.next(), if !verbs.is_empty() => continue,
                _ = ticks.tick() => {
                    if samples.len() == SAMPLES_MAX {
                        samples.pop_front();
                    }
                    samples.push_back(self.sample());
                    continue;
                }
                wish = wishes.recv(), if verbs.len() < VERBS_MAX => wish,
            };
            match wish {
                // Each shard has a way here, and ends later.
                None => return std::future::pending().await,
                Some(Wish::Drain) => return,
                // Whoever asked may be gone.
                Some(Wish::Reload(reply)) => {
                    let reloaded = self.reload();
                    drop(reply.send(if reloaded.errors.is_empty() {
                        Ok(serde_json::to_value(&reloaded).unwrap_or_default())
                    } else {
                        Err(reloaded.errors)
                    }));
                }
                Some(Wish::Rates(reply)) => drop(reply.send(samples.iter().copied().collect())),
                Some(Wish::Steer(verb, reply)) => verbs.push(async move {
                    drop(reply.send(self.shared.steer(verb).await));
                }),
            }
        }
    }

    fn sample(&self) -> Sample {
        Sample {
            time_ms: unix_ms(),
            totals: self.shared.metrics.totals(),
            connections: self.shared.account.connections() as u64,
        }
    }
}
