//! Against a hub of a few lines: how the cursor moves, what is printed, when losses are told.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: Arguments,
}

#[test]
fn a_lost_connection_is_made_again_from_the_last_event_on() {
    let (url, hub) = hub(vec![
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n\
         retry: 1\n\n:\n\nid: 1\ndata: a\n\n",
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nMercure-Last-Event-ID: 1\r\n\
         Connection: close\r\n\r\nid: 2\nevent: e\ndata: b\ndata: c\n\n",
    ]);
    run(&arguments(&[
        "--hub", &url, "--topic", "t&u", "--count", "2",
    ]))
    .unwrap();
    assert_eq!(
        hub.join().unwrap(),
        [
            "GET /hub?match=t%26u HTTP/1.1",
            "GET /hub?match=t%26u&last_event_id=1 HTTP/1.1",
            "GET /hub?match=t%26u&last_event_id=1 HTTP/1.1",
        ]
    );
}

#[test]
fn a_refusal_ends_it_and_says_why() {
    let (url, hub) = hub(vec![
        "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n{\"detail\":\"no grant\"}",
    ]);
    let error = run(&arguments(&["--hub", &url, "--topic", "t", "--earliest"])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the hub answered 403 Forbidden: no grant"
    );
    assert_eq!(
        hub.join().unwrap(),
        ["GET /hub?match=t&last_event_id=earliest HTTP/1.1"]
    );
}

#[test]
fn a_first_connection_that_fails_ends_it() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{unused}/hub");
    assert!(run(&arguments(&["--hub", &url, "--match-urlpattern", "/:x"])).is_err());
}

#[test]
fn losses_are_told_when_the_hub_does_not_know_the_event() {
    let given = arguments(&["--hub", "http://h/", "--topic", "t", "--last-event-id", "7"]);
    let subscriber = Subscriber::new(&given);
    let answer = |field: Option<&str>| {
        let mut builder = http::Response::builder();
        if let Some(field) = field {
            builder = builder.header("Mercure-Last-Event-ID", field);
        }
        builder.body(ureq::Body::builder().data("")).unwrap()
    };
    assert_eq!(subscriber.loss(&answer(Some("7"))), None);
    assert!(
        subscriber
            .loss(&answer(Some("earliest")))
            .unwrap()
            .contains("event 7")
    );
    assert!(subscriber.loss(&answer(None)).is_some());
}

#[test]
fn polls_follow_each_other_from_cursor_to_cursor() {
    let poll = |body: &str| {
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
        let field = "Mercure-Last-Event-ID: 0";
        format!("{head}{field}\r\nContent-Length: {length}\r\n\r\n{body}").leak()
    };
    let update = r#"{"id":"1","topics":["a","b"],"data":"x","type":"goal","private":true}"#;
    let (url, hub) = hub(vec![
        poll(r#"{"updates":[],"last_event_id":"0"}"#),
        poll(&format!(r#"{{"updates":[{update}],"last_event_id":"0"}}"#)),
        poll(&format!(r#"{{"updates":[{update}],"last_event_id":"2"}}"#)),
    ]);
    run(&arguments(&["--hub", &url, "t", "--count", "2"])).unwrap();
    assert_eq!(
        hub.join().unwrap(),
        [
            "GET /hub?match=t HTTP/1.1",
            "GET /hub?match=t&last_event_id=0 HTTP/1.1",
            "GET /hub?match=t&last_event_id=0 HTTP/1.1",
        ]
    );
}

#[test]
fn updates_are_shown_with_time_and_topics_as_text_or_json_or_as_data_alone() {
    let update = Received {
        id: "1".to_owned(),
        topics: Some(vec!["t".to_owned()]),
        event_type: None,
        private: true,
        retry: None,
        data: "a\n\"b\"".to_owned(),
    };
    let shown = |given: &[&str]| {
        let given = arguments(&[&["t"], given].concat());
        Subscriber::new(&given).shown(&update).unwrap()
    };
    let text = shown(&[]);
    let (time, rest) = text.split_once("  ").unwrap();
    assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
    assert_eq!(rest, "t  private  id 1\na\n\"b\"\n\n");
    assert_eq!(shown(&["--raw"]), "a\n\"b\"\n");
    let object: serde_json::Value = serde_json::from_str(&shown(&["--json"])).unwrap();
    assert_eq!(object["topics"], serde_json::json!(["t"]));
    assert_eq!(
        (&object["data"], &object["type"], &object["private"]),
        (&"a\n\"b\"".into(), &"message".into(), &true.into())
    );
}

#[test]
fn delays_grow_to_a_bound_with_jitter() {
    for (failures, max_ms) in [(0, 1000), (1, 2000), (3, 8000), (60, 30_000)] {
        let delay = delay(Duration::from_secs(1), failures).unwrap().as_millis();
        assert!(
            (max_ms / 2..=max_ms).contains(&delay),
            "{delay} after {failures}"
        );
    }
}

#[test]
fn something_to_receive_must_be_named() {
    assert!(Command::try_parse_from(["x", "--hub", "http://h/"]).is_err());
    assert!(Command::try_parse_from(["x", "--topic", "t", "--count", "0"]).is_err());
}

fn arguments(given: &[&str]) -> Arguments {
    let name = std::iter::once(&"x");
    Command::try_parse_from(name.chain(given))
        .unwrap()
        .arguments
}

/// Answers one connection after the other as told, and returns the request lines.
fn hub(answers: Vec<&'static str>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hub", listener.local_addr().unwrap());
    let serve = move || {
        let mut requests = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            requests.push(lines.next().unwrap().unwrap());
            while !lines.next().unwrap().unwrap().is_empty() {}
            stream.write_all(answer.as_bytes()).unwrap();
        }
        requests
    };
    (url, std::thread::spawn(serve))
}
