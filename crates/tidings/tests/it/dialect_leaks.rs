//! Who reads what over every pair of dialects: an update that is not for everybody, published in one,
//! never reaches an anonymous subscriber of any, live or by replay.

use serde_json::json;

use crate::harness::dialects::{PATH_2019, hub, old_token, publish_at, subscribe_at};
use crate::harness::tokens::{detail, token_with};
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
