//! Every pair of dialects: a private or targeted update, published in one, never reaches an anonymous
//! subscriber of the other, neither live nor by replay.

use serde_json::json;

use crate::harness::dialects::{PATH_2019, all_dialects, hub, old_token, publish_at, subscribe_at};
use crate::harness::peer::{Peer, handshake};
use crate::harness::tokens::{detail, token_with};
use crate::harness::tunnel::tunnels;
use crate::harness::{EventStream, HUB_PATH, TestHub};

const TOPIC: &str = "https://example.com/a";

/// A way of publishing: its name, path, token, and the fields that keep an update from everybody.
type Way = (
    &'static str,
    &'static str,
    String,
    &'static [(&'static str, &'static str)],
);

fn ways() -> Vec<Way> {
    let modern = || token_with(json!([detail(&["publish"], &["*"])]));
    let old = || old_token(json!({"publish": ["*"]}));
    vec![
        ("1.0", HUB_PATH, modern(), &[("private", "on")]),
        (
            "1.0 without a value",
            HUB_PATH,
            modern(),
            &[("private", "")],
        ),
        ("0.x", HUB_PATH, old(), &[("private", "on")]),
        ("0.x with a target", HUB_PATH, old(), &[("target", "foo")]),
        ("2019", PATH_2019, old(), &[("target", "foo")]),
        ("2019, nobody", PATH_2019, old(), &[("target", "")]),
        ("2019, a star", PATH_2019, old(), &[("target", "*")]),
        ("2019, a topic", PATH_2019, old(), &[("target", TOPIC)]),
    ]
}

/// Whoever asks for everything in each dialect and may read only what is public.
fn outsiders() -> Vec<(&'static str, &'static str, String, Option<String>)> {
    let cursor = "last_event_id=earliest";
    let old_cursor = "Last-Event-ID=earliest";
    let mut all = Vec::new();
    for (name, path, query) in [
        ("1.0 exact", HUB_PATH, format!("match={TOPIC}")),
        ("1.0 star", HUB_PATH, "match=*".to_owned()),
        (
            "1.0 pattern",
            HUB_PATH,
            "match_urlpattern=https://example.com/*".to_owned(),
        ),
        ("0.x topic", HUB_PATH, format!("topic={TOPIC}")),
        ("0.x template", HUB_PATH, "topic={%2Ball}".to_owned()),
        ("0.x star", HUB_PATH, "topic=*".to_owned()),
        ("0.x target", HUB_PATH, format!("topic=foo&topic={TOPIC}")),
        ("2019 topic", PATH_2019, format!("topic={TOPIC}")),
        ("2019 template", PATH_2019, "topic={%2Ball}".to_owned()),
    ] {
        all.push((name, path, query.clone(), None));
        let token = match (path, name.starts_with("1.0")) {
            (HUB_PATH, true) => token_with(json!([detail(&["subscribe"], &["urn:other", "foo"])])),
            (HUB_PATH, false) => old_token(json!({"subscribe": ["urn:other", "foo", ""]})),
            _ => old_token(json!({"subscribe": ["other", "foobar"]})),
        };
        let replay = if path == HUB_PATH && name.starts_with("1.0") {
            cursor
        } else {
            old_cursor
        };
        all.push((name, path, format!("{query}&{replay}"), None));
        all.push((name, path, query, Some(token)));
    }
    all
}

#[test]
fn what_is_not_for_everybody_reaches_no_outsider_of_any_dialect() {
    let hub = hub();
    let open_all = || -> Vec<(String, EventStream)> {
        let open = |(name, path, query, token): (&str, &str, String, Option<String>)| {
            let stream = subscribe_at(&hub, path, &query, token.as_deref());
            (
                format!("{name}, {query}, token {}", token.is_some()),
                stream,
            )
        };
        outsiders().into_iter().map(open).collect()
    };
    let mut live = open_all();
    publish_all(&hub);
    let mut later = open_all();
    for (_, path, token, _) in ways() {
        let form = [("topic", TOPIC), ("data", "open")];
        assert_eq!(publish_at(&hub, path, &token, &form).status, 200);
    }
    let count = ways().len();
    for (name, stream) in live.iter_mut().chain(&mut later) {
        assert_eq!(stream.data(count), vec!["open"; count], "{name}");
    }
}

