//! The hub is stopped under load, by `kill -9` or by SIGTERM, and starts again: acknowledged updates are
//! there, and subscribers resume without a gap or a duplicate.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tidings_wire::sse_decoder::Event;

use crate::harness::{
    Connection, DEADLINE, EventStream, HUB_PATH, Request, TestHub, note, wait_until,
};

const PUBLISHERS: usize = 4;
const TOPIC: &str = "https://example.com/crash";

/// Lives of the hub in the ordinary and in the long form.
const ROUNDS: u64 = 4;
const MANY_ROUNDS: u64 = 40;

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    check(Blow::Kill, ROUNDS);
}

#[test]
fn nothing_acknowledged_is_lost_by_sigterm() {
    check(Blow::Terminate, ROUNDS);
}

#[test]
#[ignore = "slow: forty lives of a hub"]
fn nothing_acknowledged_is_lost_by_many_kills() {
    check(Blow::Kill, MANY_ROUNDS);
}

#[test]
#[ignore = "slow: forty lives of a hub"]
fn nothing_acknowledged_is_lost_by_many_sigterms() {
    check(Blow::Terminate, MANY_ROUNDS);
}

#[test]
fn any_stored_event_can_be_resumed_from_after_a_crash() {
    let mut hub = TestHub::dev();
    let ids: Vec<String> = (0..300)
        .map(|number| publish_number(&hub, number))
        .collect();
    hub.kill();
    hub.restart();
    let mut rng = fastrand::Rng::with_seed(1);
    let random = (0..10).map(|_| rng.usize(..ids.len()));
    for number in random.chain([0, ids.len() - 1]) {
        let mut stream = subscribe(&hub, &ids[number]);
        assert_eq!(
            stream.head.header("mercure-last-event-id"),
            Some(ids[number].as_str())
        );
        let after = stream.data(ids.len() - number - 1);
        let expected: Vec<String> = (number + 1..ids.len()).map(|n| n.to_string()).collect();
        assert_eq!(after, expected, "after event {number}");
    }
    let mut unknown = subscribe(&hub, "urn:uuid:5a4dd5b1-7e8b-4f3c-8d8f-1f2e3d4c5b6a");
    assert_eq!(
        unknown.head.header("mercure-last-event-id"),
        Some("earliest")
    );
    assert_eq!(unknown.data(ids.len()).len(), ids.len());
}

/// How a life of the hub ends.
#[derive(Clone, Copy)]
enum Blow {
    Kill,
    Terminate,
}

fn check(blow: Blow, rounds: u64) {
    let mut hub = TestHub::dev();
    let mut rng = fastrand::Rng::with_seed(7);
    let mut acknowledged: Vec<Vec<(String, String)>> = Vec::new();
    let mut received: Vec<Event> = Vec::new();
    for round in 0..rounds {
        let last = received
            .last()
            .map_or("earliest", |event| event.last_event_id.as_str());
        let subscriber = follow(subscribe(&hub, last));
        let count = Arc::new(AtomicUsize::new(0));
        let token = hub.publisher_token();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|number| {
                let (address, token) = (hub.address, token.clone());
                let name = format!("round {round} publisher {number}");
                let count = Arc::clone(&count);
                std::thread::spawn(move || publish_until_cut(address, &token, &name, &count))
            })
            .collect();
        let enough = rng.usize(1..200);
        wait_until("enough is published", || {
            (count.load(Ordering::Relaxed) >= enough).then_some(())
        });
        match blow {
            Blow::Kill => hub.kill(),
            Blow::Terminate => assert!(hub.stop(), "{}", hub.log()),
        }
        acknowledged.extend(
            publishers
                .into_iter()
                .map(|publisher| publisher.join().unwrap()),
        );
        received.extend(subscriber.join().unwrap());
        hub.restart();
    }
    // A mark that tells where the history ends.
    hub.published(&[("topic", TOPIC), ("data", "the end")]);
    let kept = read_to_the_end(&mut subscribe(&hub, "earliest"));
    let last = received
        .last()
        .expect("some events came")
        .last_event_id
        .clone();
    received.extend(read_to_the_end(&mut subscribe(&hub, &last)));
    assert_eq!(
        received, kept,
        "what was followed through all lives is the history"
    );
    check_acknowledged(&acknowledged, &kept);
}

