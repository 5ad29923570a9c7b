//! How many frames are too many, and which replies stop the reading.

use std::time::Duration;

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
