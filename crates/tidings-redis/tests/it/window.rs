//! The window is bounded in bytes, and so is what a read brings over the wire.

use tidings_cluster::engine::{Appended, BATCH_BYTES_MAX, EngineError, Seen, Tailed};
use tidings_contract::Hub;
use tidings_core::Position;
use tidings_redis::WINDOW_BYTES_MIN;

use crate::harness::{Kind, RedisRig, Server, options, run};

const KIB: usize = 1024;

#[test]
fn the_window_keeps_bytes_and_not_entries() {
    for (size, count) in [(1024 * KIB, 24), (100, 150_000)] {
        on_a_line(async |server, hub| {
            fill(hub, size, count).await;
            let line = hub.line().await;
            let kept = line.last.get() - line.oldest.get() + 1;
            // With what each entry costs beside its bytes, as the scripts count it.
            let bytes = kept * (size as u64 + 256);
            let slack = 64 * KIB as u64 + 2 * (size as u64 + 256) + 100 * (size as u64 + 256);
            assert!(
                bytes >= WINDOW_BYTES_MIN,
                "{kept} of {count} entries of {size}"
            );
            assert!(
                bytes <= WINDOW_BYTES_MIN + slack.min(2 << 20),
                "{kept} of {count} of {size}"
            );
            assert_eq!(kept, server.ask::<u64>(&["XLEN", "{t:it}:log"]));
            let oldest = line.oldest;
            let tailed = hub.engine.tail(Position::new(1), BATCH_BYTES_MAX).await;
            assert_eq!(tailed.unwrap(), Tailed::Hole { oldest });
            let marks = server.ask::<u64>(&["ZCARD", "{t:it}:marks"]);
            assert!(
                marks <= WINDOW_BYTES_MIN / (64 * KIB as u64) + 2,
                "{marks} marks"
            );
        });
    }
}

#[test]
fn a_read_brings_no_more_than_its_bytes_over_the_wire() {
    on_a_line(async |server, hub| {
        fill(hub, 300 * KIB, 40).await;
        fill(hub, 50, 2_000).await;
        let last = hub.line().await.last;
        let mut after = Position::ZERO;
        while after < last {
            let before = sent(server);
            let tailed = hub.engine.tail(after, BATCH_BYTES_MAX).await.unwrap();
            let Tailed::Entries(entries) = tailed else {
                panic!("{tailed:?}");
            };
            after = entries.last().unwrap().position;
            // Names, headers and the question how far it may go are beside the bytes.
            let beside = 1024 * KIB as u64;
            assert!(sent(server) - before <= BATCH_BYTES_MAX + beside);
        }
    });
}

/// What is read at once is stored at once, with one sync.
#[test]
fn a_follower_at_the_end_of_the_line_gets_a_batch_of_small_updates_at_once() {
    on_a_line(async |_server, hub| {
        fill(hub, 50, 1).await;
        let first = hub.engine.tail(Position::ZERO, BATCH_BYTES_MAX).await;
        assert_eq!(count(first), 1);
        let batch = hub.batch(
            from_the_start(),
            &[(b"one of a batch".as_slice(), None); 200],
        );
        let waits = hub.engine.tail(Position::new(1), BATCH_BYTES_MAX);
        let (read, appended) = tokio::join!(waits, hub.engine.append(batch));
        appended.unwrap();
        assert_eq!(count(read), 200);
    });
}

/// Entries that are as large as a whole read are not asked for by the hundred.
#[test]
fn a_follower_at_the_end_of_the_line_asks_for_few_large_updates() {
    on_a_line(async |server, hub| {
        fill(hub, 1024 * KIB, 1).await;
        let first = hub.engine.tail(Position::ZERO, BATCH_BYTES_MAX).await;
        assert_eq!(count(first), 1);
        fill(hub, 300 * KIB, 40).await;
        let before = sent(server);
        let read = hub.engine.tail(Position::new(1), BATCH_BYTES_MAX).await;
        assert!(count(read) >= 1);
        assert!(sent(server) - before <= 17 * 300 * KIB as u64);
    });
}

fn count(read: Result<Tailed, EngineError>) -> usize {
    match read.unwrap() {
        Tailed::Entries(entries) => entries.len(),
        other @ (Tailed::Hole { .. } | Tailed::Rewound { .. }) => panic!("{other:?}"),
    }
}

fn from_the_start() -> Seen {
    Seen {
        position: Position::ZERO,
        print: None,
    }
}

/// Bytes that the server has sent to anybody.
fn sent(server: &Server) -> u64 {
    let info: String = server.ask(&["INFO", "stats"]);
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    line.unwrap().parse().unwrap()
}

async fn fill(hub: &mut Hub, size: usize, count: usize) {
    let bytes = vec![b'w'; size];
    let fit = (1024 * KIB / size).clamp(1, 256);
    let mut left = count;
    while left > 0 {
        let items = vec![bytes.as_slice(); fit.min(left)];
        let answer = hub.append(from_the_start(), &items).await;
        assert!(matches!(answer, Appended::Taken { .. }), "{answer:?}");
        left -= items.len();
    }
}

fn on_a_line(test: impl AsyncFn(&Server, &mut Hub)) {
    let server = Server::start(Kind::Redis);
    let rig = RedisRig::new(options(server.place()), |_key| server.connection());
    run(async {
        let mut hub = Hub::join(&rig, 1).await;
        test(&server, &mut hub).await;
    });
}
