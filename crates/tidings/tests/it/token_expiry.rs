//! What happens when a token expires: streams close in time, and the token is no longer accepted.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::tokens::{now_secs, settings, token, token_for_all, with};
use crate::harness::{HUB_PATH, Request, TestHub, wait_until};

const TOPIC: &str = "https://example.com/books/1";
/// Nobody subscribes to it.
const ELSEWHERE: &str = "https://example.com/elsewhere";

/// How much earlier than the token a stream may end.
const EARLY_MAX: Duration = Duration::from_secs(2);

#[test]
fn streams_end_with_their_token_not_later_and_hardly_earlier() {
    let hub = TestHub::serve(&settings("[subscribe]\nconnection_secs_max = 3600\n"));
    let exp = now_secs() + 8;
    let token = token(&with("exp", exp));
    let asked = Request::get(&format!("{HUB_PATH}?match={TOPIC}")).bearer(&token);
    let streams: Vec<_> = (0..5).map(|_| hub.subscribe_by(asked.clone())).collect();
    let longer = Request::get(&format!("{HUB_PATH}?match={TOPIC}")).bearer(&token_for_all());
    let mut longer = hub.subscribe_by(longer);
    let readers: Vec<_> = streams
        .into_iter()
        .map(|mut stream| {
            std::thread::spawn(move || {
                let first = stream.event().data;
                // The end of the stream is its last chunk: a broken connection fails here.
                assert_eq!(stream.next_event(), None);
                (first, SystemTime::now())
            })
        })
        .collect();
    let form: &[(&str, &str)] = &[("topic", TOPIC), ("data", "while it counts")];
    assert_eq!(hub.publish_as(&token, form).status, 200);
    // The hub has verified this token before; that it remembers it must not make it live longer.
    let end = UNIX_EPOCH + Duration::from_secs(exp);
    let refused = wait_until("the token is refused", || {
        let answer = hub.publish_as(&token, &[("topic", ELSEWHERE)]);
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refused.status, 401);
    assert!(SystemTime::now() >= end, "refused before its end");
    // It reaches no stream of the token. When a reader notices the end of its stream says little of a busy machine.
    let after: &[(&str, &str)] = &[("topic", TOPIC), ("data", "later")];
    assert_eq!(hub.publish_as(&token_for_all(), after).status, 200);
    for reader in readers {
        let (first, ended) = reader.join().expect("a reader");
        assert_eq!(first, "while it counts");
        let early = end.duration_since(ended).unwrap_or_default();
        assert!(early <= EARLY_MAX, "{early:?} early");
    }
    let answer = hub.request(asked);
    assert_eq!(answer.challenge(), Some("Bearer error=\"invalid_token\""));
    assert_eq!(longer.event().data, "while it counts");
    while longer.event().data != "later" {}
}

#[test]
fn an_ended_token_is_refused_at_its_first_use() {
    let hub = TestHub::serve(&settings("[subscribe]\nanonymous = true\n"));
    let token = token(&with("exp", now_secs() - 1));
    let answer = hub.request(Request::get(&format!("{HUB_PATH}?match={TOPIC}")).bearer(&token));
    assert_eq!(answer.status, 401, "an ended token does not make anonymous");
    assert_eq!(hub.publish_as(&token, &[("topic", TOPIC)]).status, 401);
}

#[test]
fn the_longest_life_ends_a_stream_whose_token_goes_on() {
    let hub = TestHub::serve(&settings("[subscribe]\nconnection_secs_max = 2\n"));
    let asked = Request::get(&format!("{HUB_PATH}?match={TOPIC}")).bearer(&token_for_all());
    let began = std::time::Instant::now();
    let mut stream = hub.subscribe_by(asked);
    assert_eq!(stream.next_event(), None);
    let lived = began.elapsed();
    assert!(
        lived >= Duration::from_secs(1) && lived < Duration::from_secs(10),
        "{lived:?}"
    );
}
