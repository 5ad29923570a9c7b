//! A full disk, a folder that cannot be written, a file that is damaged or in use.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tidings_wire::sse_decoder::Decoded;

use crate::harness::serving;
use crate::harness::{Answer, EventStream, HUB_PATH, Request, TestHub, note, run, wait_until};

const TOPIC: &str = "https://example.com/full";
/// Bytes of the disk, and of the longest file where no disk can be mounted.
const SPACE: usize = 3 * 1024 * 1024;

#[test]
fn a_full_disk_refuses_publishers_until_there_is_space() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let Some(_mounted) = Mounted::tmpfs(&disk, "size=8m") else {
        println!("not shown with a disk: mounting is refused here; shown with a limited file");
        return with_a_limited_file();
    };
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 8 * 1024 * 1024 - SPACE]).unwrap();
    let toml = serving::toml(&format!(
        "{QUIET}[history]\npath = \"FOLDER/disk/history.db\"\n"
    ));
    let mut hub = TestHub::serve_in(Arc::clone(&folder), &toml, &[]);
    let acknowledged = check(&hub, |_| fs::remove_file(&ballast).unwrap());
    hub.kill();
    hub.restart();
    assert_eq!(
        read(&mut from(&hub, "earliest"), acknowledged.len()),
        acknowledged
    );
}

#[test]
fn a_file_that_may_not_grow_refuses_publishers_until_it_may() {
    with_a_limited_file();
}

fn with_a_limited_file() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    // The soft limit counts in blocks of 512 bytes; without the trap its signal ends the process.
    let limit = format!(
        "trap '' XFSZ; ulimit -S -f {}; exec \"$0\" \"$@\"",
        SPACE / 512
    );
    let hub = TestHub::serve_under(&["sh", "-c", &limit], folder, &serving::toml(QUIET));
    check(&hub, |hub| {
        let pid = Pid::from_raw(i32::try_from(hub.pid()).unwrap());
        let unlimited = Rlimit {
            current: None,
            maximum: None,
        };
        prlimit(pid, Resource::Fsize, unlimited).unwrap();
    });
}

const QUIET: &str = "[subscribe]\nanonymous = true\nkeep_alive_secs = 1\n";

/// Publishes until there is no room, looks at everything that must go on, makes room, and looks
/// whether publishing goes on by itself. Returns ids and data of what was acknowledged.
fn check(hub: &TestHub, make_space: impl FnOnce(&TestHub)) -> Vec<(String, String)> {
    let token = serving::token();
    let mut early = hub.subscribe(&format!("match={TOPIC}"));
    let mut acknowledged = Vec::new();
    let refused = loop {
        assert!(acknowledged.len() < 1000, "the disk never filled");
        let data = format!("{} {}", acknowledged.len(), "x".repeat(50_000));
        let answer = publish(hub, &token, &data);
        if answer.status != 200 {
            break answer;
        }
        acknowledged.push((answer.text(), data));
    };
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.problem(), "history-unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    note(&format!("publishers are told: {}", refused.text()));
    let unready = wait_until("readiness is off", || {
        Some(ready(hub)).filter(|it| it.status != 200)
    });
    assert_eq!(unready.status, 503);
    note(&format!("operators are told: {}", unready.text()));
    assert!(
        unready.json()["reason"]
            .as_str()
            .is_some_and(|reason| reason.len() > 20)
    );

    // Subscribers stay, and get what there is to get.
    assert_eq!(read(&mut early, acknowledged.len()), acknowledged);
    assert!(
        matches!(early.next_decoded(), Some(Decoded::Comment(_))),
        "a keep-alive"
    );
    let mut late = from(hub, "earliest");
    assert_eq!(read(&mut late, acknowledged.len()), acknowledged);
    let (middle, _) = &acknowledged[acknowledged.len() / 2];
    let rest = &acknowledged[acknowledged.len() / 2 + 1..];
    assert_eq!(read(&mut from(hub, middle), rest.len()), rest);

    make_space(hub);
    let answer = wait_until("publishing works again", || {
        Some(publish(hub, &token, "after")).filter(|answer| answer.status == 200)
    });
    acknowledged.push((answer.text(), "after".to_owned()));
    assert_eq!(ready(hub).status, 200);
    for stream in [&mut early, &mut late] {
        assert_eq!(read(stream, 1), acknowledged[acknowledged.len() - 1..]);
    }
    assert_eq!(
        read(&mut from(hub, "earliest"), acknowledged.len()),
        acknowledged
    );
    acknowledged
}

