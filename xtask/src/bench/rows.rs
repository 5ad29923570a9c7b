//! The recorded figures and their targets. Most are ratios, because machines differ.

use serde_json::Value;

/// A figure of the table.
pub struct Row {
    /// Its name in the table and in `bench/results.jsonl`. The meaning of a name never changes.
    pub name: &'static str,
    /// The number of its target; empty if it is for information only.
    pub target: &'static str,
    /// Its unit.
    pub unit: &'static str,
    from: From,
    wanted: Wanted,
}

enum From {
    /// A figure of a run.
    Figure(&'static str, &'static str),
    /// The same figure of two runs, the first divided by the second.
    Ratio(&'static str, &'static str, &'static str),
    /// The same figure of two runs, the first less the second.
    Difference(&'static str, &'static str, &'static str),
}

enum Wanted {
    AtMost(f64),
    AtLeast(f64),
    Nothing,
}

use From::{Difference, Figure, Ratio};
use Wanted::{AtLeast, AtMost, Nothing};

const fn row(
    target: &'static str,
    name: &'static str,
    unit: &'static str,
    from: From,
    wanted: Wanted,
) -> Row {
    Row {
        name,
        target,
        unit,
        from,
        wanted,
    }
}

/// All figures of the table.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("1", "lockstep_cpu_ratio_to_floor", "", Figure("lockstep", "cpu_ratio_to_floor"), AtMost(1.35)),
    row("", "lockstep_cpu_per_delivery", "µs", Figure("lockstep", "cpu_per_delivery"), Nothing),
    row("", "lockstep_floor_cpu_per_send", "µs", Figure("lockstep", "floor_cpu_per_send"), Nothing),
    row("", "lockstep_deliveries", "/s", Figure("lockstep", "deliveries_per_second"), Nothing),
    row("1", "burst_8_rate_to_lockstep", "", Ratio("deliveries_per_second", "burst_8", "lockstep"), AtLeast(4.0)),
    row("1", "burst_200_rate_to_lockstep", "", Ratio("deliveries_per_second", "burst_200", "lockstep"), AtLeast(25.0)),
    row("", "burst_200_deliveries", "/s", Figure("burst_200", "deliveries_per_second"), Nothing),
    row("", "burst_200_cpu_per_delivery", "µs", Figure("burst_200", "cpu_per_delivery"), Nothing),
    row("2", "idle_memory_per_subscriber", "bytes", Figure("idle", "memory_per_subscriber"), AtMost(2500.0)),
    row("2", "idle_cpu_above_the_sends", "%", Figure("idle", "idle_cpu_above_the_sends"), AtMost(1.0)),
    row("3", "paced_p99_ratio_to_sweep", "", Figure("paced", "p99_ratio_to_sweep"), AtMost(1.3)),
    row("", "paced_p50", "ms", Figure("paced", "latency_p50"), Nothing),
    row("", "paced_p99", "ms", Figure("paced", "latency_p99"), Nothing),
    row("", "paced_floor_sweep", "ms", Figure("paced", "floor_sweep_p50"), Nothing),
    row("4", "publish_64_updates", "/s", Figure("publish_64", "updates_per_second"), AtLeast(50_000.0)),
    row("4", "publish_64_p99", "ms", Figure("publish_64", "acknowledgement_p99"), AtMost(5.0)),
    row("", "publish_64_updates_per_sync", "", Figure("publish_64", "updates_per_sync"), Nothing),
    row("", "publish_64_cpu_per_update", "µs", Figure("publish_64", "cpu_per_update"), Nothing),
    row("4", "publish_1_updates", "/s", Figure("publish_1", "updates_per_second"), AtLeast(1500.0)),
    row("cluster", "cluster_publish_64_to_alone", "", Ratio("updates_per_second", "cluster_publish_64", "publish_64"), AtLeast(0.5)),
    row("cluster", "cluster_publish_64_p99_to_alone", "", Ratio("acknowledgement_p99", "cluster_publish_64", "publish_64"), AtMost(2.0)),
    row("", "cluster_publish_64_updates", "/s", Figure("cluster_publish_64", "updates_per_second"), Nothing),
    row("", "cluster_publish_64_p99", "ms", Figure("cluster_publish_64", "acknowledgement_p99"), Nothing),
    row("", "cluster_publish_1_updates", "/s", Figure("cluster_publish_1", "updates_per_second"), Nothing),
    row("", "calm_p50", "ms", Figure("calm", "latency_p50"), Nothing),
    row("", "cluster_calm_p50", "ms", Figure("cluster_calm", "latency_p50"), Nothing),
    row("cluster", "cluster_calm_added_p50", "ms", Difference("latency_p50", "cluster_calm", "calm"), AtMost(2.0)),
    row("", "cluster_fetches_updates", "/s", Figure("cluster_fetches", "updates_per_second"), Nothing),
    row("", "cluster_fetches_fetched", "", Figure("cluster_fetches", "fetched"), Nothing),
    row("cluster", "cluster_unwanted_cpu", "µs", Figure("cluster_unwanted", "cpu_per_update"), AtMost(5.0)),
    row("", "postgresql_publish_64_updates", "/s", Figure("postgresql_publish_64", "updates_per_second"), Nothing),
    row("", "postgresql_publish_64_to_alone", "", Ratio("updates_per_second", "postgresql_publish_64", "publish_64"), Nothing),
    row("", "postgresql_publish_64_p99", "ms", Figure("postgresql_publish_64", "acknowledgement_p99"), Nothing),
    row("", "postgresql_publish_1_updates", "/s", Figure("postgresql_publish_1", "updates_per_second"), Nothing),
    row("", "postgresql_calm_p50", "ms", Figure("postgresql_calm", "latency_p50"), Nothing),
    row("", "nats_publish_64_updates", "/s", Figure("nats_publish_64", "updates_per_second"), Nothing),
    row("", "nats_publish_64_to_alone", "", Ratio("updates_per_second", "nats_publish_64", "publish_64"), Nothing),
    row("", "nats_publish_64_p99", "ms", Figure("nats_publish_64", "acknowledgement_p99"), Nothing),
    row("", "nats_publish_1_updates", "/s", Figure("nats_publish_1", "updates_per_second"), Nothing),
    row("", "nats_calm_p50", "ms", Figure("nats_calm", "latency_p50"), Nothing),
    row("6", "resume_first_update_max", "ms", Figure("resume", "first_update_max"), AtMost(20.0)),
    row("6", "resume_slow_reader_memory", "bytes", Figure("resume", "slow_reader_memory_growth"), AtMost(16e6)),
    row("6", "resume_pages_read", "", Figure("resume", "pages_read"), AtMost(80.0)),
    row("", "resume_reconnect_total", "ms", Figure("resume", "reconnect_total"), Nothing),
    row("", "resume_replayed", "/s", Figure("resume", "replayed_per_second"), Nothing),
    row("2", "idle_tls_memory_per_subscriber", "bytes", Figure("idle_tls", "memory_per_subscriber"), AtMost(12_000.0)),
    row("5", "match_exact_extra_p50", "µs", Figure("match_exact", "publish_extra_p50"), AtMost(100.0)),
    row("", "match_exact_extra_cpu", "µs", Figure("match_exact", "publish_extra_cpu"), Nothing),
    row("5", "match_exact_memory_kept", "%", Figure("match_exact", "memory_kept"), AtMost(50.0)),
    row("5", "match_exact_memory_kept_more", "%", Figure("match_exact", "memory_kept_more"), AtMost(10.0)),
    row("", "match_exact_memory_per_subscription", "bytes", Figure("match_exact", "memory_per_subscription"), Nothing),
    row("", "match_exact_bystander_joining_p99", "ms", Figure("match_exact", "bystander_joining_p99"), Nothing),
    row("5", "match_urlpattern_extra_p50", "µs", Figure("match_urlpattern", "publish_extra_p50"), AtMost(1000.0)),
    row("", "match_urlpattern_extra_cpu", "µs", Figure("match_urlpattern", "publish_extra_cpu"), Nothing),
    row("5", "match_urlpattern_memory_kept", "%", Figure("match_urlpattern", "memory_kept"), AtMost(50.0)),
    row("5", "match_urlpattern_memory_kept_more", "%", Figure("match_urlpattern", "memory_kept_more"), AtMost(10.0)),
    row("", "match_urlpattern_memory_per_subscription", "bytes", Figure("match_urlpattern", "memory_per_subscription"), Nothing),
    row("", "match_urlpattern_join_total", "ms", Figure("match_urlpattern", "join_total"), Nothing),
    row("", "match_urlpattern_bystander_quiet_p99", "ms", Figure("match_urlpattern", "bystander_quiet_p99"), Nothing),
    row("", "match_urlpattern_bystander_joining_p99", "ms", Figure("match_urlpattern", "bystander_joining_p99"), Nothing),
    row("5", "match_urlpattern_free_extra_p50", "µs", Figure("match_urlpattern_free", "publish_extra_p50"), AtMost(1000.0)),
    row("7", "http2_ratio_to_http1", "", Figure("http2", "burst_1_cpu_ratio_to_sse"), AtMost(2.0)),
    row("7", "http2_burst_8_ratio_to_http1", "", Figure("http2", "burst_8_cpu_ratio_to_sse"), AtMost(2.0)),
    row("7", "http2_burst_200_ratio_to_http1", "", Figure("http2", "burst_200_cpu_ratio_to_sse"), AtMost(2.0)),
    row("", "http2_cpu_per_delivery", "µs", Figure("http2", "burst_1_http2_cpu_per_delivery"), Nothing),
    row("7", "http2_one_ratio_to_http1", "", Figure("http2_one", "burst_1_cpu_ratio_to_sse"), AtMost(2.0)),
    row("7", "http2_tls_ratio_to_http1", "", Figure("http2_tls", "burst_1_cpu_ratio_to_sse"), AtMost(2.0)),
    row("7", "http2_tls_burst_8_ratio_to_http1", "", Figure("http2_tls", "burst_8_cpu_ratio_to_sse"), AtMost(2.0)),
    row("7", "http2_tls_burst_200_ratio_to_http1", "", Figure("http2_tls", "burst_200_cpu_ratio_to_sse"), AtMost(2.0)),
    row("", "http2_tls_cpu_per_delivery", "µs", Figure("http2_tls", "burst_1_http2_cpu_per_delivery"), Nothing),
    row("7", "http2_tls_one_ratio_to_http1", "", Figure("http2_tls_one", "burst_1_cpu_ratio_to_sse"), AtMost(2.0)),
    row("", "http2_memory_per_stream", "bytes", Figure("http2", "http2_memory_per_stream"), Nothing),
    row("10", "websocket_ratio_to_sse", "", Figure("websocket", "burst_1_cpu_ratio_to_sse"), AtMost(1.1)),
    row("10", "websocket_burst_8_ratio_to_sse", "", Figure("websocket", "burst_8_cpu_ratio_to_sse"), AtMost(1.1)),
    row("10", "websocket_burst_200_ratio_to_sse", "", Figure("websocket", "burst_200_cpu_ratio_to_sse"), AtMost(1.1)),
    row("", "presence_join_listed", "ms", Figure("presence", "join_listed"), Nothing),
    row("", "presence_join_said", "ms", Figure("presence", "join_said"), Nothing),
    row("", "presence_join_cpu", "µs", Figure("presence", "join_cpu_per_subscription"), Nothing),
    row("", "presence_memory_per_subscription", "bytes", Figure("presence", "memory_per_subscription"), Nothing),
    row("", "presence_first_page_p50", "ms", Figure("presence", "first_page_of_100_p50"), Nothing),
    row("", "presence_count_p50", "ms", Figure("presence", "count_p50"), Nothing),
    row("", "presence_count_by_topic_p50", "ms", Figure("presence", "count_by_topic_p50"), Nothing),
    row("", "presence_leave_said", "ms", Figure("presence", "leave_said"), Nothing),
    row("", "presence_leave_cpu", "µs", Figure("presence", "leave_cpu_per_subscription"), Nothing),
    row("", "presence_restart_ready", "ms", Figure("presence_crash", "restart_ready"), Nothing),
    row("", "presence_restart_told", "ms", Figure("presence_crash", "restart_told"), Nothing),
    row("", "presence_restart_memory_max", "bytes", Figure("presence_crash", "restart_memory_max"), Nothing),
    row("", "presence_bystander_joining_p99", "ms", Figure("match_presence", "bystander_joining_p99"), Nothing),
    row("", "presence_bystander_leaving_p99", "ms", Figure("match_presence", "bystander_leaving_p99"), Nothing),
    row("10", "idle_websocket_memory_per_subscriber", "bytes", Figure("idle_websocket", "memory_per_subscriber"), AtMost(3000.0)),
    row("", "longpoll_ratio_to_sse", "", Figure("longpoll", "burst_1_cpu_ratio_to_sse"), Nothing),
    row("", "longpoll_burst_200_ratio_to_sse", "", Figure("longpoll", "burst_200_cpu_ratio_to_sse"), Nothing),
    row("", "idle_longpoll_memory_per_subscriber", "bytes", Figure("idle_longpoll", "memory_per_subscriber"), Nothing),
    row("", "sockjs_ratio_to_sse", "", Figure("sockjs", "burst_1_cpu_ratio_to_sse"), Nothing),
    row("", "sockjs_burst_200_ratio_to_sse", "", Figure("sockjs", "burst_200_cpu_ratio_to_sse"), Nothing),
    row("", "idle_sockjs_memory_per_subscriber", "bytes", Figure("idle_sockjs", "memory_per_subscriber"), Nothing),
];

impl Row {
    /// Returns the names of the runs that the row uses.
    pub fn runs(&self) -> impl Iterator<Item = &'static str> {
        let (one, other) = match self.from {
            Figure(run, _) => (run, None),
            Ratio(_, one, other) | Difference(_, one, other) => (one, Some(other)),
        };
        std::iter::once(one).chain(other)
    }

