//! What `/metrics` shows: series that exist from the start, histograms, requests, the process.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::tokens::{settings, token_for_all};
use crate::harness::{HUB_PATH, Request, TestHub, wait_until};

const ONE_SHARD: &str = "[subscribe]\nanonymous = true\n[admin]\naddress = \"127.0.0.1:0\"\n\
                         [server]\nshards = 1\n";

#[test]
fn every_series_exists_from_the_start() {
    let hub = TestHub::serve(&settings(ONE_SHARD));
    let before = series(&hub);
    let mut described = 0;
    for line in hub.request_admin("/metrics").text().lines() {
        if let Some(family) = line.strip_prefix("# HELP ") {
            let name = family.split(' ').next().unwrap();
            let shown = before.keys().any(|series| series.starts_with(name));
            assert!(shown, "{name} has no series");
            described += 1;
        }
    }
    assert!(described > 50, "{described}");

    let mut stream = hub.subscribe("match=*");
    let id = published(&hub, &[("topic", "a"), ("data", "1")]);
    stream.event();
    drop(stream);
    let resumed = format!("match=*&last_event_id={}", id.replace('#', "%23"));
    drop(hub.subscribe(&resumed));
    hub.publish_as(&token_for_all(), &[("data", "no topic")]);
    hub.request(Request::get("/nothing"));
    hub.request(Request::get(&format!("{HUB_PATH}?match_nothing=a")));
    hub.request(Request::post(HUB_PATH).form(&[("topic", "a")]));
    hub.wait_for_metric("tidings_sessions_closed_total", |closed| closed == 2.0);

    let after = series(&hub);
    let new: BTreeSet<_> = after
        .keys()
        .filter(|name| !before.contains_key(*name))
        .collect();
    assert!(new.is_empty(), "these series came with an event: {new:?}");
    assert_eq!(
        after["tidings_publish_refused_total{reason=\"topic-missing\"}"],
        1.0
    );
    assert_eq!(
        after["tidings_publish_refused_total{reason=\"token-missing\"}"],
        1.0
    );
    assert_eq!(
        after["tidings_subscribe_refused_total{reason=\"matcher-type-unknown\"}"],
        1.0
    );
}

#[test]
fn a_family_with_a_unit_in_its_name_says_so() {
    let text = TestHub::serve(&settings(ONE_SHARD))
        .request_admin("/metrics")
        .text();
    let of = |mark| {
        let lines = text.lines().filter_map(move |line| line.strip_prefix(mark));
        lines.map(|line: &str| line.split(' ').next().unwrap())
    };
    let with_unit: BTreeSet<_> = of("# UNIT ").collect();
    for name in of("# HELP ") {
        let named = name.ends_with("_bytes") || name.ends_with("_seconds");
        assert_eq!(with_unit.contains(name), named, "{name}");
    }
}

#[test]
fn durations_are_counted_once_for_each_update_and_not_for_each_subscriber() {
    let hub = TestHub::serve(&settings(ONE_SHARD));
    let mut streams: Vec<_> = (0..3).map(|_| hub.subscribe("match=a")).collect();
    for number in 0..5 {
        published(&hub, &[("topic", "a"), ("data", &number.to_string())]);
    }
    // Nobody is subscribed to it.
    published(&hub, &[("topic", "b")]);
    for stream in &mut streams {
        for _ in 0..5 {
            stream.event();
        }
    }
    let first = hub.metric("tidings_replay_duration_seconds_count");
    assert_eq!(first, 0.0, "a subscriber without a cursor replays nothing");
    let mut resumed = hub.subscribe("match=a&last_event_id=earliest");
    for _ in 0..5 {
        resumed.event();
    }
    hub.wait_for_metric("tidings_replay_duration_seconds_count", |count| {
        count == 1.0
    });
    // The sweep counts when it has written.
    hub.wait_for_metric("tidings_delivery_duration_seconds_count", |count| {
        count == 5.0
    });

    let now = series(&hub);
    let count = |name: &str| now[&format!("tidings_{name}_seconds_count")];
    assert_eq!(count("publish_duration"), 6.0);
    assert_eq!(count("join_duration"), 4.0);
    let commits = count("history_commit_duration");
    assert!((1.0..=6.0).contains(&commits), "{commits}");
    for name in [
        "publish_duration",
        "delivery_duration",
        "join_duration",
        "replay_duration",
    ] {
        let sum = now[&format!("tidings_{name}_seconds_sum")];
        let longest = 30.0 * count(name);
        assert!(sum > 0.0 && sum < longest, "{name}: {sum}");
        let all = now[&format!("tidings_{name}_seconds_bucket{{le=\"+Inf\"}}")];
        assert_eq!(all, count(name), "{name}");
    }
    assert_eq!(now["tidings_history_stored_updates"], 6.0);
    assert!(now["tidings_history_stored_bytes"] >= 11.0);
    assert!(now["tidings_history_last_timestamp_seconds"] > 1.7e9);
    assert_eq!(now["tidings_history_removed_timestamp_seconds"], 0.0);
}

