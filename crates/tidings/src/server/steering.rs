//! Serves what operators ask for by the admin API, on the control thread, takes samples of the live figures, and
//! obeys what operators of other hubs of the cluster ask for.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::MissedTickBehavior;

use super::Hub;
use crate::http::admin::desk::{Sample, Wish};
use tidings_cluster::RelayError;
use tidings_hub::clock::unix_ms;
use tidings_hub::metrics::count_result;
use tidings_hub::steering::{SteerError, Verb};

/// How often a sample is taken.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// Samples that are kept: five minutes, and the one before.
const SAMPLES_MAX: usize = 301;
/// Verbs that are done at the same time: a long purge, or an engine that is away, must not delay a disconnect.
/// Whoever asks for one more is refused at once. An operator's script may ask for a few dozen together.
const VERBS_MAX: usize = 32;
/// Purges for all hubs that may wait while one goes on. Beyond this, later commands wait too.
const PURGES_MAX: usize = 256;
/// How often a purge is tried that the history had no room for.
const PURGE_TRIES_MAX: usize = 60;
/// The pause before a purge is tried again.
const PURGE_RETRY: Duration = Duration::from_secs(1);

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
                wish = wishes.recv() => wish,
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
                Some(Wish::Steer(_, reply)) if verbs.len() >= VERBS_MAX => {
                    drop(reply.send(Err(SteerError::Busy(VERBS_MAX))));
                }
                Some(Wish::Steer(verb, reply)) => verbs.push(async move {
                    drop(reply.send(self.shared.steer(verb).await));
                }),
            }
        }
    }

    /// Does on this hub what operators ask of all hubs of the cluster, in the order of the log. A purge takes long, so
    /// purges go on beside the other commands, one after the other. Never ends.
    pub(super) async fn obey_orders(&self) -> Infallible {
        let Some(mut orders) = self.orders.take() else {
            return std::future::pending().await;
        };
        let mut purges = VecDeque::new();
        let mut purging = FuturesUnordered::new();
        loop {
            if purging.is_empty()
                && let Some(purge) = purges.pop_front()
            {
                purging.push(self.obey(purge));
            }
            tokio::select! {
                Some(()) = purging.next(), if !purging.is_empty() => {}
                order = orders.next(), if purges.len() < PURGES_MAX => match order {
                    Some(purge @ Verb::Purge { .. }) => purges.push_back(purge),
                    Some(verb) => self.obey(verb).await,
                    // The router has ended, and so does the process.
                    None => return std::future::pending().await,
                },
            }
        }
    }

    async fn obey(&self, verb: Verb) {
        for tries in 1.. {
            match self.shared.obey(verb.clone()).await {
                Ok(done) => {
                    tracing::info!(?verb, ?done, "obeyed an operator of the cluster");
                    return count_result(&self.shared.metrics.orders, "done");
                }
                Err(SteerError::Purge(RelayError::Busy)) if tries < PURGE_TRIES_MAX => {
                    tokio::time::sleep(PURGE_RETRY).await;
                }
                Err(error) => {
                    tracing::error!(?verb, %error, "an operator's command to all hubs was not carried out here: repeat it");
                    return count_result(&self.shared.metrics.orders, "failed");
                }
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
