//! How a hub stops and starts again, and which host names it answers for.

use std::time::{Duration, Instant};

use crate::harness::tokens::{settings, token_for_all};
use crate::harness::{Answer, Connection, HUB_PATH, Request, TestHub, wait_until};

const SERVED: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n";

#[test]
fn a_drain_turns_readiness_off_ends_streams_in_good_form_and_exits_with_0() {
    let mut hub = TestHub::serve(&settings(&format!("{SERVED}[server]\ndrain_secs = 3\n")));
    hub.keep_address();
    let first = publish(&hub, "before the drain");
    let streams: Vec<_> = (0..8).map(|_| hub.subscribe("match=a")).collect();
    let readers: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            std::thread::spawn(move || {
                // The end of the stream is its last chunk: a broken connection fails here.
                while stream.next_event().is_some() {}
                assert!(stream.into_connection().read_to_end().is_empty());
                Instant::now()
            })
        })
        .collect();
    let ready = |hub: &TestHub| -> Answer {
        let admin = hub.admin.expect("the operators' listener");
        Connection::open(admin).request(&Request::get("/health/ready"))
    };
    assert_eq!(ready(&hub).status, 200);
    hub.terminate();
    let unready = wait_until("readiness goes off", || {
        Some(ready(&hub)).filter(|answer| answer.status == 503)
    });
    assert!(
        unready.text().contains("being stopped"),
        "{}",
        unready.text()
    );
    // Nobody else listens: who publishes or subscribes now is served.
    publish(&hub, "during the drain");
    let mut late = hub.subscribe("match=a");
    publish(&hub, "to a late stream");
    assert_eq!(late.event().data, "to a late stream");
    let ends: Vec<Instant> = readers
        .into_iter()
        .map(|reader| reader.join().expect("a stream"))
        .collect();
    let spread = *ends.iter().max().unwrap() - *ends.iter().min().unwrap();
    assert!(
        spread >= Duration::from_millis(500),
        "all came back within {spread:?}"
    );
    assert_eq!(late.next_event(), None);
    assert!(hub.wait_for_exit().success());

    // The address and the history are free at once.
    let address = hub.address;
    hub.restart();
    assert_eq!(hub.address, address);
    let mut stream = hub.subscribe("match=a&last_event_id=earliest");
    assert_eq!(stream.event().last_event_id, first);
}

#[test]
fn an_idle_hub_ends_at_once() {
    let mut hub = TestHub::serve(&settings(&format!("{SERVED}[server]\ndrain_secs = 25\n")));
    publish(&hub, "x");
    let idle = Connection::open(hub.address);
    let began = Instant::now();
    drop(idle);
    assert!(hub.stop());
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_drain_ends_once_everybody_has_left() {
    let mut hub = TestHub::serve(&settings(&format!("{SERVED}[server]\ndrain_secs = 3600\n")));
    let streams: Vec<_> = (0..8).map(|_| hub.subscribe("match=a")).collect();
    hub.terminate();
    wait_until("readiness goes off", || {
        (hub.request_admin("/health/ready").status == 503).then_some(())
    });
    drop(streams);
    let status = hub.wait_for_exit();
    assert!(status.success(), "{status}: {}", hub.log());
}

#[test]
fn a_second_signal_ends_the_drain() {
    let mut hub = TestHub::serve(&settings(&format!("{SERVED}[server]\ndrain_secs = 3600\n")));
    let _streams: Vec<_> = (0..8).map(|_| hub.subscribe("match=a")).collect();
    hub.terminate();
    wait_until("readiness goes off", || {
        (hub.request_admin("/health/ready").status == 503).then_some(())
    });
    hub.terminate();
    assert!(hub.wait_for_exit().success());
}

#[test]
fn a_developers_hub_answers_to_the_names_of_this_machine_only() {
    let hub = TestHub::dev();
    let port = hub.address.port();
    let paths = [&format!("{HUB_PATH}?match=a"), "/chat", "/dev/token"];
    for path in paths {
        for host in [
            "evil.example",
            &format!("evil.example:{port}"),
            "localhost",
            "localhost:1",
        ] {
            let answer = hub.request(Request::new("HEAD", path).header("Host", host));
            assert_eq!(answer.status, 421, "{host} {path}");
        }
    }
    // The page of another site that got this machine's address by DNS gets no token.
    let make = |host: &str| {
        let request = Request::post("/dev/token").header("Content-Type", "application/json");
        hub.request(request.header("Host", host).body("{}"))
    };
    assert_eq!(make("evil.example").problem(), "misdirected");
    for host in ["localhost", "LOCALHOST", "127.0.0.1", "[::1]"] {
        assert_eq!(make(&format!("{host}:{port}")).status, 200, "{host}");
    }
}

#[test]
fn a_served_hub_answers_to_the_names_it_is_told() {
    let hub = format!("{SERVED}[hub]\npublic_url = \"https://hub.example.com{HUB_PATH}\"\n");
    let named = TestHub::serve(&settings(&format!("{hub}hosts = [\"hub.example.com\"]\n")));
    let any = TestHub::serve(&settings(&hub));
    let status = |hub: &TestHub, host: &str| {
        let request = Request::new("HEAD", &format!("{HUB_PATH}?match=a"));
        hub.request(request.header("Host", host)).status
    };
    assert_eq!(status(&named, "hub.example.com"), 200);
    assert_eq!(status(&named, "HUB.example.com"), 200);
    assert_eq!(status(&named, "other.example.com"), 421);
    assert_eq!(status(&any, "other.example.com"), 200);
    // Probes call it by its address.
    let admin = named.admin.expect("the operators' listener");
    let request = Request::get("/health/ready").header("Host", "10.0.0.1:9090");
    assert_eq!(Connection::open(admin).request(&request).status, 200);
}

fn publish(hub: &TestHub, data: &str) -> String {
    let answer = hub.publish_as(&token_for_all(), &[("topic", "a"), ("data", data)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}
