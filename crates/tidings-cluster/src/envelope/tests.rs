//! Envelopes: bytes that never change, every field there and back, and nothing that was cut or
//! changed passes for something else.

use proptest::prelude::*;

use super::*;

/// Written by a program of its own, by what stands at the top of `envelope.rs`.
const PLAIN: &str = "01000000010561626364650474657874";
const FOR_HUBS: &str = "01030000010561626364650474657874";
const WITHDRAWN: &str = "01040000010561626364650474657874";
const TRACED: &str =
    "0200001001056162636465a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a55a5a5a5a5a5a5a5a010474657874";
const FULL: &str = "0102020f02016102c3a902036f6e650374776f0d75726e3a6578616d706c653a31046e6f7465ffffffffffffffffff01036b6579e0a712070707070707070707070707070707070a6c696e650a6c696e6500";

#[test]
fn the_bytes_of_version_1_never_change() {
    let versions = [
        (plain(), PLAIN),
        (for_hubs(), FOR_HUBS),
        (withdrawn(), WITHDRAWN),
        (full(), FULL),
    ];
    for (envelope, bytes) in versions {
        let encoded: String = envelope
            .encode()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(encoded, bytes);
        assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
    }
}

#[test]
fn a_trace_makes_version_2_and_nothing_else_does() {
    let encoded: String = traced()
        .encode()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(encoded, TRACED);
    assert_eq!(Envelope::decode(&traced().encode()), Ok(traced()));
    // Hubs that read version 1 alone refuse version 2, by its name, and read everything without a trace.
    assert_eq!(traced().encode()[0], 2);
    assert_eq!((plain().encode()[0], full().encode()[0]), (1, 1));
    let parts = EnvelopeError::Invalid { part: "parts" };
    for (place, value) in [(0, 1), (3, 0)] {
        let mut bytes = traced().encode();
        bytes[place] = value;
        assert_eq!(Envelope::decode(&bytes), Err(parts.clone()));
    }
    let trace = EnvelopeError::Invalid { part: "the trace" };
    let mut bytes = traced().encode();
    bytes[11..27].fill(0);
    assert_eq!(Envelope::decode(&bytes), Err(trace.clone()));
    let mut bytes = traced().encode();
    bytes[35] |= 2;
    assert_eq!(Envelope::decode(&bytes), Err(trace));
}

#[test]
fn every_truncation_and_every_addition_is_an_error() {
    for envelope in [plain(), full(), traced()] {
        let mut bytes = envelope.encode();
        for length in 0..bytes.len() {
            assert!(Envelope::decode(&bytes[..length]).is_err(), "{length}");
        }
        bytes.push(0);
        assert_eq!(
            Envelope::decode(&bytes),
            Err(EnvelopeError::Trailing { bytes: 1 })
        );
    }
}

#[test]
fn another_version_is_named() {
    let mut bytes = plain().encode();
    bytes[0] = 3;
    assert_eq!(
        Envelope::decode(&bytes),
        Err(EnvelopeError::Version { version: 3 })
    );
}

#[test]
fn a_length_without_bytes_takes_no_memory() {
    let mut bytes = vec![1, 0, 0, 0];
    put_number(&mut bytes, u64::MAX);
    let truncated = EnvelopeError::Truncated { part: "the topics" };
    assert_eq!(Envelope::decode(&bytes), Err(truncated));
}

