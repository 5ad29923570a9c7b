//! How many frames are too many, and which replies stop the reading.

use std::time::Duration;

use tokio::sync::oneshot;

use super::replies::WAITING_BYTES_MAX;
use super::*;
use crate::session::protocol::hub_frames::HubFrames;

#[test]
fn frames_are_counted_by_the_second() {
    let duplex = duplex();
    let start = Tick::at(Duration::ZERO);
    assert!(!duplex.is_flooding(start));
    assert!(!duplex.is_flooding(start));
    assert!(duplex.is_flooding(start));
    assert!(!duplex.is_flooding(start.after(Duration::from_secs(1))));
}

#[test]
fn replies_that_nobody_takes_stop_the_reading() {
    let duplex = duplex();
    duplex.keep_reply(Bytes::from(vec![0; WAITING_BYTES_MAX]));
    assert!(!duplex.is_input_paused());
    duplex.keep_reply(Bytes::from_static(b"x"));
    assert!(duplex.is_input_paused());
    assert_eq!(duplex.take_reply().unwrap().len(), WAITING_BYTES_MAX);
    assert!(!duplex.is_input_paused());
}

#[test]
fn an_empty_batch_does_not_end_the_batch_before_it() {
    let duplex = duplex();
    let (processed, mut first) = oneshot::channel();
    duplex
        .push_inbound(vec!["a".into()], Some(processed))
        .unwrap();
    let (processed, mut empty) = oneshot::channel();
    duplex.push_inbound(Vec::new(), Some(processed)).unwrap();
    empty.try_recv().unwrap();
    assert!(first.try_recv().is_err());
    let text = duplex.next_inbound().unwrap();
    text.last.unwrap().send(()).unwrap();
    first.try_recv().unwrap();
}

fn duplex() -> Duplex {
    let parts = Parts {
        protocol: Box::new(HubFrames),
        limits: Limits {
            bytes_max: 100,
            fragments_max: 10,
        },
        inflated_per_second_max: usize::MAX,
        frames_per_second_max: 2,
        heartbeat: Heartbeat::Pings,
        heartbeat_interval: None,
        agreement: None,
        publisher: None,
        lifetime: None,
        unread: Bytes::new(),
    };
    Duplex::new(
        parts,
        &crate::account::tests::holder(),
        Tick::at(Duration::ZERO),
        None,
    )
}