#[test]
fn those_it_is_for_read_it_in_their_own_dialect() {
    let hub = hub();
    let modern = token_with(json!([detail(&["subscribe"], &[TOPIC])]));
    let all = token_with(json!([detail(&["subscribe"], &["*"])]));
    let template = old_token(json!({"subscribe": ["https://example.com/{x}"]}));
    let foo = old_token(json!({"subscribe": ["foo"]}));
    let star = old_token(json!({"subscribe": ["*"]}));
    let by_topic = ["1.0", "1.0 without a value", "0.x", "0.x with a target"];
    let everything: Vec<&str> = ways().iter().map(|way| way.0).collect();
    let mut streams = [
        (
            subscribe_at(&hub, HUB_PATH, "match=*", Some(&modern)),
            by_topic.to_vec(),
        ),
        (
            subscribe_at(&hub, HUB_PATH, "topic=*", Some(&modern)),
            by_topic.to_vec(),
        ),
        (
            subscribe_at(&hub, HUB_PATH, "topic=*", Some(&template)),
            by_topic.to_vec(),
        ),
        (
            subscribe_at(&hub, HUB_PATH, "match=*", Some(&template)),
            by_topic.to_vec(),
        ),
        (
            subscribe_at(&hub, HUB_PATH, "match=*", Some(&all)),
            everything.clone(),
        ),
        (
            subscribe_at(&hub, HUB_PATH, "topic=*", Some(&star)),
            everything.clone(),
        ),
        (
            subscribe_at(&hub, PATH_2019, "topic={%2Ball}", Some(&foo)),
            vec!["2019"],
        ),
        (
            subscribe_at(&hub, PATH_2019, "topic={%2Ball}", Some(&star)),
            everything,
        ),
    ];
    publish_all(&hub);
    let form = [("topic", TOPIC), ("data", "end")];
    let (_, path, token, _) = &ways()[0];
    assert_eq!(publish_at(&hub, path, token, &form).status, 200);
    for (index, (stream, wanted)) in streams.iter_mut().enumerate() {
        let mut read = stream.data(wanted.len() + 1);
        assert_eq!(read.pop().as_deref(), Some("end"), "{index}");
        assert_eq!(&read, wanted, "{index}");
    }
}

/// Publishes one update in each way, with the way's name as its data.
fn publish_all(hub: &TestHub) {
    for (name, path, token, fields) in ways() {
        let form = [&[("topic", TOPIC), ("data", name)], fields].concat();
        let answer = publish_at(hub, path, &token, &form);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    }
}

#[test]
fn a_websocket_reads_what_its_token_of_the_moment_allows_live_and_by_replay() {
    let hub = hub();
    let broad = token_with(json!([detail(&["subscribe"], &["*"])]));
    let narrow = token_with(json!([detail(&["subscribe"], &["urn:other", "foo"])]));
    let old_narrow = old_token(json!({"subscribe": ["urn:other", "foo"]}));
    let presented = [None, Some(&narrow), Some(&old_narrow)];
    let open_all = |query: &str| -> Vec<Peer> {
        let target = format!("{HUB_PATH}?{query}");
        let mut peers: Vec<Peer> = presented
            .iter()
            .map(|token| {
                let asked = handshake(&target);
                hub.websocket_by(&match token {
                    Some(token) => asked.bearer(token),
                    None => asked,
                })
            })
            .collect();
        let mut tunnelled = tunnels(hub.address, std::slice::from_ref(&target), &narrow).remove(0);
        assert!(tunnelled.json()["open"].is_object());
        peers.push(tunnelled);
        for renewed in [&narrow, &old_narrow] {
            let mut peer = hub.websocket_by(&handshake(&target).bearer(&broad));
            let answer = peer.answered(json!({"authenticate": {"token": renewed}}));
            assert!(answer["ack"].is_object(), "{answer}");
            peers.push(peer);
        }
        peers
    };
    // One that may read everything, until its token is renewed.
    let mut was_broad = hub.websocket_by(&handshake(&format!("{HUB_PATH}?match=*")).bearer(&broad));
    let mut live = open_all("match=*");
    publish_all(&hub);
    let read: Vec<String> = ways().iter().map(|_| was_broad.data()).collect();
    assert_eq!(read, ways().iter().map(|way| way.0).collect::<Vec<_>>());
    was_broad.answered(json!({"authenticate": {"token": narrow}}));
    live.push(was_broad);
    publish_all(&hub);
    let (_, path, token, _) = &ways()[0];
    let form = [("topic", TOPIC), ("data", "open")];
    assert_eq!(publish_at(&hub, path, token, &form).status, 200);
    for (index, peer) in live.iter_mut().enumerate() {
        assert_eq!(peer.data(), "open", "{index}");
    }
    for (index, mut peer) in open_all("match=urn:none").into_iter().enumerate() {
        let asked = json!({"subscribe": {"match": "*", "last_event_id": "earliest"}, "ref": 1});
        peer.ask(&asked);
        assert_eq!(peer.json()["ref"], 1);
        assert_eq!(peer.data(), "open", "{index}");
        assert!(peer.json()["caught_up"].is_object(), "{index}");
    }
}

#[test]
fn events_about_subscriptions_reach_no_outsider_of_any_dialect() {
    let text = "[subscribe]\nanonymous = true\n[presence]\nenabled = true\n";
    let hub = TestHub::serve(&all_dialects(text));
    let open_all = || -> Vec<(String, EventStream)> {
        let open = |(name, path, query, token): (&str, &str, String, Option<String>)| {
            let stream = subscribe_at(&hub, path, &query, token.as_deref());
            (format!("{name}, {query}"), stream)
        };
        outsiders().into_iter().map(open).collect()
    };
    // Who may read everything gets the events of all that come now, which shows that there are any.
    let star = old_token(json!({"subscribe": ["*"]}));
    let mut insider = subscribe_at(&hub, PATH_2019, "topic=*", Some(&star));
    let mut live = open_all();
    for _ in 0..=live.len() {
        assert!(insider.event().data.contains("\"active\":true"));
    }
    let mut later = open_all();
    let (_, path, token, _) = &ways()[0];
    let form = [("topic", TOPIC), ("data", "open")];
    assert_eq!(publish_at(&hub, path, token, &form).status, 200);
    for (name, stream) in live.iter_mut().chain(&mut later) {
        assert_eq!(stream.event().data, "open", "{name}");
    }
}
