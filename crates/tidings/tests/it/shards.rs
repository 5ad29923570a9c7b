//! Several shards: the kernel chooses the shard of a connection, and the hub balances the streams.

use crate::harness::process::raise_open_files;
use crate::harness::serving::{self, Certificate, serve_tls};
use crate::harness::{Connection, EventStream, HUB_PATH, Request, TestHub, note};

const FOUR_SHARDS: &str = "[subscribe]\nanonymous = true\n[server]\nshards = 4\n";

#[test]
fn moved_streams_receive_everything_once() {
    check(&TestHub::serve(&serving::toml(FOUR_SHARDS)), None, 600);
}

#[test]
fn moved_tls_streams_receive_everything_once() {
    let (hub, certificate) = serve_tls(FOUR_SHARDS);
    check(&hub, Some(&certificate), 300);
}

/// Subscribes `count` times while updates are published, half of the time from the beginning.
fn check(hub: &TestHub, certificate: Option<&Certificate>, count: usize) {
    raise_open_files().unwrap();
    let token = serving::token();
    let open = || match certificate {
        Some(certificate) => certificate.open(hub),
        None => Connection::open(hub.address),
    };
    let mut publisher = open();
    let mut published = 0;
    let mut publish = || {
        let form = [
            ("topic", "https://example.com/shards"),
            ("data", &published.to_string()),
        ];
        let request = Request::post(HUB_PATH).bearer(&token).form(&form);
        assert_eq!(publisher.request(&request).status, 200);
        published += 1;
        published
    };
    let mut streams = Vec::new();
    let mut next = 0;
    for number in 0..count {
        let replays = number % 2 == 0;
        let cursor = if replays {
            "&last_event_id=earliest"
        } else {
            ""
        };
        let target = format!("{HUB_PATH}?match=https://example.com/shards{cursor}");
        let stream = EventStream::open(open(), &Request::get(&target));
        streams.push((stream, if replays { 0 } else { next }));
        if number % 10 == 0 {
            next = publish();
        }
    }
    for _ in 0..10 {
        next = publish();
    }
    for (number, (stream, first)) in streams.iter_mut().enumerate() {
        let expected: Vec<String> = (*first..next).map(|number| number.to_string()).collect();
        assert_eq!(stream.data(expected.len()), expected, "stream {number}");
    }
    // Chance puts the same number on each of four shards about as often as it shuffles a pack of
    // cards into order.
    let moved = hub.metric("tidings_sockets_moved_total");
    note(&format!("{moved} of {count} streams were moved"));
    assert!(moved > 0.0);
    assert_eq!(hub.metric("tidings_subscribers"), count as f64);
    drop(streams);
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
}