/// Nothing that a start writes stands in its way, and nothing that SQLite maps ends the process.
#[test]
fn a_hub_starts_on_a_full_disk_and_serves_what_there_is() {
    for kind in [DiskKind::Memory, DiskKind::SmallBlocks] {
        for ending in [Ended::Politely, Ended::Killed] {
            println!("{kind:?}, {ending:?}");
            starts_on_a_full_disk(kind, ending);
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum DiskKind {
    /// A tmpfs.
    Memory,
    /// An ext4 whose blocks are smaller than the pages of memory: a page of a mapped file may have room
    /// for its end only.
    SmallBlocks,
}

#[derive(Debug, Clone, Copy)]
enum Ended {
    Politely,
    Killed,
}

fn starts_on_a_full_disk(kind: DiskKind, ending: Ended) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = match kind {
        DiskKind::Memory => Mounted::tmpfs(&disk, "size=8m"),
        DiskKind::SmallBlocks => Mounted::small_blocks(&disk, &folder.path().join("image")),
    };
    let Some(_mounted) = mounted else {
        note("not shown here: mounting is refused");
        return;
    };
    let toml = serving::toml(&format!(
        "{QUIET}[history]\npath = \"FOLDER/disk/history.db\"\n"
    ));
    let token = serving::token();
    let mut hub = TestHub::serve_in(Arc::clone(&folder), &toml, &[]);
    let mut acknowledged = Vec::new();
    let publish_one = |hub: &TestHub, acknowledged: &mut Vec<(String, String)>| {
        let data = format!("{} {}", acknowledged.len(), "x".repeat(20_000));
        let answer = publish(hub, &token, &data);
        if answer.status == 200 {
            acknowledged.push((answer.text(), data));
        }
        answer.status
    };
    for _ in 0..10 {
        assert_eq!(publish_one(&hub, &mut acknowledged), 200);
    }
    fill(&disk.join("first"));
    while publish_one(&hub, &mut acknowledged) == 200 {}
    match ending {
        Ended::Politely => assert!(hub.stop()),
        Ended::Killed => hub.kill(),
    }
    // Whatever the end gave back is taken by others.
    fill(&disk.join("second"));
    hub.restart();
    let count = acknowledged.len();
    assert_eq!(read(&mut from(&hub, "earliest"), count), acknowledged);
    assert!(hub.log().contains("the history's disk is full"));
    assert_eq!(publish_one(&hub, &mut acknowledged), 503);
    assert_eq!(ready(&hub).status, 503);
    // As it is after a second look, too.
    hub.kill();
    hub.restart();
    assert_eq!(read(&mut from(&hub, "earliest"), count), acknowledged);

    fs::remove_file(disk.join("first")).unwrap();
    wait_until("publishing works again", || {
        (publish_one(&hub, &mut acknowledged) == 200).then_some(())
    });
    wait_until("readiness is on", || {
        (ready(&hub).status == 200).then_some(())
    });
    assert!(hub.stop());
    hub.restart();
    let count = acknowledged.len();
    assert_eq!(read(&mut from(&hub, "earliest"), count), acknowledged);
}

/// Takes all the room of a disk, to the last byte.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [64 * 1024, 1024, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    drop(file.sync_all());
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    fs::write(folder.path().join("occupied"), "a file").unwrap();
    let path = folder.path().join("occupied/data/history.db");
    let said = refusal(folder.path(), &path, 2);
    assert!(said.contains("occupied is not a folder"), "{said}");

    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let Some(_mounted) = Mounted::tmpfs(&disk, "ro") else {
        println!("not shown with a read-only disk: mounting is refused here");
        return;
    };
    let path = disk.join("history.db");
    let said = refusal(folder.path(), &path, 2);
    assert!(said.contains(&disk.display().to_string()), "{said}");
    assert!(said.to_lowercase().contains("read-only"), "{said}");
}

#[test]
fn a_damaged_history_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let mut hub = TestHub::dev();
    for number in 0..200 {
        let data = format!("{number} {}", "x".repeat(1000));
        hub.published(&[("topic", TOPIC), ("data", &data)]);
    }
    assert!(hub.stop());
    let whole = fs::read(hub.data().join("history.db")).unwrap();
    let damaged = |range: std::ops::Range<usize>| {
        let mut bytes = whole.clone();
        bytes[range].fill(0xa5);
        bytes
    };
    let cases = [
        (
            "another file",
            b"Dear diary, nothing happened today.".to_vec(),
        ),
        ("the header's name", damaged(0..16)),
        ("the rest of the header", damaged(16..100)),
        ("the first page", damaged(100..4096)),
        ("the whole header page", damaged(0..4096)),
        ("another database", other_database()),
    ];
    for (what, bytes) in cases {
        fs::write(&path, &bytes).unwrap();
        let said = refusal(folder.path(), &path, 1);
        assert!(said.contains(&path.display().to_string()), "{what}: {said}");
        assert_eq!(
            fs::read(&path).unwrap(),
            bytes,
            "{what}: the file was touched"
        );
        println!("{what}: {}", said.lines().last().unwrap_or_default());
    }
}

