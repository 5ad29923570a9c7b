//! The streams and messages of version 1, as `docs/formats/cluster-nats.md` has them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidings_cluster::Epoch;
use tidings_cluster::engine::{
    Append, Appended, BATCH_BYTES_MAX, BootId, Claimed, Engine, Entry, EpochId, Item, Key, Lease,
    LeaseName, Leased, NodeId, Origin, Place, Restore, Restored, Seen, Sender, State, Tailed,
};
use tidings_contract::digest;
use tidings_core::{Position, Print};
use tidings_nats::Nats;

use crate::harness::{Admin, Servers, patient_options, run};

/// A line of version 1, and leases. Released versions stay readable: it is never edited.
///
/// ```text
/// stream|NAME|SETTINGS
/// message|SUBJECT|HEADER `Tidings`|HEADER `Nats-TTL`|PAYLOAD
/// ```
const VERSION_1: &str = include_str!("format/version-1.txt");

/// What a hub draws, and what the clock says, as the fixture has it.
const INCARNATION: &str = "0f1e2d3c4b5a6978";
const PUBLISHED_MS: u64 = 1_800_000_000_123;
const KEY_UNTIL_MS: &str = "4102444800000";
const KEY_TTL_MS: u64 = 300_000;

const EPOCH: EpochId = EpochId::new(0x0123_4567_89ab_cdef);
const SENDER: Sender = Sender {
    node: NodeId::new(0x1122_3344_5566_7788),
    boot: BootId::new(0x99aa_bbcc_ddee_ff00),
};
const CLAIMED: Sender = Sender {
    node: NodeId::new(2),
    boot: BootId::new(1),
};
const STRANGER: Sender = Sender {
    node: NodeId::new(3),
    boot: BootId::new(1),
};

#[test]
fn a_line_of_version_1_is_read() {
    let servers = Servers::start(1);
    replay(&Admin::of(&servers));
    let engine = Nats::new(patient_options(&servers));
    run(async {
        let State::Line(line) = engine.state().await.unwrap() else {
            panic!("no line");
        };
        let expected = entries();
        assert_eq!((line.epoch, line.secret), (EPOCH, Epoch::new([0x5a; 32])));
        assert_eq!(
            (line.oldest, line.last),
            (Position::new(7), Position::new(11))
        );
        assert_eq!(line.print, expected[4].print);
        let before = Position::new(6);
        let tailed = engine.tail(before, BATCH_BYTES_MAX).await.unwrap();
        assert_eq!(tailed, Tailed::Entries(expected));
        let mut again = append(45, &[("sixth", Some("k")), ("seventh", Some("l"))]);
        again.seen = Seen {
            position: line.last,
            print: line.print,
        };
        let known = |position| Place::Known(Position::new(position));
        let appended = engine.append(again).await.unwrap();
        assert!(
            matches!(&appended, Appended::Taken { places, .. } if *places == [known(7), known(9)]),
            "{appended:?}"
        );
    });
}

#[test]
fn leases_of_version_1_are_read() {
    let servers = Servers::start(1);
    replay(&Admin::of(&servers));
    let engine = Nats::new(patient_options(&servers));
    let by = Leased::HeldBy;
    let note = |text: &str| Some(Arc::from(text.as_bytes()));
    run(async {
        let leases = engine.leases().await.unwrap();
        assert_eq!(leases.len(), 1, "{leases:?}");
        assert_eq!(leases[0].holder, SENDER);
        assert_eq!((&*leases[0].record, leases[0].alive), (&b"left"[..], false));
        let own = lease(LeaseName::Node, CLAIMED, 0, None);
        assert_eq!(engine.lease(own).await.unwrap(), by(SENDER, None));
        let held = lease(LeaseName::Named("held".into()), STRANGER, 1000, None);
        assert_eq!(engine.lease(held).await.unwrap(), by(SENDER, note("note")));
        let freed = lease(LeaseName::Named("freed".into()), STRANGER, 1000, None);
        let expected = Leased::Held(note("kept"));
        assert_eq!(engine.lease(freed).await.unwrap(), expected);
    });
}

