//! The figures of the hub's part in a cluster. All are zero without one.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use tidings_cluster::member::{ClusterFigures, Standing};

use super::{counter, gauge};

/// What a member of a cluster counts and measures.
#[derive(Debug)]
pub(super) struct ClusterCounters {
    states: Family<State, Gauge>,
    behind: Gauge,
    behind_secs: Gauge<f64, AtomicU64>,
    appends: Counter,
    appended: Counter,
    retries: Counter,
    rewinds: Counter,
    heals: Counter,
    healed: Counter,
    forks: Counter,
    republished: Counter,
    holes: Counter,
    epochs: Counter,
    probes: Counter,
    stale: Counter,
    expired: Counter,
    faults: Counter,
}

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
        let mut count = |name: &str, help: &str| counter(r, name, help);
        Self {
            states,
            appends: count(
                "cluster_appends",
                "Batches that the engine took from this hub",
            ),
            appended: count("cluster_appended_updates", "Updates in these batches"),
            retries: count(
                "cluster_retried_updates",
                "Updates sent again, because the engine lost them or did not answer",
            ),
            rewinds: count("cluster_rewinds", "Times the engine had less than this hub"),
            heals: count(
                "cluster_heals",
                "Times this hub put back what the engine had lost",
            ),
            healed: count("cluster_healed_updates", "Updates put back"),
            forks: count(
                "cluster_forks",
                "Times this hub had other updates than the engine",
            ),
            republished: count(
                "cluster_republished_updates",
                "Acknowledged updates that the engine had not, published again",
            ),
            holes: count(
                "cluster_holes",
                "Times updates were missing in the history because the engine no longer had them",
            ),
            epochs: count(
                "cluster_epochs",
                "Times the engine's log began a new epoch: it lost updates that nobody could put back",
            ),
            probes: count(
                "cluster_probes",
                "Checks of the engine past the connections in use",
            ),
            stale: count(
                "cluster_stale_readers",
                "Times the hub was found to read from a server that gets no new updates",
            ),
            expired: count(
                "cluster_expired_publishes",
                "Publishers that waited for the engine in vain",
            ),
            faults: count(
                "cluster_faults",
                "Calls that the engine refused or did not answer",
            ),
            behind: gauge(
                r,
                "cluster_behind_updates",
                "Updates that the engine is known to have and the history has not",
            ),
            behind_secs,
        }
    }

    pub(super) fn observe(&self, figures: &ClusterFigures) {
        for standing in Standing::ALL {
            let state = standing.name();
            let is_it = standing == figures.standing;
            self.states
                .get_or_create(&State { state })
                .set(i64::from(is_it));
        }
        self.behind
            .set(i64::try_from(figures.behind).unwrap_or(i64::MAX));
        self.behind_secs.set(figures.behind_for.as_secs_f64());
        let counters = &figures.counters;
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        set(&self.appends, counters.appends);
        set(&self.appended, counters.appended);
        set(&self.retries, counters.retries);
        set(&self.rewinds, counters.rewinds);
        set(&self.heals, counters.heals);
        set(&self.healed, counters.healed);
        set(&self.forks, counters.forks);
        set(&self.republished, counters.republished);
        set(&self.holes, counters.holes);
        set(&self.epochs, counters.epochs);
        set(&self.probes, counters.probes);
        set(&self.stale, counters.stale);
        set(&self.expired, counters.expired);
        set(&self.faults, counters.faults);
    }
}
