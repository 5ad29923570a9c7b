//! Messages as updates and back.

use tidings_core::event_id::EventId;
use tidings_core::grant::Grants;
use tidings_core::position::Position;
use tidings_core::topic::Topic;
use tidings_core::update::{EventType, IdSource, Topics as UpdateTopics, Visibility};
use tidings_wire::zmtp::frame;

use super::super::options::Unparsable;
use super::*;

fn bridge(format: MessageFormat) -> HubInput {
    HubInput {
        source: "zmq-bind://PULL@127.0.0.1:5555".parse().unwrap(),
        prefixes: vec![Vec::new()],
        format,
        unparsable: Unparsable::Drop,
        topic: Some("/chat".to_owned()),
        topic_prefix: "https://example.com/".to_owned(),
        event_type: Some("msg".to_owned()),
        private: false,
        grants: Grants::default(),
        lease: None,
    }
}

fn form_of(format: MessageFormat, parts: &[&[u8]]) -> PublishForm {
    read(&bridge(format), parts).unwrap().form
}

#[test]
fn data_goes_to_the_fixed_topic() {
    let form = form_of(MessageFormat::Data, &[b"{\"from\":\"a\"}"]);
    assert_eq!(form.topics, ["/chat"]);
    assert_eq!(form.data.as_deref(), Some("{\"from\":\"a\"}"));
    assert_eq!(form.event_type.as_deref(), Some("msg"));
}

#[test]
fn an_object_says_what_it_is_about() {
    let object = br#"{"topic":"/a","data":"x","private":true,"id":"i","type":"t","retry":5}"#;
    let form = form_of(MessageFormat::Json, &[object]);
    assert_eq!(
        (form.topics, form.data),
        (vec!["/a".into()], Some("x".into()))
    );
    assert_eq!((form.private, form.retry), (true, Some(5)));
    assert_eq!(
        (form.id, form.event_type),
        (Some("i".into()), Some("t".into()))
    );
}

#[test]
fn data_that_is_no_text_stays_as_it_is_written() {
    let form = form_of(
        MessageFormat::Json,
        &[br#"{"topic":["/a","/b"],"data":{"z":1, "a":[1.50]}}"#],
    );
    assert_eq!(form.topics, ["/a", "/b"]);
    assert_eq!(form.data.as_deref(), Some(r#"{"z":1, "a":[1.50]}"#));
    let form = form_of(MessageFormat::Json, &[br#"{"data":null,"further":1}"#]);
    assert_eq!(form.topics, ["/chat"]);
    assert_eq!(form.data.as_deref(), Some(""));
}

#[test]
fn the_first_of_two_parts_is_the_topic() {
    let form = form_of(MessageFormat::Parts, &["livres/é".as_bytes(), b"x"]);
    assert_eq!(form.topics, ["https://example.com/livres/é"]);
    assert_eq!(form.data.as_deref(), Some("x"));
}

#[test]
fn what_has_another_form_is_refused_with_the_reason() {
    check(
        MessageFormat::Data,
        &[b"a", b"b"],
        "it has 2 parts, and 1 are expected",
    );
    check(MessageFormat::Data, &[b"\xff"], "part 1 is not UTF-8");
    check(
        MessageFormat::Parts,
        &[b"a"],
        "it has 1 parts, and 2 are expected",
    );
    check(
        MessageFormat::Parts,
        &[b"a", b"\xff"],
        "part 2 is not UTF-8",
    );
    check(MessageFormat::Json, &[b"hello"], "it is not a JSON object");
    check(MessageFormat::Json, &[b"[1]"], "it is not a JSON object");
    check(
        MessageFormat::Json,
        &[br#"{"topic":1}"#],
        "it is not a JSON object",
    );
}

#[test]
fn a_message_without_a_topic_needs_a_fixed_one() {
    let mut bridge = bridge(MessageFormat::Json);
    bridge.topic = None;
    let error = read(&bridge, &[b"{}"]).unwrap_err();
    assert!(
        error.to_string().starts_with("it names no topic"),
        "{error}"
    );
}

#[test]
fn any_message_has_a_text() {
    let form = as_text(&bridge(MessageFormat::Json), &[b"a", b"\xffb"])
        .unwrap()
        .form;
    assert_eq!(form.data.as_deref(), Some("a\n\u{fffd}b"));
}

#[test]
fn an_update_that_went_out_as_an_object_comes_in_as_it_was() {
    let update = update();
    let mut wire = Vec::new();
    write(&mut wire, MessageFormat::Json, &update, "node-1");
    let parts: Vec<&[u8]> = frame::parts(&wire).collect();
    let text = "{\"topic\":[\"/a\",\"/b\"],\"data\":\"l1\\nl2 é\",\"private\":true,\"id\":\"i\",\
                \"type\":\"t\",\"retry\":7,\"hub\":\"node-1\"}";
    assert_eq!(parts, [text.as_bytes()]);
    let mapped = read(&bridge(MessageFormat::Json), &parts).unwrap();
    assert_eq!(mapped.hub.as_deref(), Some("node-1"));
    let form = PublishForm {
        traceparent: None,
        topics: vec!["/a".into(), "/b".into()],
        data: Some("l1\nl2 é".into()),
        private: true,
        id: Some("i".into()),
        event_type: Some("t".into()),
        retry: Some(7),
    };
    assert_eq!(mapped.form, form);
}

#[test]
fn an_update_goes_out_as_parts_or_as_its_data() {
    let mut wire = Vec::new();
    write(&mut wire, MessageFormat::Parts, &update(), "");
    let parts: Vec<&[u8]> = frame::parts(&wire).collect();
    assert_eq!(parts, [b"/a", "l1\nl2 é".as_bytes()]);
    wire.clear();
    write(&mut wire, MessageFormat::Data, &update(), "");
    assert_eq!(frame::parts(&wire).next(), Some("l1\nl2 é".as_bytes()));
}

fn update() -> Update {
    let topic = |text| Topic::parse(text).unwrap();
    Update {
        trace: None,
        position: Position::new(1),
        print: None,
        id: EventId::parse("i").unwrap(),
        id_source: IdSource::Publisher,
        published_ms: 0,
        topics: UpdateTopics::new(vec![topic("/a"), topic("/b")]).unwrap(),
        data: "l1\nl2 é".into(),
        visibility: Visibility::Private,
        event_type: Some(EventType::parse("t").unwrap()),
        retry_ms: Some(7),
        presence: None,
        note: None,
    }
}

#[track_caller]
fn check(format: MessageFormat, parts: &[&[u8]], expected: &str) {
    let error = read(&bridge(format), parts).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}