#[test]
fn what_is_written_is_version_1() {
    let servers = Servers::start(1);
    let admin = Admin::of(&servers);
    replay(&admin);
    let expected = dump(&admin);
    let servers = Servers::start(1);
    let admin = Admin::of(&servers);
    let engine = Nats::new(patient_options(&servers));
    let mut written = String::new();
    run(async {
        write_line(&engine).await;
        write_leases(&engine).await;
        let all = engine
            .tail(Position::new(6), BATCH_BYTES_MAX)
            .await
            .unwrap();
        let Tailed::Entries(all) = all else {
            panic!("no entries: {all:?}");
        };
        written = as_in_fixture(dump(&admin), &all);
    });
    for (written, expected) in written.lines().zip(expected.lines()) {
        assert_eq!(written, expected);
    }
    assert_eq!(written.lines().count(), expected.lines().count());
}

async fn write_line(engine: &Nats) {
    let entries = entries().into_iter().zip(["k", ""]);
    let restored = entries.map(|(entry, key)| Restored {
        entry,
        key: Key::new(key.as_bytes()).map(|key| (key, KEY_TTL_MS)),
    });
    let restore = Restore {
        epoch: EPOCH,
        secret: Epoch::new([0x5a; 32]),
        expected_last: None,
        expected_print: None,
        entries: restored.collect(),
    };
    engine.restore(restore).await.unwrap();
    for append in [
        append(43, &[("third", Some("l")), ("fourth", None)]),
        append(44, &[("fifth", None)]),
    ] {
        engine.append(append).await.unwrap();
    }
}

async fn write_leases(engine: &Nats) {
    let named = |name: &str| LeaseName::Named(name.into());
    for lease in [
        lease(LeaseName::Node, SENDER, 0, Some("left")),
        lease(LeaseName::Node, CLAIMED, 0, Some("gone")),
        lease(named("held"), SENDER, 60_000, Some("note")),
        lease(named("freed"), SENDER, 60_000, Some("kept")),
        lease(named("freed"), SENDER, 0, None),
    ] {
        engine.lease(lease).await.unwrap();
    }
    let claimed = engine.claim(CLAIMED, SENDER).await.unwrap();
    assert!(matches!(claimed, Claimed::Won(_)), "{claimed:?}");
}

/// Stores the fixture, as its lines say.
fn replay(admin: &Admin) {
    for line in VERSION_1.lines() {
        let words: Vec<&str> = line.split('|').collect();
        match words.as_slice() {
            ["stream", name, settings] => {
                let settings: Value = serde_json::from_str(settings).unwrap();
                let made = admin.request(&format!("STREAM.CREATE.{name}"), &settings);
                assert!(made.get("error").is_none(), "{made}");
            }
            ["message", subject, header, ttl, payload] => {
                let mut headers = HeaderMap::new();
                headers.insert("Tidings", *header);
                if !ttl.is_empty() {
                    headers.insert("Nats-TTL", *ttl);
                }
                admin.store(subject, headers, payload);
            }
            _ => panic!("{line}"),
        }
    }
}

/// Everything that is on a server: a stream as the server describes its settings, then its messages.
fn dump(admin: &Admin) -> String {
    let mut lines = Vec::new();
    for stream in ["tidings_it", "tidings_it=leases"] {
        let info = admin.request(&format!("STREAM.INFO.{stream}"), &Value::Null);
        lines.push(info["config"].to_string());
        let end = |name: &str| info["state"][name].as_u64().unwrap();
        let get = |seq: u64| {
            let get = format!("STREAM.MSG.GET.{stream}");
            let got = admin.request(&get, &json!({ "seq": seq }));
            got.get("message").map(message)
        };
        let mut messages: Vec<String> = (end("first_seq")..=end("last_seq"))
            .filter_map(get)
            .collect();
        // A lease is the last of its subject, however often it was changed.
        if stream.ends_with("leases") {
            messages.sort();
        }
        lines.extend(messages);
    }
    lines.join("\n")
}