/// Checks that each publisher's acknowledged updates are kept once, with their ids, in order.
fn check_acknowledged(acknowledged: &[Vec<(String, String)>], kept: &[Event]) {
    let mut places = HashMap::new();
    for (place, event) in kept.iter().enumerate() {
        let known = places.insert(event.data.as_str(), (place, event.last_event_id.as_str()));
        assert_eq!(known, None, "{} is kept twice", event.data);
    }
    let mut total = 0;
    for publisher in acknowledged {
        let mut before = None;
        for (data, id) in publisher {
            let Some(&(place, kept_id)) = places.get(data.as_str()) else {
                panic!("{data} was acknowledged as {id} and is lost");
            };
            assert_eq!(kept_id, id, "{data}");
            assert!(before < Some(place), "{data} is out of order");
            before = Some(place);
            total += 1;
        }
    }
    note(&format!("{total} acknowledged, {} kept", kept.len()));
}

/// Publishes numbered updates on one connection until it breaks; returns data and id of each that
/// was acknowledged. Nothing is sent twice, so what is kept twice is the hub's doing.
fn publish_until_cut(
    address: SocketAddr,
    token: &str,
    name: &str,
    count: &AtomicUsize,
) -> Vec<(String, String)> {
    let mut acknowledged = Vec::new();
    let mut socket = TcpStream::connect(address).expect("the hub accepts connections");
    socket.set_nodelay(true).expect("an option");
    socket.set_read_timeout(Some(DEADLINE)).expect("an option");
    let connection = Connection::over(address, io::empty());
    for number in 0.. {
        let data = format!("{name} update {number}");
        let form = [("topic", TOPIC), ("data", data.as_str())];
        let request = connection.wire(&Request::post(HUB_PATH).bearer(token).form(&form));
        match exchange(&mut socket, &request) {
            Some((200, id)) => acknowledged.push((data, id)),
            // A hub that is being stopped may say so; one that is killed says nothing.
            Some((503, _)) | None => break,
            Some((status, text)) => panic!("{status}: {text}"),
        }
        count.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

/// Returns status and body of a whole answer; nothing if the connection broke before its end.
fn exchange(socket: &mut TcpStream, request: &[u8]) -> Option<(u16, String)> {
    socket.write_all(request).ok()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return None,
            Ok(count) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("no answer in time"),
            Err(_) => return None,
        }
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.parse::<usize>().ok())?
        });
        if body.len() == length.expect("a length") {
            let status = head
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok());
            return Some((status.expect("a status"), body.to_owned()));
        }
    }
}

/// Collects events until the stream breaks off, possibly within an event.
fn follow(mut stream: EventStream) -> JoinHandle<Vec<Event>> {
    std::thread::spawn(move || std::iter::from_fn(|| stream.next_event()).collect())
}

fn read_to_the_end(stream: &mut EventStream) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        let event = stream.event();
        let ended = event.data == "the end";
        events.push(event);
        if ended {
            return events;
        }
    }
}

/// Subscribes without chunks, so that a stream may end anywhere.
fn subscribe(hub: &TestHub, last_event_id: &str) -> EventStream {
    let target = format!("{HUB_PATH}?match={TOPIC}");
    hub.subscribe_by(
        Request::get(&target)
            .http10()
            .header("Last-Event-ID", last_event_id),
    )
}

fn publish_number(hub: &TestHub, number: usize) -> String {
    hub.published(&[("topic", TOPIC), ("data", &number.to_string())])
}
