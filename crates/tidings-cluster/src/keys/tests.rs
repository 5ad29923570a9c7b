//! A key stores one update, answers everybody, and is free again.

use std::sync::mpsc::{Receiver, sync_channel};

use tidings_core::{EventId, IdSource, Position, Topic, Topics, Visibility};

use super::*;

type Kept = Result<Arc<Update>, RelayError>;

#[test]
fn a_key_stores_once_and_answers_everybody() {
    let (keys, now) = (Arc::new(Keys::default()), Instant::now());
    let (done, first) = waiting();
    let Ok(Claim::First(guard)) = keys.claim(key(1), done, now) else {
        panic!("the first stores");
    };
    let (done, second) = waiting();
    assert!(matches!(keys.claim(key(1), done, now), Ok(Claim::Answered)));
    assert!(second.try_recv().is_err(), "it waits");
    let update = update(1, 10);
    guard.finish(&Ok(Arc::clone(&update)), now);
    let (done, third) = waiting();
    assert!(matches!(keys.claim(key(1), done, now), Ok(Claim::Answered)));
    for answer in [first, second, third] {
        assert!(Arc::ptr_eq(&answer.try_recv().unwrap().unwrap(), &update));
    }
    assert_eq!(keys.repeats(), 2);
}

#[test]
fn a_key_is_free_again_when_nothing_was_stored_or_its_time_is_over() {
    let (keys, now) = (Arc::new(Keys::default()), Instant::now());
    let claim = |now| match keys.claim(key(1), waiting().0, now) {
        Ok(Claim::First(guard)) => guard,
        Ok(Claim::Answered) | Err(_) => panic!("the key is free"),
    };
    let guard = claim(now);
    let (done, other) = waiting();
    assert!(matches!(keys.claim(key(1), done, now), Ok(Claim::Answered)));
    guard.finish(&Err(RelayError::Closed), now);
    assert!(matches!(other.try_recv().unwrap(), Err(RelayError::Closed)));
    // The history went away with it.
    drop(claim(now));
    claim(now).refuse(&RelayError::Busy);
    claim(now).finish(&Ok(update(1, 10)), now);
    claim(now + KEEP_FOR).finish(&Ok(update(2, 10)), now);
}

#[test]
fn the_oldest_keys_go_when_there_are_too_many_bytes() {
    let (keys, now) = (Arc::new(Keys::default()), Instant::now());
    let store = |number: u64| {
        let Ok(Claim::First(guard)) = keys.claim(key(number), waiting().0, now) else {
            return false;
        };
        guard.finish(&Ok(update(number, 10 * 1024 * 1024)), now);
        true
    };
    assert!((1..=8).all(&store));
    assert_eq!(keys.forgotten(), 2);
    assert!(!store(8), "the newest is known");
    assert!(store(1), "the oldest is not");
    assert!(keys.lock().bytes <= BYTES_MAX);
}

#[test]
fn only_so_many_wait_for_one_update() {
    let (keys, now) = (Arc::new(Keys::default()), Instant::now());
    let Ok(Claim::First(_guard)) = keys.claim(key(1), waiting().0, now) else {
        panic!("the first stores");
    };
    for _ in 0..WAITING_MAX {
        assert!(keys.claim(key(1), waiting().0, now).is_ok());
    }
    let refused = keys.claim(key(1), waiting().0, now);
    assert!(matches!(refused, Err(RelayError::Busy)));
}

fn key(number: u64) -> Key {
    Key::new(&number.to_be_bytes()).unwrap()
}

fn waiting() -> (Done, Receiver<Kept>) {
    let (answer, answered) = sync_channel(1);
    (Box::new(move |kept| drop(answer.send(kept))), answered)
}

fn update(position: u64, bytes: usize) -> Arc<Update> {
    Arc::new(Update {
        trace: None,
        position: Position::new(position),
        print: None,
        id: EventId::parse("urn:a").unwrap(),
        id_source: IdSource::Publisher,
        published_ms: 0,
        topics: Topics::one(Topic::parse("urn:t").unwrap()),
        data: "x".repeat(bytes).into(),
        visibility: Visibility::Public,
        event_type: None,
        retry_ms: None,
        presence: None,
        note: None,
    })
}
