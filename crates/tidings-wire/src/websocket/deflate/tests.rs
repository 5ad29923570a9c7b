//! Offers and responses, and that compressed messages are restored.

use super::*;

#[test]
fn an_offer_is_answered_within_what_it_allows() {
    check(
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
    );
    check(
        "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=9",
    );
    check(
        "x-webkit-deflate-frame, PerMessage-Deflate; server_max_window_bits=\"15\"",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=15",
    );
}

#[test]
fn a_peer_may_insist_on_forgetting() {
    let offer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let agreed = Agreement::choose([offer], Context::Kept, Context::Kept).unwrap();
    assert_eq!(
        (agreed.server, agreed.peer),
        (Context::Discarded, Context::Discarded)
    );
    let agreed = Agreement::choose(["permessage-deflate"], Context::Kept, Context::Kept).unwrap();
    assert_eq!(agreed.answer(), "permessage-deflate");
}

#[test]
fn offers_that_cannot_be_met_are_passed_over() {
    for offer in [
        "",
        "permessage-bzip2",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=09",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; unknown",
    ] {
        let agreed = Agreement::choose([offer], Context::Discarded, Context::Discarded);
        assert_eq!(agreed, None, "{offer}");
    }
    check(
        "permessage-deflate; unknown, permessage-deflate; server_max_window_bits=12",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=12",
    );
}

#[test]
fn what_is_compressed_comes_back() {
    let texts = ["", "Hello", "Hello", &"tidings ".repeat(20_000), "é€"];
    for window in Window::ALL {
        for context in [Context::Discarded, Context::Kept] {
            let mut deflating = Deflater::new(window, context);
            let offer = "permessage-deflate";
            let agreed = Agreement::choose([offer], context, context).unwrap();
            let mut inflating = Inflater::new(&agreed);
            for text in texts {
                let packed = deflating.deflate(text.as_bytes());
                let back = inflating.inflate(&packed, text.len()).unwrap();
                assert_eq!(back, text.as_bytes());
            }
        }
    }
}

/// RFC 7692, 7.2.3.1 and 7.2.3.2.
#[test]
fn the_standards_example_is_written() {
    let mut forgetting = Deflater::new(Window::Bits15, Context::Discarded);
    for _ in 0..2 {
        assert_eq!(
            forgetting.deflate(b"Hello"),
            b"\xf2\x48\xcd\xc9\xc9\x07\x00"
        );
    }
    let mut keeping = Deflater::new(Window::Bits15, Context::Kept);
    let first = keeping.deflate(b"Hello").len();
    assert!(keeping.deflate(b"Hello").len() < first);
}

#[test]
fn what_is_not_deflate_is_refused() {
    let agreed = Agreement::choose(["permessage-deflate"], Context::Kept, Context::Kept).unwrap();
    let mut inflating = Inflater::new(&agreed);
    assert_eq!(
        inflating.inflate(b"\xff\xff\xff", 100),
        Err(InflateError::Malformed)
    );
    assert_eq!(
        inflating.inflate(b"\xf2\x48\xcd\xc9\xc9\x07\x00", 4),
        Err(InflateError::TooBig)
    );
}

#[track_caller]
fn check(offer: &str, answer: &str) {
    let agreed = Agreement::choose([offer], Context::Discarded, Context::Discarded).unwrap();
    assert_eq!(agreed.answer(), answer);
}
