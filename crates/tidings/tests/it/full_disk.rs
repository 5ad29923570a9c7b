//! A disk without room, a folder that cannot be written, a file that is damaged or in use.

use std::fs;
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

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    fs::write(folder.path().join("occupied"), "a file").unwrap();
    let path = folder.path().join("occupied/data/history.db");
    let said = refusal(folder.path(), &path);
    assert!(said.contains("occupied/data"), "{said}");

    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let Some(_mounted) = Mounted::tmpfs(&disk, "ro") else {
        println!("not shown with a read-only disk: mounting is refused here");
        return;
    };
    let path = disk.join("history.db");
    let said = refusal(folder.path(), &path);
    assert!(said.contains(&path.display().to_string()), "{said}");
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
        let said = refusal(folder.path(), &path);
        assert!(said.contains(&path.display().to_string()), "{what}: {said}");
        assert_eq!(
            fs::read(&path).unwrap(),
            bytes,
            "{what}: the file was touched"
        );
        println!("{what}: {}", said.lines().last().unwrap_or_default());
    }
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
    let said = refusal(second.path(), &path);
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

/// Starts a hub that must refuse its history; returns what it said.
#[track_caller]
fn refusal(folder: &Path, history: &Path) -> String {
    let more = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[history]\npath = {:?}\n[data]\ndir = {:?}\n",
        history.display().to_string(),
        folder.join("data").display().to_string(),
    );
    let file = folder.join("refused.toml");
    fs::write(&file, serving::toml(&more)).unwrap();
    let (code, output, error) = run(&["serve", "--config", &file.display().to_string()], &[]);
    assert_eq!(code, 1, "{output}{error}");
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

/// A file system of memory, gone when dropped.
struct Mounted(PathBuf);

impl Mounted {
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