/// One message, with the headers that hubs or their servers read again.
fn message(message: &Value) -> String {
    let decode = |name: &str| {
        let bytes = STANDARD.decode(message[name].as_str().unwrap_or_default());
        String::from_utf8(bytes.unwrap()).unwrap()
    };
    let headers = decode("hdrs");
    let ours = |line: &&str| line.starts_with("Tidings:") || line.starts_with("Nats-TTL:");
    let mut headers: Vec<&str> = headers.lines().filter(ours).collect();
    headers.sort_unstable();
    let subject = &message["subject"];
    format!("{subject} {headers:?} {:?}", decode("data"))
}

/// Replaces what was drawn, and times and prints that follow from the clock, by those of the fixture.
fn as_in_fixture(dumped: String, written: &[Entry]) -> String {
    let config: Value = serde_json::from_str(dumped.lines().next().unwrap()).unwrap();
    let drawn = config["metadata"]["tidings.incarnation"].as_str().unwrap();
    let mut text = dumped.replace(drawn, INCARNATION);
    for (entry, expected) in written.iter().zip(entries()) {
        let hex = |entry: &Entry| {
            let print = entry.print.unwrap();
            format!("{:032x}", u128::from_be_bytes(print.bytes()))
        };
        text = text.replace(&hex(entry), &hex(&expected));
        let until = (entry.published_ms + KEY_TTL_MS).to_string();
        text = text.replace(&until, KEY_UNTIL_MS);
        let ms = |entry: &Entry| entry.published_ms.to_string();
        text = text.replace(&ms(entry), &ms(&expected));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(now.as_millis()).unwrap();
    let is_until = |word: &str| {
        let ms: Option<u64> = word.parse().ok();
        ms.is_some_and(|ms| (now_ms..=now_ms + KEY_TTL_MS).contains(&ms))
    };
    let words: Vec<String> = text
        .split_inclusive([' ', '"'])
        .map(str::to_owned)
        .collect();
    let replaced = words.into_iter().map(|word| {
        let number = word.trim_end_matches([' ', '"']);
        match is_until(number) {
            true => word.replace(number, KEY_UNTIL_MS),
            false => word,
        }
    });
    replaced.collect()
}

fn append(batch: u64, items: &[(&str, Option<&str>)]) -> Append {
    let item = |(index, (text, key)): (u32, &(&str, Option<&str>))| Item {
        origin: Origin {
            sender: SENDER,
            batch,
            index,
        },
        digest: digest(text.as_bytes()),
        key: key.map(|key| (Key::new(key.as_bytes()).unwrap(), KEY_TTL_MS)),
        bytes: Arc::from(text.as_bytes()),
    };
    Append {
        epoch: EPOCH,
        seen: Seen {
            position: Position::ZERO,
            print: None,
        },
        sender: SENDER,
        batch,
        items: (0..).zip(items).map(item).collect(),
    }
}

fn lease(name: LeaseName, holder: Sender, ttl_ms: u64, record: Option<&str>) -> Lease {
    Lease {
        name,
        holder,
        ttl_ms,
        record: record.map(|record| Arc::from(record.as_bytes())),
    }
}

/// The line of the fixture.
fn entries() -> Vec<Entry> {
    let entry = |position, batch, index, print, text: &str| Entry {
        position: Position::new(position),
        published_ms: PUBLISHED_MS,
        origin: Origin {
            sender: SENDER,
            batch,
            index,
        },
        print: Some(Print::new([print; 16])),
        bytes: Arc::from(text.as_bytes()),
    };
    vec![
        entry(7, 42, 0, 0xaa, "first"),
        entry(8, 42, 1, 0xbb, "second"),
        entry(9, 43, 0, 0xcc, "third"),
        entry(10, 43, 1, 0xdd, "fourth"),
        entry(11, 44, 0, 0xee, "fifth"),
    ]
}
