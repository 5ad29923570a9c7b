//! A hub hands its listeners and its history over to the next process: nobody is refused, and no update is
//! lost or duplicated.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::tokens::{settings, token_for_all};
use crate::harness::{
    Connection, EventStream, HUB_PATH, Request, TestHub, command, note, run, wait_until,
};

const SERVED: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
                      [server]\ndrain_secs = 1\nshards = 2\n";
const SUBSCRIBERS: usize = 20;
/// Connections whose requests come late: so many that some streams move to another shard.
const WAITING: usize = 200;
const RESTARTS: usize = 3;
/// Long enough that an earlier process is there while it is asked about, for a test that waits for its end.
const DRAINS: &str = "[subscribe]\nanonymous = true\n[server]\ndrain_secs = 5\n";
/// The same for a test that does not.
const STAYS: &str = "[subscribe]\nanonymous = true\n[server]\ndrain_secs = 60\n";
const TAKE_OVER: &str = "--take-over";

#[test]
fn restarts_in_a_row_refuse_nobody_and_lose_nothing() {
    let mut hub = TestHub::serve(&settings(SERVED));
    let stop = Arc::new(AtomicBool::new(false));
    let published = Arc::new(AtomicU64::new(0));
    let publishers: Vec<_> = [Kept::Yes, Kept::No]
        .into_iter()
        .map(|kept| publisher(&hub, kept, &stop, &published))
        .collect();
    let (count, subscribers) = subscribers(&hub);
    for turn in 0..RESTARTS {
        let before = count.load(Ordering::Acquire);
        let next = hub.next(None);
        let mut earlier = std::mem::replace(&mut hub, next);
        let status = earlier.wait_for_exit();
        assert!(status.success(), "{status}: {}", earlier.log());
        let log = earlier.log();
        assert!(log.contains("another process has taken over"), "{log}");
        assert_eq!(hub.address, earlier.address, "restart {turn}");
        wait_until("everybody hears of the new process", || {
            (count.load(Ordering::Acquire) >= before + 20 * SUBSCRIBERS as u64).then_some(())
        });
        wait_until("the new process has the history for itself", || {
            hub.log()
                .contains("the earlier process has ended")
                .then_some(())
        });
    }
    stop.store(true, Ordering::Release);
    let mut longest = Duration::ZERO;
    let mut sent = Vec::new();
    for publisher in publishers {
        let (ids, wait) = publisher.join().expect("every publish is answered by 200");
        longest = longest.max(wait);
        sent.extend(ids);
    }
    // The last one tells the subscribers that it is over.
    let answer = hub.publish_as(&token_for_all(), &[("topic", "a"), ("data", "end")]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    sent.sort_unstable();
    for subscriber in subscribers {
        let (mut got, pause) = subscriber.join().expect("a subscriber");
        longest = longest.max(pause);
        got.sort_unstable();
        assert_eq!(got, sent, "lost, or twice");
    }
    note(&format!("{} updates, longest wait {longest:?}", sent.len()));
}

#[test]
fn a_take_over_of_a_stopped_process_says_what_it_waits_for() {
    let hub = TestHub::serve(&settings(SERVED));
    hub.signal(rustix::process::Signal::STOP);
    let mut arguments = hub.arguments();
    arguments.push(TAKE_OVER.to_owned());
    let mut next = command(&arguments, &[]).spawn().expect("the binary starts");
    let mut lines = BufReader::new(next.stderr.take().expect("piped")).lines();
    let mut wait_for = |text: &str| {
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains(text)));
        line.expect("the line comes before the end")
            .expect("a line")
    };
    let said = wait_for("waiting for the running hub");
    assert!(said.contains("\"stopped\":true"), "{said}");
    assert!(said.contains(&format!("\"pid\":{}", hub.pid())), "{said}");
    hub.signal(rustix::process::Signal::CONT);
    wait_for("took over from a running hub");
    drop(next.kill());
    drop(next.wait());
}

#[test]
fn another_build_takes_over_under_another_name() {
    let mut hub = TestHub::serve(&settings(SERVED));
    let copy = hub.folder().join("tidings-new");
    std::fs::copy(env!("CARGO_BIN_EXE_tidings"), &copy).unwrap();
    let first = publish(&hub, "by the old build");
    let next = hub.next(Some(copy));
    assert!(hub.wait_for_exit().success());
    publish(&next, "by the new build");
    let mut stream = next.subscribe("match=a&last_event_id=earliest");
    assert_eq!(stream.event().last_event_id, first);
    assert_eq!(stream.event().data, "by the new build");
    // The socket is that of the new process.
    assert!(next.data().join("control.sock").exists());
}