/// What is damaged cannot be sent again, but all the rest goes on, and operators know.
#[test]
fn a_damaged_page_is_told_and_the_rest_goes_on() {
    let mut hub = damaged_hub("", Place::Table, b"number 100 ");
    let token = serving::token();
    assert_eq!(ready(&hub).status, 200, "nobody has looked yet");
    let poll = |cursor: &str| {
        let asked = Request::get(&format!("{HUB_PATH}?match={TOPIC}"));
        hub.request(
            asked
                .header("Prefer", "wait=0")
                .header("Last-Event-ID", cursor),
        )
    };
    for _ in 0..3 {
        let refused = poll("earliest");
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.problem(), "history-unreadable");
    }
    let unready = ready(&hub);
    assert_eq!(unready.status, 503);
    let reason = unready.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("the history cannot be read"), "{reason}");
    assert!(
        reason.contains("malformed") || reason.contains("damaged"),
        "{reason}"
    );
    assert!(hub.metric("tidings_history_read_faults_total") >= 3.0);

    // Who needs nothing of it is served, and so are publishers.
    let mut live = hub.subscribe(&format!("match={TOPIC}"));
    let answer = publish(&hub, &token, "live");
    assert_eq!(answer.status, 200);
    assert_eq!(live.event().data, "live");
    publish(&hub, &token, "next");
    let next = poll(&answer.text());
    assert_eq!(next.json()["updates"][0]["data"], "next");

    let said = |hub: &TestHub| hub.log().matches("the history cannot be read").count();
    assert_eq!(said(&hub), 1, "{}", hub.log());
    assert!(hub.log().contains("malformed") || hub.log().contains("damaged"));
    // The next start says it again when somebody looks again.
    hub.kill();
    hub.restart();
    assert_eq!(ready(&hub).status, 200);
    let mut stream = from(&hub, "earliest");
    assert!(
        stream
            .next_decoded()
            .is_none_or(|it| matches!(it, Decoded::Comment(_)))
    );
    wait_until("readiness is off", || {
        (ready(&hub).status == 503).then_some(())
    });
    wait_until("it is said", || (said(&hub) > 0).then_some(()));
    assert_eq!(said(&hub), 1, "{}", hub.log());
}

#[test]
fn damage_that_retention_finds_is_told_and_publishing_goes_on() {
    let hub = damaged_hub(
        "[history]\nretain_updates = 10\n",
        Place::Table,
        b"number 150 ",
    );
    let unready = wait_until("readiness is off", || {
        Some(ready(&hub)).filter(|answer| answer.status == 503)
    });
    let reason = unready.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("the history cannot be read"), "{reason}");
    let mut live = hub.subscribe(&format!("match={TOPIC}"));
    let token = serving::token();
    for number in 0..3 {
        // Each at a later look of retention.
        let faults = hub.metric("tidings_history_read_faults_total");
        hub.wait_for_metric("tidings_history_read_faults_total", |it| it > faults);
        let data = number.to_string();
        assert_eq!(publish(&hub, &token, &data).status, 200);
        assert_eq!(live.event().data, data);
    }
    let said = hub.log().matches("retention stopped").count();
    assert_eq!(said, 1, "{}", hub.log());
}

#[test]
fn damage_that_a_write_finds_stops_publishing_and_not_the_hub() {
    // In the index of publishers' ids, which only updates with such ids are written to.
    let mut hub = damaged_hub("", Place::Index, b"urn:own:150");
    let token = serving::token();
    assert_eq!(publish(&hub, &token, "no own id").status, 200);
    let with_id = |number: usize| {
        let id = format!("urn:own:{number}5");
        hub.publish_as(&token, &[("topic", TOPIC), ("data", "x"), ("id", &id)])
    };
    let refused = (140..160)
        .map(with_id)
        .find(|answer| answer.status != 200)
        .expect("an id that belongs on the damaged page");
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (503, "history-unavailable")
    );
    assert_eq!(publish(&hub, &token, "no own id").status, 503);
    let unready = ready(&hub);
    assert_eq!(unready.status, 503);
    let reason = unready.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("the history takes no updates"), "{reason}");
    let said = hub
        .log()
        .matches("the history accepts no further updates")
        .count();
    assert_eq!(said, 1, "{}", hub.log());
    // What is whole is still served.
    let served = read(&mut from(&hub, "earliest"), 300);
    assert!(served[299].1.starts_with("number 299"));
    assert!(hub.stop());
}

