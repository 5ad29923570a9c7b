//! A subscriber that stops reading: the others notice nothing, memory stays bounded, and the
//! stalled one is told and loses nothing.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidings_wire::sse_decoder::{Decoded, Event};

use crate::harness::process::connect_with_buffer;
use crate::harness::serving;
use crate::harness::{Connection, EventStream, HUB_PATH, Request, TestHub};

const SMALL: &str = "https://example.com/small";
const LARGE: &str = "https://example.com/large";

#[test]
fn one_stalled_subscriber_among_a_hundred_costs_the_others_nothing() {
    let hub = serve("[history]\nring_bytes = 4194304\n");
    let start = Instant::now();
    let mut publisher = Publisher::new(&hub);
    let mut stalled = subscribe_without_reading(&hub, &format!("match={SMALL}&match={LARGE}"));
    let others: Vec<_> = (0..99)
        .map(|_| {
            let target = format!("{HUB_PATH}?match={SMALL}");
            let stream = EventStream::open(Connection::open(hub.address), &Request::get(&target));
            measure(stream, start, 2 * UPDATES)
        })
        .collect();
    let mut expected = Vec::new();
    for _ in 0..UPDATES {
        expected.push(publisher.publish(SMALL, start.elapsed().as_micros().to_string()));
    }
    let resident = hub.resident_bytes();
    let mut grown = 0;
    for _ in 0..UPDATES {
        expected.push(publisher.publish(LARGE, "x".repeat(LARGE_BYTES)));
        expected.push(publisher.publish(SMALL, start.elapsed().as_micros().to_string()));
        grown = hub.resident_bytes().saturating_sub(resident).max(grown);
    }
    assert!(hub.metric("tidings_subscriber_lags_total") >= 1.0);
    let mut before = Vec::new();
    let mut during = Vec::new();
    for other in others {
        let (first, second) = other.join().unwrap();
        before.extend(first);
        during.extend(second);
    }
    // Printed, not judged: the machine may be busy with something else.
    println!("latency before the stall: {}", distribution(before));
    println!("latency during the stall: {}", distribution(during));
    println!(
        "memory grew by {} KiB while {} KiB were published",
        grown / 1024,
        PUBLISHED / 1024
    );
    assert!(grown < GROWTH_MAX, "{grown} bytes");

    let (events, comments) = read_events(&mut stalled, expected.len());
    assert_eq!(events, expected, "everything once, in order");
    assert!(
        comments.iter().any(|comment| comment.contains("lagging")),
        "{comments:?}"
    );
}

#[test]
fn a_subscriber_that_retention_overtakes_is_told_and_closed() {
    let hub = serve("[history]\nring_bytes = 65536\nretain_updates = 20\n");
    let mut publisher = Publisher::new(&hub);
    let mut stalled = subscribe_without_reading(&hub, &format!("match={LARGE}"));
    let published: Vec<Event> = (0..120)
        .map(|_| publisher.publish(LARGE, "x".repeat(LARGE_BYTES)))
        .collect();
    hub.wait_for_metric("tidings_history_oldest_position", |oldest| oldest == 101.0);

    let (events, comments) = read_events(&mut stalled, usize::MAX);
    assert!(
        events.len() < 100,
        "{} events fit into the buffers",
        events.len()
    );
    assert_eq!(events, published[..events.len()], "in order up to the gap");
    assert!(
        comments
            .last()
            .is_some_and(|comment| comment.contains("gap")),
        "{comments:?}"
    );
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
    assert_eq!(hub.metric("tidings_gaps_total"), 1.0);
    assert_eq!(
        hub.metric_for("tidings_sessions_closed_total", "overtaken"),
        1.0
    );

    let last = &events.last().expect("some events").last_event_id;
    let target = format!("{HUB_PATH}?match={LARGE}");
    let mut again = hub.subscribe_by(Request::get(&target).header("Last-Event-ID", last));
    assert_eq!(again.head.header("mercure-last-event-id"), Some("earliest"));
    assert_eq!(read_events(&mut again, 20).0, published[100..]);
}