#[test]
fn a_process_that_cannot_start_changes_nothing() {
    let hub = TestHub::serve(&settings(SERVED));
    let mut stream = hub.subscribe("match=a");
    let toml = hub.folder().join("tidings.toml");
    let good = std::fs::read_to_string(&toml).unwrap();
    // It gets the listeners, and then finds a port that is taken.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    std::fs::write(
        &toml,
        format!("{good}[flash]\nallow = [\"a.example:443\"]\naddress = \"{address}\"\n"),
    )
    .unwrap();
    let (code, _, error) = hub.run_next();
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("another program using this port"), "{error}");
    // Another history is not what was handed over.
    std::fs::write(&toml, format!("{good}[history]\npath = \"other.db\"\n")).unwrap();
    let (code, _, error) = hub.run_next();
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("use the same history"), "{error}");
    publish(&hub, "still here");
    assert_eq!(stream.event().data, "still here");
}

#[test]
fn a_process_that_dies_with_the_history_gives_it_back() {
    let hub = TestHub::serve(&settings(SERVED));
    let mut stream = hub.subscribe("match=a");
    publish(&hub, "before");
    assert_eq!(stream.event().data, "before");
    // A peer that speaks as far as it takes to get the history, and goes.
    let mut peer = UnixStream::connect(hub.data().join("control.sock")).unwrap();
    peer.write_all(b"{\"take_over\":{\"version\":1}}\n")
        .unwrap();
    let mut byte = [0];
    while byte != *b"\n" {
        peer.read_exact(&mut byte).unwrap();
    }
    // What carries the descriptors; these are dropped unread.
    peer.write_all(b"\"release\"\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\"done\"\n") {
        peer.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
    // Whoever publishes now waits.
    let publisher = {
        let (address, token) = (hub.address, token_for_all());
        std::thread::spawn(move || {
            let form = [("topic", "a"), ("data", "waited")];
            let request = Request::post(HUB_PATH).bearer(&token).form(&form);
            Connection::open(address).request(&request).status
        })
    };
    wait_until("a publisher waits", || {
        (hub.metric("tidings_relay_queued_updates") > 0.0).then_some(())
    });
    drop(peer);
    assert_eq!(publisher.join().unwrap(), 200);
    assert_eq!(stream.event().data, "waited");
    publish(&hub, "after");
    assert_eq!(stream.event().data, "after");
    assert!(hub.log().contains("did not get ready"), "{}", hub.log());
}

#[test]
fn a_second_take_over_waits_until_the_first_has_drained() {
    let hub = TestHub::serve(&settings(DRAINS));
    let _streams: Vec<_> = (0..SUBSCRIBERS).map(|_| hub.subscribe("match=a")).collect();
    let next = hub.next(None);
    let (_peer, refused) = asks_to_take_over(&next);
    assert!(refused.contains("still drains"), "{refused}");
    wait_until("the earlier process has ended", || {
        asks_to_take_over(&next)
            .1
            .contains("listeners")
            .then_some(())
    });
}

#[test]
fn a_refused_take_over_leaves_an_earlier_one_in_force() {
    let hub = TestHub::serve(&settings(STAYS));
    let _streams: Vec<_> = (0..SUBSCRIBERS).map(|_| hub.subscribe("match=a")).collect();
    let mut kept = Connection::open(hub.address);
    assert_eq!(kept.request(&publication("before")).status, 200);
    let (mut late, offer) = asks_to_take_over(&hub);
    assert!(offer.contains("listeners"), "{offer}");
    let next = hub.next(None);
    let mut stream = next.subscribe("match=a");
    late.write_all(b"\"release\"\n").unwrap();
    let answer = line(&mut late);
    assert!(answer.contains("taken over already"), "{answer}");
    // By the old process to the one that has taken over.
    assert_eq!(kept.request(&publication("after")).status, 200);
    assert_eq!(stream.event().data, "after");
}

#[test]
fn the_ends_of_subscriptions_are_left_to_the_next_process() {
    let presence = format!("{SERVED}[presence]\nenabled = true\n");
    let mut hub = TestHub::serve(&settings(&presence));
    let streams: Vec<_> = (0..SUBSCRIBERS).map(|_| hub.subscribe("match=a")).collect();
    hub.wait_for_metric("tidings_presence_subscriptions", |live| {
        live == SUBSCRIBERS as f64
    });
    let next = hub.next(None);
    assert!(hub.wait_for_exit().success());
    assert!(!hub.log().contains("not all ends"), "{}", hub.log());
    drop(streams);
    let ending = "ending subscriptions that an earlier run left behind";
    assert!(next.log().contains(ending), "{}", next.log());
}

/// Its connection was accepted before, and its stream ends as it begins: that is an answer, too.
#[test]
fn a_request_on_a_connection_of_the_earlier_process_is_answered() {
    let hub = TestHub::serve(&settings(&format!("{STAYS}shards = 2\n")));
    let _streams: Vec<_> = (0..SUBSCRIBERS).map(|_| hub.subscribe("match=a")).collect();
    let connections: Vec<_> = (0..WAITING)
        .map(|_| Connection::open(hub.address))
        .collect();
    let _next = hub.next(None);
    wait_until("the earlier process drains", || {
        hub.log().contains("stopping").then_some(())
    });
    let request = Request::get(&format!("{HUB_PATH}?match=a"));
    let sent = connections.into_iter().map(|mut connection| {
        connection.send_request(&request);
        connection
    });
    for mut connection in sent.collect::<Vec<_>>() {
        assert_eq!(connection.read_head().status, 200);
        assert!(connection.read_to_end().ends_with(b"0\r\n\r\n"));
    }
}

fn publication(data: &str) -> Request {
    let form = [("topic", "a"), ("data", data)];
    Request::post(HUB_PATH).bearer(&token_for_all()).form(&form)
}

/// Asks a hub for its listeners. Returns the connection and the answer; the descriptors are not read.
fn asks_to_take_over(hub: &TestHub) -> (UnixStream, String) {
    let mut peer = UnixStream::connect(hub.data().join("control.sock")).unwrap();
    peer.write_all(b"{\"take_over\":{\"version\":1}}\n")
        .unwrap();
    let answer = line(&mut peer);
    (peer, answer)
}

/// Reads up to the end of a line that is longer than what carries descriptors.
fn line(peer: &mut UnixStream) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 2 || !line.ends_with(b"\n") {
        peer.read_exact(&mut byte).unwrap();
        line.extend(byte);
    }
    String::from_utf8(line).unwrap()
}