    /// Returns the row's value from the reports of all runs, if they contain it.
    pub fn value(&self, reports: &[(&str, Value)]) -> Option<f64> {
        let figure = |run: &str, name: &str| {
            let (_, report) = reports.iter().find(|(of, _)| *of == run)?;
            report.get("figures")?.get(name)?.get("value")?.as_f64()
        };
        match self.from {
            Figure(run, name) => figure(run, name),
            Ratio(name, one, other) => Some(figure(one, name)? / figure(other, name)?),
            Difference(name, one, other) => Some(figure(one, name)? - figure(other, name)?),
        }
    }
}

/// Returns the target and whether the value meets it.
pub fn verdict(row: &Row, value: Option<f64>) -> String {
    let (bound, limit, holds) = match row.wanted {
        AtMost(limit) => ("at most", limit, value.is_some_and(|value| value <= limit)),
        AtLeast(limit) => ("at least", limit, value.is_some_and(|value| value >= limit)),
        Nothing => return String::new(),
    };
    let word = if holds { "met" } else { "MISSED" };
    let share = value.map_or(0.0, |value| 100.0 * value / limit);
    format!("{bound} {}: {word} ({share:.0} %)", number(limit, row.unit))
}

/// Formats a value with its unit.
pub fn number(value: f64, unit: &str) -> String {
    let text = if value.abs() < 1000.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.0}")
    };
    format!("{text} {unit}").trim_end().to_owned()
}