#[test]
fn a_subscriber_that_takes_nothing_is_closed_and_resumes() {
    let hub = serve("[history]\nring_bytes = 4194304\n[limits]\nstall_timeout_secs = 1\n");
    let mut publisher = Publisher::new(&hub);
    let mut stalled = subscribe_without_reading(&hub, &format!("match={LARGE}"));
    let published: Vec<Event> = (0..120)
        .map(|_| publisher.publish(LARGE, "x".repeat(LARGE_BYTES)))
        .collect();
    hub.wait_for_metric("tidings_subscribers", |subscribers| subscribers == 0.0);
    assert_eq!(
        hub.metric_for("tidings_sessions_closed_total", "stalled"),
        1.0
    );

    // What the buffers held; the last event may be cut, which is as if it had not come.
    let (mut events, _) = read_events(&mut stalled, usize::MAX);
    assert!(events.len() < published.len());
    let last = events
        .last()
        .map_or("earliest", |event| event.last_event_id.as_str());
    let target = format!("{HUB_PATH}?match={LARGE}");
    let mut again = hub.subscribe_by(Request::get(&target).header("Last-Event-ID", last));
    let rest = published.len() - events.len();
    events.extend(read_events(&mut again, rest).0);
    assert_eq!(events, published, "everything once, in order");
}

/// Updates in each of the two phases.
const UPDATES: usize = 250;
/// Bytes of a large update; all of them are several times what buffers of sockets hold.
const LARGE_BYTES: usize = 200 * 1024;
const PUBLISHED: usize = UPDATES * LARGE_BYTES;
/// By how much memory may grow: the ring, the pages and the database's cache, but not what was
/// published.
const GROWTH_MAX: u64 = 40 * 1024 * 1024;

fn serve(more: &str) -> TestHub {
    TestHub::serve(&serving::toml(&format!(
        "[subscribe]\nanonymous = true\n{more}"
    )))
}

/// Subscribes with a small receive buffer and reads no more than the head. Without chunks, so that
/// the stream may end anywhere.
fn subscribe_without_reading(hub: &TestHub, query: &str) -> EventStream {
    let socket = connect_with_buffer(hub.address, 4096);
    let request = Request::get(&format!("{HUB_PATH}?{query}")).http10();
    EventStream::open(Connection::over(hub.address, socket), &request)
}

/// Publishes on one connection.
struct Publisher {
    connection: Connection,
    token: String,
}

impl Publisher {
    fn new(hub: &TestHub) -> Self {
        Self {
            connection: Connection::open(hub.address),
            token: serving::token(),
        }
    }

    /// Returns the event that subscribers are to receive.
    fn publish(&mut self, topic: &str, data: String) -> Event {
        let form = [("topic", topic), ("data", data.as_str())];
        let request = Request::post(HUB_PATH).bearer(&self.token).form(&form);
        let answer = self.connection.request(&request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        Event {
            last_event_id: answer.text(),
            event_type: "message".to_owned(),
            data,
        }
    }
}

/// Reads `count` events, or fewer if the stream ends before, and the comments among them.
fn read_events(stream: &mut EventStream, count: usize) -> (Vec<Event>, Vec<String>) {
    let mut events = Vec::new();
    let mut comments = Vec::new();
    while events.len() < count {
        match stream.next_decoded() {
            Some(Decoded::Event(event)) => events.push(event),
            Some(Decoded::Comment(text)) => comments.push(text),
            Some(Decoded::Retry(_)) => {}
            None => break,
        }
    }
    (events, comments)
}

/// Reads `count` updates, each of which says when it was published; returns the times that they
/// took, of the first half and of the second.
fn measure(
    mut stream: EventStream,
    start: Instant,
    count: usize,
) -> JoinHandle<(Vec<Duration>, Vec<Duration>)> {
    std::thread::spawn(move || {
        let mut last = 0;
        let mut times: Vec<Duration> = (0..count)
            .map(|_| {
                let sent: u64 = stream.event().data.parse().expect("a time");
                assert!(sent > last, "in order");
                last = sent;
                start.elapsed().saturating_sub(Duration::from_micros(sent))
            })
            .collect();
        let second = times.split_off(count / 2);
        (times, second)
    })
}

fn distribution(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    format!(
        "p50 {:?}, p90 {:?}, p99 {:?}, max {:?}",
        at(50),
        at(90),
        at(99),
        at(100)
    )
}