proptest! {
    #[test]
    fn any_update_comes_back(envelope in envelopes()) {
        prop_assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
    }

    #[test]
    fn a_changed_byte_is_another_update_or_an_error(
        envelope in envelopes(),
        place in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let mut bytes = envelope.encode();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        if let Ok(other) = Envelope::decode(&bytes) {
            prop_assert_ne!(other, envelope);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        versioned in any::<bool>(),
    ) {
        let mut bytes = bytes;
        if versioned {
            bytes.splice(0..bytes.len().min(4), [VERSION, 0, 0, 16]);
        }
        drop(Envelope::decode(&bytes));
    }
}

fn envelopes() -> impl Strategy<Value = Envelope> {
    let topics = prop::collection::vec("[a-zé/:]{1,40}", 1..4);
    let visibility = prop_oneof![
        Just(Visibility::Public),
        Just(Visibility::Private),
        Just(Visibility::Hubs),
        Just(Visibility::Withdrawn),
        prop::collection::vec("[a-z]{1,9}", 1..4).prop_map(|names| targets(&names)),
    ];
    let presence = prop_oneof![
        Just(None),
        Just(Some(Presence::Begins(None))),
        any::<[u8; 16]>().prop_map(|bytes| Some(Presence::Begins(Some(Holder::new(bytes))))),
        Just(Some(Presence::Ends)),
    ];
    let id = prop::option::of("[a-z]{1,30}");
    let event_type = prop::option::of("[a-z]{1,10}");
    let key = prop::option::of((prop::collection::vec(any::<u8>(), 1..=64), any::<u64>()));
    let rest = (
        id,
        event_type,
        prop::option::of(any::<u64>()),
        key,
        prop::option::of((1_u8.., any::<bool>())),
        "\\PC{0,300}",
    );
    (topics, visibility, presence, rest).prop_map(|(topics, visibility, presence, rest)| {
        let (id, event_type, retry_ms, key, trace, data) = rest;
        let topics = topics.iter().map(|name| Topic::parse(name).unwrap());
        Envelope {
            draft: Draft {
                trace: trace
                    .and_then(|(byte, sampled)| TraceContext::new([byte; 16], [byte; 8], sampled)),
                topics: Topics::new(topics.collect()).unwrap(),
                data: data.into(),
                visibility,
                id: id.and_then(|id| EventId::parse(&id).ok()),
                event_type: event_type.and_then(|name| EventType::parse(&name).ok()),
                retry_ms,
                presence,
            },
            key: key.map(|(bytes, kept_ms)| (Key::new(&bytes).unwrap(), kept_ms)),
        }
    })
}

fn targets(names: &[String]) -> Visibility {
    let targets = names.iter().map(|name| Target::parse(name).unwrap());
    Visibility::Targeted(Targets::new(targets.collect()).unwrap().unwrap())
}

fn plain() -> Envelope {
    Envelope {
        draft: Draft {
            trace: None,
            topics: Topics::one(Topic::parse("abcde").unwrap()),
            data: "text".into(),
            visibility: Visibility::Public,
            id: None,
            event_type: None,
            retry_ms: None,
            presence: None,
        },
        key: None,
    }
}

/// Returns an envelope with a trace, and nothing else beside the topic and the data.
fn traced() -> Envelope {
    let mut envelope = plain();
    envelope.draft.trace = TraceContext::new([0xa5; 16], [0x5a; 8], true);
    envelope
}

fn for_hubs() -> Envelope {
    let mut envelope = plain();
    envelope.draft.visibility = Visibility::Hubs;
    envelope
}

fn withdrawn() -> Envelope {
    let mut envelope = plain();
    envelope.draft.visibility = Visibility::Withdrawn;
    envelope
}

/// Returns an envelope with something in each field.
fn full() -> Envelope {
    let topics = ["a", "é"].map(|name| Topic::parse(name).unwrap());
    Envelope {
        draft: Draft {
            trace: None,
            topics: Topics::new(topics.to_vec()).unwrap(),
            data: "line\nline\0".into(),
            visibility: targets(&["one".to_owned(), "two".to_owned()]),
            id: Some(EventId::parse("urn:example:1").unwrap()),
            event_type: Some(EventType::parse("note").unwrap()),
            retry_ms: Some(u64::MAX),
            presence: Some(Presence::Begins(Some(Holder::new([7; 16])))),
        },
        key: Some((Key::new(b"key").unwrap(), 300_000)),
    }
}
