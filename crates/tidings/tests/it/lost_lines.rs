//! Histories that went back: a restored backup, a lost write-ahead log, files that are removed while the hub
//! runs, a copy that is started elsewhere. A subscriber with a cursor of the lost line gets `earliest` and
//! everything stored; no id names two updates.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::harness::serving;
use crate::harness::{HUB_PATH, Request, TestHub, run, wait_until};

const TOPIC: &str = "https://example.com/line";
/// A topic that the subscribers of these tests do not ask for.
const ELSEWHERE: &str = "https://example.com/elsewhere";
/// Updates before the lines part, of the line that is lost, and of the one in its place.
const KEPT: usize = 100;
const LOST: usize = 50;
const NEW: usize = 60;

#[test]
fn a_subscriber_from_before_a_restore_is_told_that_something_is_missing() {
    let mut hub = TestHub::dev();
    let kept = publish(&hub, "kept", KEPT);
    in_folder(&hub.data(), &commands("Backup"));
    let lost = publish(&hub, "lost", LOST);
    assert!(hub.stop(), "{}", hub.log());
    in_folder(&hub.data(), &commands("Restore"));
    hub.restart();
    check_new_line(&hub, &kept, &lost);
}

#[test]
fn an_old_copy_that_a_killed_hub_finds_in_its_place_does_not_pass_for_the_history() {
    let mut hub = TestHub::dev();
    let kept = publish(&hub, "kept", KEPT);
    in_folder(&hub.data(), &commands("Backup"));
    let lost = publish(&hub, "lost", LOST);
    hub.kill();
    in_folder(&hub.data(), &commands("Restore"));
    hub.restart();
    check_new_line(&hub, &kept, &lost);
}

#[test]
fn a_log_that_is_lost_with_the_process_takes_its_ids_with_it() {
    let mut hub = TestHub::dev();
    let kept = publish(&hub, "kept", KEPT);
    // The end of a hub moves the log into the file.
    assert!(hub.stop(), "{}", hub.log());
    hub.restart();
    let lost = publish(&hub, "lost", LOST);
    hub.kill();
    in_folder(&hub.data(), "rm history.db-wal");
    hub.restart();
    check_new_line(&hub, &kept, &lost);
}

#[test]
fn nothing_is_acknowledged_without_the_files_that_it_is_written_to() {
    for gone in [
        "history.db-wal",
        "history.db-shm",
        "history.db-wal history.db-shm",
    ] {
        let mut hub = TestHub::dev();
        let kept = publish(&hub, "kept", KEPT);
        assert!(hub.stop(), "{}", hub.log());
        hub.restart();
        let lost = publish(&hub, "lost", LOST);
        let token = hub.publisher_token();
        in_folder(&hub.data(), &format!("rm {gone}"));
        // The first that comes, before any clock has ticked, or the hub has ended already.
        let form = [("topic", TOPIC), ("data", "in vain")];
        let request = Request::post(HUB_PATH).bearer(&token).form(&form);
        if let Some(status) = status_of(&hub, &request) {
            assert_eq!(status, 503, "{gone}");
        }
        let exit = hub.wait_for_exit();
        assert!(!exit.success());
        let log = hub.log();
        assert!(
            log.contains("was removed or replaced while the hub ran"),
            "{log}"
        );
        hub.restart();
        // Without its index the log is whole; without the log all since the last start is gone.
        if gone == "history.db-shm" {
            let everything: Vec<_> = (0..KEPT).map(|number| format!("kept {number}")).collect();
            let mut stream = resume(&hub, "earliest");
            assert_eq!(stream.data(KEPT), everything);
            for (id, data) in &lost.updates {
                let event = stream.event();
                assert_eq!(
                    (event.last_event_id.as_str(), event.data.as_str()),
                    (&**id, &**data)
                );
            }
        } else {
            check_new_line(&hub, &kept, &lost);
        }
    }
}