#[test]
fn nothing_to_take_over_is_no_mistake() {
    let mut hub = TestHub::serve(&settings(SERVED));
    let first = publish(&hub, "kept");
    hub.keep_address();
    assert!(hub.stop());
    let next = hub.next(None);
    let mut stream = next.subscribe("match=a&last_event_id=earliest");
    assert_eq!(stream.event().last_event_id, first);
    let log = next.log();
    assert!(log.contains("there is nothing to take over"), "{log}");
}

#[test]
fn a_process_that_ends_while_it_is_asked_is_not_taken_over() {
    let mut hub = TestHub::serve(&settings(SERVED));
    let first = publish(&hub, "kept");
    hub.keep_address();
    assert!(hub.stop());
    // A process that was killed after it had accepted the connection.
    let socket = UnixListener::bind(hub.data().join("control.sock")).unwrap();
    let killed = std::thread::spawn(move || drop(socket.accept().unwrap()));
    let next = hub.next(None);
    killed.join().unwrap();
    let mut stream = next.subscribe("match=a&last_event_id=earliest");
    assert_eq!(stream.event().last_event_id, first);
}

#[test]
fn connections_wait_in_a_socket_that_is_passed() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("tidings.toml");
    let data = folder.path().join("data");
    let text = format!(
        "[[listen]]\naddress = \"{address}\"\n[data]\ndir = {:?}\n{}",
        data.display().to_string(),
        settings("[subscribe]\nanonymous = true\n[server]\ndrain_secs = 0\n")
    );
    std::fs::write(&toml, text).unwrap();
    for data in ["by the first process", "by the second process"] {
        // No process runs, and nobody is refused.
        let mut waiting = Connection::open(address);
        let form = [("topic", "a"), ("data", data)];
        let request = Request::post(HUB_PATH).bearer(&token_for_all()).form(&form);
        waiting.send_request(&request);
        let mut process = activated(&socket, &toml);
        assert_eq!(waiting.read_answer(false).status, 200);
        let pid = i32::try_from(process.id()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(process.wait().unwrap().success());
    }
}

