//! What a receiver gets, and when a session may write.

use bytes::Bytes;
use tidings_wire::websocket::encoder;

use super::*;

#[test]
fn without_a_receiver_nothing_is_taken_over() {
    let carrier = Carrier::default();
    assert_eq!(carrier.try_send(&encoder::text("a")).taken, 0);
    carrier.open();
    assert_eq!(carrier.try_send(&encoder::text("a")).taken, 3);
    carrier.shut();
    assert_eq!(carrier.try_send(&encoder::text("b")).taken, 0);
}

#[test]
fn one_that_takes_once_waits_until_all_is_written() {
    let carrier = Carrier::default();
    carrier.open();
    carrier.try_send(&encoder::text("a"));
    assert_eq!(taken(&carrier, Take::AllOnce), None);
    carrier.try_send(&encoder::text("b"));
    carrier.set_idle(true);
    assert_eq!(taken(&carrier, Take::AllOnce), Some(texts(&["a", "b"])));
    assert_eq!(
        carrier.try_send(&encoder::text("c")).taken,
        0,
        "it has gone"
    );
}

#[test]
fn one_that_takes_once_does_not_wait_for_more_than_may_wait() {
    let carrier = Carrier::default();
    carrier.open();
    let long = "x".repeat(SPACE_BYTES);
    carrier.try_send(&encoder::text(&long));
    assert_eq!(carrier.try_send(&encoder::text("a")).taken, 0, "full");
    assert_eq!(taken(&carrier, Take::AllOnce), Some(texts(&[&long])));
}

#[test]
fn one_that_streams_takes_at_once_and_makes_space() {
    let carrier = Carrier::default();
    carrier.open();
    assert_eq!(taken(&carrier, Take::Each), None);
    for text in ["a", "b"] {
        carrier.try_send(&encoder::text(text));
        assert_eq!(taken(&carrier, Take::Each), Some(texts(&[text])));
    }
}

#[test]
fn the_last_texts_come_before_the_close_and_the_close_to_everyone() {
    let carrier = Carrier::default();
    carrier.close([encoder::text("last")], 3000, "Go away!");
    carrier.close([encoder::text("more")], 1000, "");
    assert_eq!(taken(&carrier, Take::AllOnce), Some(texts(&["last"])));
    let close = Close {
        code: 3000,
        reason: "Go away!".into(),
    };
    for take in [Take::AllOnce, Take::Each] {
        assert_eq!(taken(&carrier, take), Some(Taken::Closed(close.clone())));
    }
}

fn texts(texts: &[&str]) -> Taken {
    let owned = texts.iter().map(|text| Bytes::from((*text).to_owned()));
    Taken::Texts(owned.collect())
}

fn taken(carrier: &Carrier, take: Take) -> Option<Taken> {
    match carrier.poll_taken(take, &Context::from_waker(Waker::noop())) {
        Poll::Ready(taken) => Some(taken),
        Poll::Pending => None,
    }
}
