//! Messages: their data, what is skipped, and what a handler gets.

use tidings_core::event_id::EventId;
use tidings_core::position::Position;
use tidings_core::update::IdSource;

use super::*;

/// The data of version 1, which never changes.
fn fixtures() -> Vec<(&'static str, Message)> {
    let disconnect = Message::Disconnect {
        subject: "ada".into(),
    };
    let revoke = Message::Revoke {
        token: "7f".into(),
        until: None,
    };
    let revoke_until = Message::Revoke {
        token: "7f".into(),
        until: Some(1_800_000_000),
    };
    let reinstate = Message::Reinstate { token: "7f".into() };
    let purge = Message::Purge {
        topic: "/news/1".into(),
    };
    vec![
        (
            r#"{"version":1,"message":{"disconnect":{"subject":"ada"}}}"#,
            disconnect,
        ),
        (
            r#"{"version":1,"message":{"revoke":{"token":"7f"}}}"#,
            revoke,
        ),
        (
            r#"{"version":1,"message":{"purge":{"topic":"/news/1"}}}"#,
            purge,
        ),
        (
            r#"{"version":1,"message":{"revoke":{"token":"7f","until":1800000000}}}"#,
            revoke_until,
        ),
        (
            r#"{"version":1,"message":{"reinstate":{"token":"7f"}}}"#,
            reinstate,
        ),
        (r#"{"version":1,"message":"roll-call"}"#, Message::RollCall),
        (
            r#"{"version":1,"message":{"present":{"called":7}}}"#,
            Message::Present { called: 7 },
        ),
    ]
}

#[test]
fn the_data_of_version_1_never_changes() {
    for (data, message) in fixtures() {
        let draft = message.draft(&hub());
        assert_eq!(&*draft.data, data);
        assert_eq!(
            draft.topics.canonical().as_str(),
            "/.well-known/mercure/hubs"
        );
        assert_eq!(draft.visibility, Visibility::Hubs);
        assert_eq!(Message::of(&update(data)), Some(message));
    }
}

#[test]
fn what_a_newer_hub_says_is_skipped() {
    for data in [
        r#"{"version":2,"message":"roll-call"}"#,
        r#"{"version":1,"message":"dance"}"#,
        r#"{"version":1,"message":{"present":{}}}"#,
        "",
    ] {
        assert_eq!(Message::of(&update(data)), None, "{data}");
    }
}

#[test]
fn what_subscribers_may_read_is_no_message() {
    let mut forged = update(fixtures()[1].0);
    forged.visibility = Visibility::Private;
    assert_eq!(Message::of(&forged), None);
}

#[test]
fn a_handler_gets_what_was_stored_and_what_comes() {
    struct Seen(Arc<std::sync::Mutex<Vec<Message>>>);
    impl Handler for Seen {
        fn on_message(&mut self, message: Message, _update: &Update) {
            self.0.lock().unwrap().push(message);
        }
    }
    let seen: Arc<std::sync::Mutex<Vec<Message>>> = Arc::default();
    let stored = [Arc::new(update(fixtures()[1].0))];
    let mut operators = Operators::new(Seen(Arc::clone(&seen)), &stored);
    let own: Vec<_> = fixtures()
        .iter()
        .map(|(data, _)| Arc::new(update(data)))
        .collect();
    let tip = Tip {
        position: Position::new(6),
        print: None,
    };
    operators.on_committed(&own, tip);
    let expected: Vec<Message> = [1, 0, 1, 2, 3, 4]
        .into_iter()
        .map(|index: usize| fixtures().swap_remove(index).1)
        .collect();
    assert_eq!(*seen.lock().unwrap(), expected);
}

fn hub() -> HubUrl {
    HubUrl::parse("https://hub.example/.well-known/mercure").unwrap()
}

fn update(data: &str) -> Update {
    Update {
        trace: None,
        position: Position::new(1),
        print: None,
        id: EventId::parse("x").unwrap(),
        id_source: IdSource::Hub,
        published_ms: 0,
        topics: Topics::one(Topic::of_hub("/.well-known/mercure/hubs")),
        data: data.into(),
        visibility: Visibility::Hubs,
        event_type: None,
        retry_ms: None,
        presence: None,
        note: None,
    }
}
