//! Measures appends by size of the group, 64 publishers in flight, and reading back.
//!
//! `cargo bench -p tidings-history --bench append`; set `TMPDIR` to choose the disk.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a bench prints figures, and fails when something fails"
)]

use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidings_cluster::{Epoch, History as _};
use tidings_core::{Draft, EventId, Position, Topic, Topics, Visibility};
use tidings_history::storage::SqliteStorage;
use tidings_history::{
    Append, Clock, Handle, Kind, Options, Order, PresenceRetention, Reading, Resolved, Retention,
    Writer, start,
};

const EPOCH: Order = Order::Own(Epoch::new([7; 32]));

fn main() {
    yardstick();
    println!("writer alone, 200-byte updates, one commit and sync for each group");
    for group in [1, 32, 64, 512] {
        append_groups(group, Ids::Hub);
    }
    append_groups(64, Ids::Publisher);
    println!("\nthrough the handle, each publisher waits for its acknowledgement");
    for publishers in [1, 64] {
        publish(publishers, None);
    }
    publish(64, Some(50_000));
    println!();
    read_back();
}

/// Measures what one small write and its sync cost on this disk, without a database.
fn yardstick() {
    let mut file = tempfile::tempfile().unwrap();
    let mut times: Vec<Duration> = (0..300)
        .map(|_| {
            let begun = Instant::now();
            file.write_all(&[7; 4096]).unwrap();
            file.sync_data().unwrap();
            begun.elapsed()
        })
        .collect();
    println!(
        "yardstick: 4096 bytes and a sync {}\n",
        percentiles(&mut times)
    );
}

#[derive(Clone, Copy, Debug)]
enum Ids {
    Hub,
    Publisher,
}

fn append_groups(group: usize, ids: Ids) {
    let folder = tempfile::tempdir().unwrap();
    let storage = SqliteStorage::open(&folder.path().join("h.db"), EPOCH).unwrap();
    let mut writer = Writer::new(Box::new(storage), KEEP_ALL, Box::new(|_| {}));
    let groups = (200_000 / group).min(8_000);
    let mut batch = Vec::new();
    let mut times = Vec::with_capacity(groups);
    let start = Instant::now();
    for index in 0..groups {
        for item in 0..group {
            let id = match ids {
                Ids::Hub => None,
                Ids::Publisher => {
                    let scrambled =
                        ((index * group + item) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                    Some(EventId::parse(&format!("urn:x:{scrambled:x}")).unwrap())
                }
            };
            batch.push(Append::Draft {
                draft: Draft { id, ..draft() },
                done: Box::new(|_| {}),
            });
        }
        let begun = Instant::now();
        writer.on_batch(&mut batch, Reading::default());
        writer.on_slack();
        times.push(begun.elapsed());
    }
    let rate = (groups * group) as f64 / start.elapsed().as_secs_f64();
    println!(
        "group {group:4} {ids:9?} {rate:9.0}/s   group {}",
        percentiles(&mut times)
    );
}

fn publish(publishers: usize, updates_max: Option<u64>) {
    let folder = tempfile::tempdir().unwrap();
    let retention = Retention {
        updates_max,
        ..KEEP_ALL
    };
    let history = open(&folder, retention);
    let count = if publishers == 1 { 20_000 } else { 400_000 };
    let (tx, rx) = sync_channel(publishers);
    let begun = Instant::now();
    for _ in 0..publishers {
        append(&history, &tx);
    }
    let mut times = Vec::with_capacity(count);
    for acknowledged in 0..count {
        times.push(rx.recv().unwrap());
        if acknowledged + publishers < count {
            append(&history, &tx);
        }
    }
    let rate = count as f64 / begun.elapsed().as_secs_f64();
    let kept = updates_max.map_or_else(|| "all".to_owned(), |max| max.to_string());
    println!(
        "{publishers:3} publishers, keeping {kept:6} {rate:9.0}/s   answer {}   {:.1} updates a group, {} trimmed",
        percentiles(&mut times),
        history.stats().updates as f64 / history.stats().groups as f64,
        history.stats().trimmed,
    );
    history.close();
}

fn append(history: &Handle, tx: &SyncSender<Duration>) {
    let begun = Instant::now();
    let tx = tx.clone();
    let done = move |_| tx.send(begun.elapsed()).unwrap();
    assert!(history.append(draft(), Box::new(done)).is_ok());
}

fn read_back() {
    let folder = tempfile::tempdir().unwrap();
    let count: u64 = 1_000_000;
    let mut history = open(&folder, KEEP_ALL);
    let (tx, rx) = sync_channel(512);
    for index in 0..count {
        append(&history, &tx);
        if index >= 512 {
            rx.recv().unwrap();
        }
    }
    history.close();
    let begun = Instant::now();
    history = open(&folder, KEEP_ALL);
    println!("reopen with {count} updates: {:?}", begun.elapsed());
    let begun = Instant::now();
    let mut position = Position::ZERO;
    while position.get() < 200_000 {
        position = page(&history, position);
    }
    println!("200,000 updates in pages: {:?}", begun.elapsed());
    let mut times: Vec<Duration> = (0..1000)
        .map(|step: u64| {
            let after = Position::new(step * 7919 * 131 % count);
            let (tx, rx) = sync_channel(1);
            history.cursor(after, Box::new(move |cursor| tx.send(cursor).unwrap()));
            let cursor = Arc::clone(rx.recv().unwrap().unwrap().unwrap().text());
            let begun = Instant::now();
            let (tx, rx) = sync_channel(1);
            let reply = Box::new(move |resolved| tx.send(resolved).unwrap());
            history.resolve(cursor, |_| None, reply);
            let Ok(Resolved::After(after)) = rx.recv().unwrap() else {
                panic!("unknown cursor")
            };
            page(&history, after);
            begun.elapsed()
        })
        .collect();
    println!(
        "resume at a random cursor to the first page: {}",
        percentiles(&mut times)
    );
    let size = std::fs::metadata(folder.path().join("h.db")).unwrap().len();
    println!("file: {} bytes an update", size / count);
    history.close();
}

fn page(history: &Handle, after: Position) -> Position {
    let (tx, rx) = sync_channel(1);
    history.read_page(after, Box::new(move |page| tx.send(page).unwrap()));
    rx.recv().unwrap().unwrap().next
}

fn open(folder: &tempfile::TempDir, retention: Retention) -> Handle {
    let options = Options {
        kind: Kind::File {
            path: folder.path().join("h.db"),
        },
        retention,
        queue_max: 4096,
        group_max: 1024,
        reads_max: 4096,
        cache_bytes_max: 16 * 1024 * 1024,
        order: EPOCH,
    };
    let begun = Instant::now();
    let clock: Clock = Box::new(move || {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Reading {
            wall_ms: u64::try_from(since.as_millis()).unwrap(),
            steady: begun.elapsed(),
        }
    });
    start(options, Box::new(|_| {}), clock).unwrap()
}

fn draft() -> Draft {
    Draft {
        trace: None,
        topics: Topics::one(Topic::parse("https://example.com/books/1").unwrap()),
        data: "d".repeat(200).into(),
        visibility: Visibility::Public,
        id: None,
        event_type: None,
        retry_ms: None,
        presence: None,
    }
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    format!("p50 {:?} p99 {:?} max {:?}", at(0.5), at(0.99), at(1.0))
}

const KEEP_ALL: Retention = Retention {
    age_max: None,
    updates_max: None,
    bytes_max: None,
    presence: PresenceRetention::DEFAULT,
};
