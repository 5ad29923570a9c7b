//! The figures of the hub's part in a cluster. All are zero without one.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tidings_cluster::member::{ClusterFigures, Counters, Standing};

use super::{counter, gauge};

/// What a member of a cluster counts and measures.
#[derive(Debug)]
pub(super) struct ClusterCounters {
    states: Family<State, Gauge>,
    behind: Gauge,
    behind_secs: Gauge<f64, AtomicU64>,
    /// One for each row of [`COUNTED`].
    counted: Vec<Counter>,
}

/// A counter: its name, its help, and where its value is.
type Row = (&'static str, &'static str, fn(&Counters) -> u64);

const COUNTED: &[Row] = &[
    (
        "cluster_appends",
        "Batches that the engine took from this hub",
        |counters| counters.appends,
    ),
    (
        "cluster_appended_updates",
        "Updates in these batches",
        |counters| counters.appended,
    ),
    (
        "cluster_retried_updates",
        "Updates sent again, because the engine lost them or did not answer",
        |counters| counters.retries,
    ),
    (
        "cluster_rewinds",
        "Times the engine had less than this hub",
        |counters| counters.rewinds,
    ),
    (
        "cluster_heals",
        "Times this hub put back what the engine had lost",
        |counters| counters.heals,
    ),
    ("cluster_healed_updates", "Updates put back", |counters| {
        counters.healed
    }),
    (
        "cluster_forks",
        "Times this hub had other updates than the engine",
        |counters| counters.forks,
    ),
    (
        "cluster_republished_updates",
        "Acknowledged updates that the engine had not, published again",
        |counters| counters.republished,
    ),
    (
        "cluster_holes",
        "Times updates were missing in the history because neither the engine nor another hub gave them",
        |counters| counters.holes,
    ),
    (
        "cluster_fetched_updates",
        "Updates that other hubs gave because the engine no longer had them",
        |counters| counters.fetched,
    ),
    (
        "cluster_failed_fetches",
        "Times another hub was asked for such updates and did not give them",
        |counters| counters.failed_fetches,
    ),
    (
        "cluster_epochs",
        "Times the engine's log began a new epoch: it lost updates that nobody could put back",
        |counters| counters.epochs,
    ),
    (
        "cluster_probes",
        "Checks of the engine past the connections in use",
        |counters| counters.probes,
    ),
    (
        "cluster_stale_readers",
        "Times the hub was found to read from a server that gets no new updates",
        |counters| counters.stale,
    ),
    (
        "cluster_too_large_updates",
        "Updates that were refused because a setting of the engine allows none of their size",
        |counters| counters.too_large,
    ),
    (
        "cluster_stranded_updates",
        "Acknowledged updates that the engine lost and does not take again because of their size",
        |counters| counters.stranded,
    ),
    (
        "cluster_expired_publishes",
        "Publishers that waited for the engine in vain",
        |counters| counters.expired,
    ),
    (
        "cluster_faults",
        "Calls that the engine refused or did not answer",
        |counters| counters.faults,
    ),
    (
        "cluster_claims",
        "Hubs that had died and whose part this one took over",
        |counters| counters.claims,
    ),
    (
        "cluster_claimed_by_others",
        "Times another hub took this one for dead, because it was paused or cut off",
        |counters| counters.claimed_by,
    ),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

impl ClusterCounters {
    pub(super) fn new(r: &mut Registry) -> Self {
        let states = Family::<State, Gauge>::default();
        let help = "1 for what the hub does in its cluster now, else 0; all 0 without a cluster";
        r.register("cluster_state", help, states.clone());
        for standing in Standing::ALL {
            let state = standing.name();
            drop(states.get_or_create(&State { state }));
        }
        let behind_secs = Gauge::default();
        let help = "Time since the history had everything that the engine was known to have";
        r.register_with_unit("cluster_behind", help, Unit::Seconds, behind_secs.clone());
        let help = "Updates that the engine is known to have and the history has not";
        let behind = gauge(r, "cluster_behind_updates", help);
        let counted = COUNTED.iter().map(|(name, help, _)| counter(r, name, help));
        Self {
            states,
            behind,
            behind_secs,
            counted: counted.collect(),
        }
    }

    pub(super) fn observe(&self, figures: &ClusterFigures) {
        for standing in Standing::ALL {
            let state = standing.name();
            let is_it = i64::from(standing == figures.standing);
            self.states.get_or_create(&State { state }).set(is_it);
        }
        let behind = i64::try_from(figures.behind).unwrap_or(i64::MAX);
        self.behind.set(behind);
        self.behind_secs.set(figures.behind_for.as_secs_f64());
        for (counter, (_, _, value)) in self.counted.iter().zip(COUNTED) {
            let value = value(&figures.counters);
            counter.inner().store(value, Ordering::Relaxed);
        }
    }
}