#[test]
fn a_copy_started_on_another_machine_does_not_know_the_ids_of_this_one() {
    let mut one = TestHub::dev();
    let kept = publish(&one, "kept", KEPT);
    assert!(one.stop(), "{}", one.log());
    let mut two = TestHub::dev();
    assert!(two.stop(), "{}", two.log());
    fs::copy(one.data().join("history.db"), two.data().join("history.db")).unwrap();
    one.restart();
    two.restart();
    let ones = publish(&one, "of one", LOST);
    let twos = check_new_line(&two, &kept, &ones);
    // And the other way round: this hub has got as far, with other updates.
    check_lost(&one, &twos, KEPT + LOST);
    check_kept(&one, &kept, "of one");
}

#[test]
fn a_hub_whose_file_was_replaced_keeps_others_from_its_path_and_ends() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let toml = serving::toml("[history]\npath = \"FOLDER/history.db\"\n");
    let mut hub = TestHub::serve_in(Arc::clone(&folder), &toml, &[]);
    let publish = |hub: &TestHub| hub.publish_as(&serving::token(), &[("topic", TOPIC)]);
    assert_eq!(publish(&hub).status, 200);
    let path = folder.path().join("history.db");
    fs::copy(&path, folder.path().join("clone.db")).unwrap();
    // A clone in its place under the same lock: whoever starts now is refused, before or after the
    // running hub has noticed.
    let config = folder.path().join("tidings.toml");
    fs::rename(folder.path().join("clone.db"), &path).unwrap();
    let other = run(&["serve", "--config", config.to_str().unwrap()], &[]);
    wait_until("a hub notices that its file is another", || {
        hub.log().contains("was removed or replaced").then_some(())
    });
    assert_ne!(other.0, 0);
    assert!(other.2.contains("another hub"), "{}", other.2);
    assert!(!hub.wait_for_exit().success());
    hub.restart();
    assert_eq!(publish(&hub).status, 200);
}

/// A line of history: what was published, and cursors that the hub gave within it.
struct Line {
    /// The ids and the data, in order.
    updates: Vec<(String, String)>,
    /// Answers to a stream and a poll without an update of their own: where each of them stood.
    standing: Vec<String>,
}

impl Line {
    fn ids(&self) -> impl Iterator<Item = &String> {
        self.updates.iter().map(|(id, _)| id)
    }
}

/// Publishes `count` updates. Every tenth has an id of its publisher.
fn publish(hub: &TestHub, data: &str, count: usize) -> Line {
    let mut updates = Vec::new();
    for number in 0..count {
        let text = format!("{data} {number}");
        let own = format!("urn:example:{data}:{number}");
        let mut form = vec![("topic", TOPIC), ("data", text.as_str())];
        if number % 10 == 9 {
            form.push(("id", own.as_str()));
        }
        updates.push((hub.published(&form), text));
    }
    hub.published(&[("topic", ELSEWHERE), ("data", data)]);
    // A shard that has not reached the update yet is at an earlier one.
    let is_new = |id: &String| updates.iter().all(|(known, _)| known != id);
    let stood = wait_until("a stream stands at the end", || {
        let stream = hub.subscribe(&format!("match={TOPIC}"));
        let stood = stream.head.header("mercure-last-event-id").unwrap();
        Some(stood.to_owned()).filter(is_new)
    });
    let polled = wait_until("a poll stands at the end", || {
        let polled = poll(hub, &updates[count - 1].0);
        assert_eq!(polled["updates"].as_array().unwrap().len(), 0);
        let stood = polled["last_event_id"].as_str().unwrap();
        Some(stood.to_owned()).filter(is_new)
    });
    let standing = vec![stood, polled];
    Line { updates, standing }
}