/// Starts a hub as a service manager does, with an open socket as descriptor 3.
fn activated(socket: &TcpListener, toml: &Path) -> Child {
    let socket = OwnedFd::from(socket.try_clone().unwrap());
    let script = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    Command::new("/bin/sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_tidings"), "serve"])
        .arg("--config")
        .arg(toml)
        .env_clear()
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether a publisher keeps its connection while it may.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

/// Publishes number after number. Returns them and the longest wait for an answer.
fn publisher(
    hub: &TestHub,
    kept: Kept,
    stop: &Arc<AtomicBool>,
    next: &Arc<AtomicU64>,
) -> JoinHandle<(Vec<u64>, Duration)> {
    let (address, token) = (hub.address, token_for_all());
    let (stop, next) = (Arc::clone(stop), Arc::clone(next));
    std::thread::spawn(move || {
        let mut connection = None;
        let (mut sent, mut longest) = (Vec::new(), Duration::ZERO);
        while !stop.load(Ordering::Acquire) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let text = number.to_string();
            let form = [("topic", "a"), ("data", text.as_str())];
            let request = Request::post(HUB_PATH).bearer(&token).form(&form);
            let began = Instant::now();
            let mut used = connection
                .take()
                .unwrap_or_else(|| Connection::open(address));
            let answer = used.request(&request);
            longest = longest.max(began.elapsed());
            assert_eq!(answer.status, 200, "{}", answer.text());
            sent.push(number);
            let closes = answer.header("Connection") == Some("close");
            if kept == Kept::Yes && !closes {
                connection = Some(used);
            }
        }
        (sent, longest)
    })
}

type Subscriber = JoinHandle<(Vec<u64>, Duration)>;

/// Subscribes until the update `end`, coming back whenever the stream ends. Returns how many updates
/// came to all of them, and each one's numbers and longest pause.
fn subscribers(hub: &TestHub) -> (Arc<AtomicU64>, Vec<Subscriber>) {
    let count = Arc::new(AtomicU64::new(0));
    let one = |stream: EventStream| {
        let (address, count) = (hub.address, Arc::clone(&count));
        std::thread::spawn(move || {
            let mut stream = stream;
            let (mut got, mut cursor) = (Vec::new(), String::new());
            let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
            loop {
                let Some(event) = stream.next_event() else {
                    let query = match cursor.as_str() {
                        "" => "match=a".to_owned(),
                        cursor => format!("match=a&last_event_id={cursor}"),
                    };
                    let request = Request::get(&format!("{HUB_PATH}?{query}"));
                    let connection = Connection::open(address);
                    stream = EventStream::open(connection, &request);
                    continue;
                };
                longest = longest.max(last.elapsed());
                last = Instant::now();
                cursor = event.last_event_id;
                if event.data == "end" {
                    return (got, longest);
                }
                got.push(event.data.parse().unwrap());
                count.fetch_add(1, Ordering::Release);
            }
        })
    };
    // Before the first update, or the first ones would count as lost.
    let streams: Vec<_> = (0..SUBSCRIBERS)
        .map(|_| hub.subscribe("match=a&last_event_id=earliest"))
        .collect();
    let subscribers = streams.into_iter().map(one).collect();
    (count, subscribers)
}

fn publish(hub: &TestHub, data: &str) -> String {
    let answer = hub.publish_as(&token_for_all(), &[("topic", "a"), ("data", data)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

/// How a test starts the next process.
impl TestHub {
    /// Starts the process that takes over from this one, by another program if one is named.
    fn next(&self, program: Option<PathBuf>) -> Self {
        self.successor(program, self.taking_over())
    }

    /// Runs a process that takes over, which ends by itself.
    fn run_next(&self) -> (i32, String, String) {
        let arguments = self.taking_over();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&arguments, &[])
    }

    fn taking_over(&self) -> Vec<String> {
        let mut arguments = self.arguments();
        if !arguments.iter().any(|argument| argument == TAKE_OVER) {
            arguments.push(TAKE_OVER.into());
        }
        arguments
    }
}
