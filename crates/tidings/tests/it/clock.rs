//! A machine's clock that was wrong: the hub does not remove updates early because of it.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidings_cluster::{Epoch, History as _};
use tidings_core::{Draft, Topic, Topics, Visibility};
use tidings_history::{Kind, Options, Order, PresenceRetention, Reading, Retention, start};

use crate::harness::TestHub;

const TOPIC: &str = "https://example.com/clock";
const FAR_MS: i64 = 400 * 86_400_000;

#[test]
fn a_clock_that_is_far_ahead_at_the_start_ends_nothing_at_once() {
    check_found(-FAR_MS);
}

#[test]
fn what_was_published_while_the_clock_was_far_ahead_is_in_nobodys_way() {
    check_found(FAR_MS);
}

/// Starts a hub on a history that was written by a clock so far from the one that it finds.
fn check_found(off_ms: i64) {
    let mut hub = TestHub::dev();
    assert!(hub.stop(), "{}", hub.log());
    let path = hub.data().join("history.db");
    std::fs::remove_file(&path).unwrap();
    write(&path, "before", off_ms);
    hub.restart();
    hub.published(&[("topic", TOPIC), ("data", "after")]);
    let mut stream = hub.subscribe(&format!("match={TOPIC}&last_event_id=earliest"));
    assert_eq!(stream.data(2), ["before", "after"]);
    assert_eq!(hub.metric("tidings_history_clock_steps_total"), 1.0);
    assert!(hub.log().contains("the machine's clock"), "{}", hub.log());
    // The log says it once: the hub then knows how far the clock is off.
    assert!(hub.stop(), "{}", hub.log());
    hub.restart();
    hub.published(&[("topic", TOPIC), ("data", "later")]);
    let mut stream = hub.subscribe(&format!("match={TOPIC}&last_event_id=earliest"));
    assert_eq!(stream.data(3), ["before", "after", "later"]);
    assert_eq!(hub.metric("tidings_history_clock_steps_total"), 0.0);
}

/// Writes an update into a new history at `path`.
fn write(path: &Path, data: &str, off_ms: i64) {
    let options = Options {
        kind: Kind::File { path: path.into() },
        retention: Retention {
            age_max: None,
            updates_max: None,
            bytes_max: None,
            presence: PresenceRetention::DEFAULT,
        },
        queue_max: 10,
        group_max: 10,
        reads_max: 10,
        cache_bytes_max: 0,
        order: Order::Own(Epoch::new([9; 32])),
    };
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(since.as_millis()).unwrap();
    let shown = Reading {
        wall_ms: now_ms.saturating_add_signed(off_ms),
        steady: Duration::ZERO,
    };
    let history = start(options, Box::new(|_| {}), Box::new(move || shown)).unwrap();
    let draft = Draft {
        trace: None,
        topics: Topics::one(Topic::parse(TOPIC).unwrap()),
        data: data.into(),
        visibility: Visibility::Public,
        id: None,
        event_type: None,
        retry_ms: None,
        presence: None,
    };
    let (tx, taken) = sync_channel(1);
    let done = Box::new(move |answer| tx.send(answer).unwrap());
    history.append(draft, done).unwrap();
    taken.recv().unwrap().unwrap();
    history.close();
}