/// Where a page is damaged.
#[derive(PartialEq, Eq)]
enum Place {
    Table,
    Index,
}

/// Starts a hub on a history of three hundred updates of which the page with this text is damaged.
fn damaged_hub(more: &str, place: Place, text: &[u8]) -> TestHub {
    let token = serving::token();
    let mut hub = TestHub::serve(&serving::toml(QUIET));
    for number in 0..300 {
        let data = format!("number {number} {}", "x".repeat(1000));
        let id = format!("urn:own:{number}");
        let fields = [("topic", TOPIC), ("data", data.as_str()), ("id", &id)];
        assert_eq!(hub.publish_as(&token, &fields).status, 200);
    }
    assert!(hub.stop());
    let path = hub.data().join("history.db");
    let mut bytes = fs::read(&path).unwrap();
    let has = |page: &[u8], text: &[u8]| page.windows(text.len()).any(|it| it == text);
    let damaged = bytes
        .chunks_mut(4096)
        .find(|page| has(page, text) && has(page, b"xxxxxxxx") == (place == Place::Table));
    damaged.expect("such a page").fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let settings = hub.folder().join("tidings.toml");
    let toml = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{toml}{more}")).unwrap();
    hub.restart();
    hub
}

/// The first page of a database of nobody: valid, with another application's id.
fn other_database() -> Vec<u8> {
    let mut hub = TestHub::serve(&serving::toml(""));
    assert!(hub.stop());
    let mut bytes = fs::read(hub.data().join("history.db")).unwrap();
    // SQLite's file format, 1.3: the application id.
    bytes[68..72].copy_from_slice(b"ABCD");
    bytes
}

#[test]
fn two_hubs_on_one_history_are_one_too_many() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("history.db");
    let toml = serving::toml("[history]\npath = \"FOLDER/history.db\"\n");
    let mut hub = TestHub::serve_in(Arc::clone(&folder), &toml, &[]);
    let second = tempfile::tempdir().unwrap();
    let said = refusal(second.path(), &path, 1);
    let expected = format!(
        "another hub (process {}) uses the history {}",
        hub.pid(),
        path.display()
    );
    assert!(said.contains(&expected), "{said}");
    // The first one has not noticed.
    assert_eq!(publish(&hub, &serving::token(), "still here").status, 200);
    hub.kill();
    // The lock ended with its holder.
    hub.restart();
}

/// Starts a hub that must refuse its history. Returns what it said; `expected` is its exit code.
#[track_caller]
fn refusal(folder: &Path, history: &Path, expected: i32) -> String {
    let more = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[history]\npath = {:?}\n[data]\ndir = {:?}\n",
        history.display().to_string(),
        folder.join("data").display().to_string(),
    );
    let file = folder.join("refused.toml");
    fs::write(&file, serving::toml(&more)).unwrap();
    let (code, output, error) = run(&["serve", "--config", &file.display().to_string()], &[]);
    assert_eq!(code, expected, "{output}{error}");
    format!("{output}{error}")
}

fn publish(hub: &TestHub, token: &str, data: &str) -> Answer {
    hub.publish_as(token, &[("topic", TOPIC), ("data", data)])
}

fn ready(hub: &TestHub) -> Answer {
    hub.request(Request::get("/health/ready"))
}

fn from(hub: &TestHub, last_event_id: &str) -> EventStream {
    let target = format!("{HUB_PATH}?match={TOPIC}");
    hub.subscribe_by(Request::get(&target).header("Last-Event-ID", last_event_id))
}

/// Returns ids and data of the next `count` events.
fn read(stream: &mut EventStream, count: usize) -> Vec<(String, String)> {
    let events = (0..count).map(|_| stream.event());
    events
        .map(|event| (event.last_event_id, event.data))
        .collect()
}

/// A file system of its own, gone when dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// An ext4 with blocks of a kilobyte, in the file `image`.
    fn small_blocks(folder: &Path, image: &Path) -> Option<Self> {
        fs::File::create(image)
            .and_then(|file| file.set_len(16 * 1024 * 1024))
            .unwrap();
        let mut make = Command::new("mkfs.ext4");
        make.args(["-q", "-m", "0", "-b", "1024"]).arg(image);
        let mut mount = Command::new("mount");
        mount.args(["-o", "loop"]).arg(image).arg(folder);
        let done = |command: &mut Command| {
            let output = command.output();
            output.is_ok_and(|output| output.status.success())
        };
        (done(&mut make) && done(&mut mount)).then(|| Self(folder.to_owned()))
    }

    fn tmpfs(folder: &Path, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(folder);
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // `-l`: a hub of a failed test may still be on it.
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}