/// Publishes in place of `lost`, and checks the answers to its cursors and to those of the kept updates.
fn check_new_line(hub: &TestHub, kept: &Line, lost: &Line) -> Line {
    // At once, as long as the history has not come as far again.
    check_lost(hub, lost, KEPT);
    let new = publish(hub, "new", NEW);
    check_lost(hub, lost, KEPT + NEW);
    check_kept(hub, kept, "new");
    let all = kept.ids().chain(lost.ids()).chain(new.ids());
    let mut seen = HashSet::new();
    assert!(
        all.into_iter().all(|id| seen.insert(id)),
        "an id was given twice"
    );
    assert!(new.standing.iter().all(|id| !lost.standing.contains(id)));
    let log = hub.log();
    assert!(log.contains("the history went back"), "{log}");
    new
}

/// Checks that a cursor of `lost` is answered with `earliest` and all `count` updates.
#[track_caller]
fn check_lost(hub: &TestHub, lost: &Line, count: usize) {
    for cursor in lost.ids().chain(&lost.standing) {
        let stream = resume(hub, cursor);
        let answered = stream.head.header("mercure-last-event-id");
        assert_eq!(answered, Some("earliest"), "{cursor}");
    }
    for cursor in [&lost.updates[LOST - 2].0, &lost.standing[0]] {
        let all = resume(hub, cursor).data(count);
        assert_eq!(
            (all[0].as_str(), all[KEPT - 1].as_str()),
            ("kept 0", "kept 99")
        );
        let polled = poll(hub, cursor);
        assert_eq!(polled["updates"].as_array().unwrap().len(), count);
        assert_eq!(polled["updates"][0]["data"], "kept 0");
    }
}

/// Checks that a cursor from before the lines parted continues with the updates of `data`.
#[track_caller]
fn check_kept(hub: &TestHub, kept: &Line, data: &str) {
    for (number, (id, _)) in kept.updates.iter().enumerate().step_by(9) {
        let mut stream = resume(hub, id);
        let answered = stream.head.header("mercure-last-event-id");
        assert_eq!(answered, Some(id.as_str()), "{number}");
        let next = match number + 1 {
            KEPT => format!("{data} 0"),
            next => format!("kept {next}"),
        };
        assert_eq!(stream.data(1), [next]);
    }
    for standing in &kept.standing {
        let mut stream = resume(hub, standing);
        let answered = stream.head.header("mercure-last-event-id");
        assert_eq!(answered, Some(standing.as_str()));
        assert_eq!(stream.data(1), [format!("{data} 0")]);
    }
}

fn resume(hub: &TestHub, cursor: &str) -> crate::harness::EventStream {
    let target = format!("{HUB_PATH}?match={TOPIC}");
    hub.subscribe_by(Request::get(&target).header("Last-Event-ID", cursor))
}

fn poll(hub: &TestHub, cursor: &str) -> serde_json::Value {
    let target = format!("{HUB_PATH}?match={TOPIC}");
    let request = Request::get(&target)
        .header("Last-Event-ID", cursor)
        .header("Prefer", "wait=0");
    hub.request(request).json()
}

/// Returns the status of the answer, or nothing if the hub has ended before it came.
fn status_of(hub: &TestHub, request: &Request) -> Option<u16> {
    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(hub.address).ok()?;
    let connection = crate::harness::Connection::over(hub.address, std::io::empty());
    socket.write_all(&connection.wire(request)).ok()?;
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).ok()?;
    let status = std::str::from_utf8(&answer[9..]).unwrap();
    Some(status.parse().unwrap())
}

/// Returns the commands that the guide gives under a title.
fn commands(title: &str) -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/history.md");
    let guide = fs::read_to_string(guide).unwrap();
    let (_, part) = guide.split_once(&format!("## {title}\n")).unwrap();
    let (_, block) = part.split_once("```console\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[track_caller]
fn in_folder(folder: &Path, commands: &str) {
    let status = Command::new("sh")
        .args(["-ec", commands])
        .current_dir(folder)
        .status();
    assert!(status.unwrap().success(), "{commands}");
}
