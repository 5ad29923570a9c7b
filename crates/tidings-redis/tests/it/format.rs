//! The keys and entries of version 1, as `docs/formats/cluster-redis.md` has them.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::Value;
use tidings_cluster::Epoch;
use tidings_cluster::engine::{
    BATCH_BYTES_MAX, BootId, Engine, Entry, EpochId, Key, Lease, LeaseName, NodeId, Origin,
    Restore, Restored, Sender, State, Tailed,
};
use tidings_core::{Position, Print};
use tidings_redis::Redis;

use crate::harness::{Kind, Server, options, run};

/// Commands that make a line of version 1. Released versions stay readable: it is never edited.
const VERSION_1: &str = include_str!("format/version-1.txt");

const SENDER: Sender = Sender {
    node: NodeId::new(0x1122_3344_5566_7788),
    boot: BootId::new(0x99aa_bbcc_ddee_ff00),
};

#[test]
fn a_line_of_version_1_is_read() {
    let server = Server::start(Kind::Redis);
    for line in VERSION_1.lines() {
        let words: Vec<&str> = line.split('|').collect();
        let _ok: Value = server.ask(&words);
    }
    let engine = Redis::new(options(server.place()));
    run(async {
        let State::Line(line) = engine.state().await.unwrap() else {
            panic!("no line");
        };
        assert_eq!(line.epoch, EpochId::new(0x0123_4567_89ab_cdef));
        assert_eq!(line.secret, Epoch::new([0x5a; 32]));
        assert_eq!(
            (line.oldest, line.last),
            (Position::new(7), Position::new(8))
        );
        assert_eq!(line.print, Some(entries()[1].entry.print.unwrap()));
        let tailed = engine
            .tail(Position::new(6), BATCH_BYTES_MAX)
            .await
            .unwrap();
        let expected = entries()
            .into_iter()
            .map(|restored| restored.entry)
            .collect();
        assert_eq!(tailed, Tailed::Entries(expected));
        let leases = engine.leases().await.unwrap();
        assert_eq!(leases[0].holder, SENDER);
        assert_eq!((&*leases[0].record, leases[0].alive), (&b"left"[..], false));
    });
}

#[test]
fn what_is_written_is_version_1() {
    let expected = written_by(async |server| {
        for line in VERSION_1.lines() {
            let words: Vec<&str> = line.split('|').collect();
            let _ok: Value = server.ask(&words);
        }
    });
    let written = written_by(async |server| {
        let engine = Redis::new(options(server.place()));
        let restore = Restore {
            epoch: EpochId::new(0x0123_4567_89ab_cdef),
            secret: Epoch::new([0x5a; 32]),
            expected_last: None,
            expected_print: None,
            entries: entries(),
        };
        engine.restore(restore).await.unwrap();
        let lease = Lease {
            name: LeaseName::Node,
            holder: SENDER,
            ttl_ms: 0,
            record: Some(Arc::from(b"left".as_slice())),
        };
        engine.lease(lease).await.unwrap();
        // When a lease ends is the server's own time: the fixture has another one.
        let lease = "1122334455667788.99aabbccddeeff00";
        let words = ["HSET", "{t:it}:leases", lease, "1700000000000"];
        let _ok: Value = server.ask(&words);
    });
    assert_eq!(written, expected);
}

/// Everything that is on a server after `write`, by name.
fn written_by(write: impl AsyncFn(&Server)) -> BTreeMap<String, Value> {
    let server = Server::start(Kind::Redis);
    run(write(&server));
    let keys: Vec<String> = server.ask(&["KEYS", "*"]);
    let value = |key: String| {
        let kind: String = server.ask(&["TYPE", &key]);
        let value = match kind.as_str() {
            "hash" => {
                let fields: BTreeMap<String, String> = server.ask(&["HGETALL", &key]);
                let fields = fields.into_iter().flat_map(|(name, value)| [name, value]);
                Value::Array(fields.map(|text| Value::BulkString(text.into())).collect())
            }
            "stream" => server.ask(&["XRANGE", &key, "-", "+"]),
            "zset" => server.ask(&["ZRANGE", &key, "0", "-1", "WITHSCORES"]),
            _ => server.ask(&["GET", &key]),
        };
        (key, value)
    };
    keys.into_iter().map(value).collect()
}

fn entries() -> Vec<Restored> {
    let entry = |position, index, print, bytes: &[u8], key: Option<&[u8]>| Restored {
        entry: Entry {
            position: Position::new(position),
            published_ms: 1_800_000_000_123,
            origin: Origin {
                sender: SENDER,
                batch: 42,
                index,
            },
            print: Some(Print::new([print; 16])),
            bytes: Arc::from(bytes),
        },
        key: key.map(|key| (Key::new(key).unwrap(), 300_000)),
    };
    vec![
        entry(7, 0, 0xaa, b"first", Some(b"k")),
        entry(8, 1, 0xbb, b"second", None),
    ]
}
