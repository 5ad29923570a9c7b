//! Every kind of update arrives whole, and every publisher is answered, also by a process that dies.

use std::time::Duration;

use tidings_cluster::{Epoch, Figures, Health, History, StartError};

use super::*;

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn an_update_arrives_as_it_was_and_its_publisher_is_answered() {
    let (relay, forwarder) = connected();
    for draft in drafts() {
        let kept = publish_by(&forwarder, draft.clone()).unwrap();
        let got = relay.taken.lock().unwrap().pop().unwrap();
        assert_eq!(got, (draft.clone(), key()));
        assert_eq!(kept.position, Position::new(7));
        assert_eq!(
            kept.id.as_str(),
            draft.id.as_ref().map_or("sealed", EventId::as_str)
        );
        assert_eq!(kept.topics, draft.topics);
    }
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let (relay, forwarder) = connected();
    *relay.refuses.lock().unwrap() = true;
    let refused = publish_by(&forwarder, drafts().remove(0));
    assert!(matches!(refused, Err(RelayError::Busy)), "{refused:?}");
}

#[test]
fn whoever_waits_for_a_process_that_dies_is_told() {
    let (here, there) = UnixStream::pair().unwrap();
    let forwarder = Forwarder::start(here, Box::new(|| {})).unwrap();
    let (sender, answer) = sync_channel(1);
    let done = Box::new(move |kept| sender.send(kept).unwrap());
    forwarder.publish(drafts().remove(0), None, done);
    // It has read the update, and ends.
    let mut lines = BufReader::new(there);
    assert!(next_line::<Forwarded>(&mut lines).unwrap().is_some());
    drop(lines);
    // Perhaps it was stored. What comes later was certainly not.
    let kept = answer.recv_timeout(DEADLINE).unwrap();
    assert!(matches!(kept, Err(RelayError::InDoubt)), "{kept:?}");
    let later = publish_by(&forwarder, drafts().remove(0));
    assert!(matches!(later, Err(RelayError::Unavailable { .. })));
}

fn connected() -> (Arc<Recorder>, Forwarder) {
    let (here, there) = UnixStream::pair().unwrap();
    let relay = Arc::new(Recorder::default());
    serve(there, Arc::clone(&relay) as Arc<dyn Relay>, || {}).unwrap();
    (relay, Forwarder::start(here, Box::new(|| {})).unwrap())
}

fn publish_by(forwarder: &Forwarder, draft: Draft) -> Result<Arc<Update>, RelayError> {
    let (sender, answer) = sync_channel(1);
    forwarder.publish(
        draft,
        key(),
        Box::new(move |kept| sender.send(kept).unwrap()),
    );
    answer.recv_timeout(DEADLINE).unwrap()
}

fn drafts() -> Vec<Draft> {
    let topic = |text: &str| Topic::parse(text).unwrap();
    let plain = Draft {
        trace: None,
        topics: Topics::one(topic("https://example.com/a")),
        data: "two\nlines \"quoted\" \u{1f600}".into(),
        visibility: Visibility::Public,
        id: None,
        event_type: None,
        retry_ms: None,
        presence: None,
    };
    let target = Targets::new(vec![
        Target::parse("x").unwrap(),
        Target::parse("").unwrap(),
    ]);
    vec![
        plain.clone(),
        Draft {
            topics: Topics::new(vec![topic("a"), topic("b")]).unwrap(),
            visibility: Visibility::Private,
            id: Some(EventId::parse("urn:uuid:1").unwrap()),
            event_type: Some(EventType::parse("score").unwrap()),
            retry_ms: Some(1500),
            trace: TraceContext::new([1; 16], [2; 8], true),
            ..plain.clone()
        },
        Draft {
            visibility: Visibility::Targeted(target.unwrap().unwrap()),
            ..plain
        },
    ]
}

/// Takes everything, or nothing.
#[derive(Debug, Default)]
struct Recorder {
    taken: Mutex<Vec<(Draft, Option<Key>)>>,
    refuses: Mutex<bool>,
}

impl Relay for Recorder {
    fn epoch(&self) -> Option<Epoch> {
        None
    }

    fn start(&self, _history: Arc<dyn History>) -> Result<(), StartError> {
        Ok(())
    }

    fn publish(&self, draft: Draft, key: Option<Key>, done: Done) -> Result<(), RelayError> {
        if *self.refuses.lock().unwrap() {
            return Err(RelayError::Busy);
        }
        self.taken.lock().unwrap().push((draft.clone(), key));
        let id = draft
            .id
            .as_ref()
            .map_or("sealed", EventId::as_str)
            .to_owned();
        let kept = Outcome::Kept {
            number: 0,
            position: 7,
            id,
            published_ms: 1,
        };
        done(kept.into_kept(draft));
        Ok(())
    }

    fn health(&self) -> Health {
        Health::Ok
    }

    fn figures(&self) -> Figures {
        Figures::default()
    }

    fn stop(&self) {}
}

fn key() -> Option<Key> {
    Key::new(&[0, 255, 7])
}
