//! The relay of a hub that is alone.

#![expect(clippy::unwrap_used, reason = "a test says what must hold by failing")]

use std::sync::mpsc::sync_channel;

use tidings_cluster::{Loopback, Relay};
use tidings_core::{Draft, Position, Topic, Topics, Visibility};
use tidings_history::{Kind, Options, PresenceRetention, Reading, Refused, Retention, start};

#[test]
fn loopback_gives_updates_the_order_of_their_publishing() {
    let options = Options {
        kind: Kind::Memory,
        retention: Retention {
            age_max: None,
            updates_max: None,
            bytes_max: None,
            presence: PresenceRetention::DEFAULT,
        },
        queue_max: 10,
        group_max: 10,
        reads_max: 10,
        cache_bytes_max: 0,
        new_epoch: [1; 32],
    };
    let history = start(options, Box::new(|_| {}), Box::new(Reading::default)).unwrap();
    let relay: Box<dyn Relay> = Box::new(Loopback::new(history.clone()));
    let (tx, rx) = sync_channel(2);
    for _ in 0..2 {
        let tx = tx.clone();
        let done = Box::new(move |answer| tx.send(answer).unwrap());
        relay.publish(draft(), done).unwrap();
    }
    assert_eq!(rx.recv().unwrap().unwrap().position, Position::new(1));
    assert_eq!(rx.recv().unwrap().unwrap().position, Position::new(2));
    history.close();
    assert!(matches!(
        relay.publish(draft(), Box::new(|_| {})),
        Err(Refused::Closed(_))
    ));
}

fn draft() -> Draft {
    Draft {
        topics: Topics::one(Topic::parse("https://example.com/books/1").unwrap()),
        data: "".into(),
        visibility: Visibility::Public,
        id: None,
        event_type: None,
        retry_ms: None,
        presence: None,
    }
}