#[test]
fn requests_and_sessions_are_counted_by_transport() {
    let hub = TestHub::serve(&settings(ONE_SHARD));
    let stream = hub.subscribe("match=a");
    published(&hub, &[("topic", "a")]);
    let poll = Request::get(&format!("{HUB_PATH}?match=a&last_event_id=earliest"));
    let answer = hub.request(poll.header("Prefer", "wait=30"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    hub.request(Request::get("/nothing"));
    let now = series(&hub);
    let requests = |method: &str, status: &str, transport: &str| {
        now[&format!(
            "tidings_http_requests_total{{method=\"{method}\",status=\"{status}\",transport=\"{transport}\"}}"
        )]
    };
    assert_eq!(requests("GET", "2xx", "sse"), 1.0);
    assert_eq!(requests("POST", "2xx", "http"), 1.0);
    assert_eq!(requests("GET", "2xx", "long_poll"), 1.0);
    assert_eq!(requests("GET", "4xx", "http"), 1.0);
    let total: f64 = of(&now, "tidings_http_requests_total{");
    assert_eq!(total, 4.0, "requests of operators are not counted");
    let sse = "tidings_sessions{transport=\"sse\",dialect=\"1.0\"}";
    assert_eq!(now[sse], 1.0);
    drop(stream);
    wait_until("the stream is gone", || {
        (series(&hub)[sse] == 0.0).then_some(())
    });
    assert_eq!(of(&series(&hub), "tidings_sessions{"), 0.0);
}

#[test]
fn the_process_the_build_and_the_limits_are_shown() {
    let toml =
        format!("{ONE_SHARD}[limits]\nconnections_max = 123\n[history]\nretain_updates = 77\n");
    let hub = TestHub::serve(&settings(&toml));
    // The kernel counts in hundredths of a second, and a start may take less.
    let now = wait_until("a tick of CPU time", || {
        let now = series(&hub);
        (now["process_cpu_seconds_total"] > 0.0).then_some(now)
    });
    assert!(now["process_resident_memory_bytes"] > 1e6);
    assert!(now["process_start_time_seconds"] > 1.7e9);
    let (open, max) = (now["process_open_fds"], now["process_max_fds"]);
    assert!(open > 5.0 && open < max, "{open} of {max}");
    let build = format!(
        "tidings_build_info{{version=\"{}\",",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(of(&now, &build), 1.0);
    assert_eq!(now["tidings_limit{key=\"limits.connections_max\"}"], 123.0);
    assert_eq!(now["tidings_limit{key=\"history.retain_updates\"}"], 77.0);
    assert_eq!(now["tidings_limit{key=\"zeromq.peers_max\"}"], 0.0);
    assert_eq!(now["tidings_certificate_expiry_timestamp_seconds"], 0.0);
}

/// Publishes and returns the id.
#[track_caller]
fn published(hub: &TestHub, form: &[(&str, &str)]) -> String {
    let answer = hub.publish_as(&token_for_all(), form);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// Returns the sum of the series whose names begin with `start`.
fn of(series: &BTreeMap<String, f64>, start: &str) -> f64 {
    let chosen = series.iter().filter(|(name, _)| name.starts_with(start));
    chosen.map(|(_, value)| value).sum()
}

/// Returns the value of each series.
fn series(hub: &TestHub) -> BTreeMap<String, f64> {
    let text = hub.request_admin("/metrics").text();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let parts = lines.map(|line| line.rsplit_once(' ').unwrap());
    let mut series = BTreeMap::new();
    for (name, value) in parts {
        let earlier = series.insert(name.to_owned(), value.parse().unwrap());
        assert!(earlier.is_none(), "{name} comes twice");
    }
    series
}
