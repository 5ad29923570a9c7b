//! Frames from peers: the examples of the standards, every split, every rule that can be broken.

use super::super::close::CloseCode;
use super::super::deflate::{Agreement, Context, Deflater, Window};
use super::super::encoder::{Packing, masked_frame};
use super::*;

const LIMITS: Limits = Limits {
    bytes_max: 70_000,
    fragments_max: 8,
};
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// RFC 6455, 5.7.
#[test]
fn the_standards_own_frames_are_read() {
    check(Role::Peer, b"\x81\x05Hello", "text Hello");
    check(
        Role::Server,
        b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        "text Hello",
    );
    check(Role::Peer, b"\x01\x03Hel\x80\x02lo", "text Hello");
    check(Role::Peer, b"\x89\x05Hello", "ping Hello");
    check(
        Role::Server,
        b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58",
        "pong Hello",
    );
}

#[test]
fn lengths_of_all_three_forms_are_read() {
    for len in [0, 1, 125, 126, 127, 255, 256, 65_535, 65_536, 70_000] {
        let text = "x".repeat(len);
        check(
            Role::Server,
            &masked(Opcode::Text, text.as_bytes()),
            &format!("text {text}"),
        );
    }
}

#[test]
fn controls_come_between_fragments_and_keep_their_bytes() {
    check(
        Role::Peer,
        b"\x01\x01a\x89\x01p\x00\x01b\x8a\x00\x80\x01c\x82\x01z",
        "ping p\npong \ntext abc\nbinary z",
    );
}

#[test]
fn what_follows_a_close_is_ignored() {
    check(
        Role::Peer,
        b"\x88\x02\x03\xe8\x81\x01x\xff\xff",
        "close 1000 ",
    );
    check(Role::Peer, b"\x88\x00", "close");
    check(Role::Peer, b"\x88\x05\x0f\xa0bye", "close 4000 bye");
}

#[test]
fn each_broken_rule_has_its_name_and_code() {
    let rules: [(&[u8], DecodeError, u16); 18] = [
        (b"\xc1\x00", DecodeError::Reserved, 1002),
        (b"\xa1\x00", DecodeError::Reserved, 1002),
        (b"\x91\x00", DecodeError::Reserved, 1002),
        (b"\x83\x00", DecodeError::Opcode { bits: 3 }, 1002),
        (b"\x8b\x00", DecodeError::Opcode { bits: 11 }, 1002),
        (b"\x81\x80", DecodeError::Masked, 1002),
        (b"\x09\x00", DecodeError::ControlFragment, 1002),
        (b"\x89\x7e", DecodeError::ControlTooLong, 1002),
        (b"\x80\x00", DecodeError::ContinuationOfNothing, 1002),
        (b"\x01\x00\x81\x00", DecodeError::Interleaved, 1002),
        (b"\x82\x7f\x80\0\0\0\0\0\0\0", DecodeError::Length, 1002),
        (
            b"\x82\x7f\0\0\0\0\0\x01\x11\x71",
            DecodeError::TooBig { max: 70_000 },
            1009,
        ),
        (b"\x81\x02\xc3\x28", DecodeError::NotUtf8, 1007),
        (b"\x81\x01\xc3", DecodeError::NotUtf8, 1007),
        (b"\x88\x01\x03", DecodeError::CloseTooShort, 1002),
        (
            b"\x88\x02\x03\xed",
            DecodeError::CloseCode { code: 1005 },
            1002,
        ),
        (b"\x88\x03\x03\xe8\xff", DecodeError::NotUtf8, 1007),
        (
            b"\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
            DecodeError::TooManyFragments { max: 8 },
            1008,
        ),
    ];
    for (bytes, error, code) in rules {
        let found = decode(Role::Peer, None, &[bytes]).1;
        assert_eq!(found, Err(error), "{bytes:02x?}");
        assert_eq!(error.close_code().get(), code);
    }
    let unmasked = decode(Role::Server, None, &[b"\x81\x01x"]).1;
    assert_eq!(unmasked, Err(DecodeError::Unmasked));
}

#[test]
fn a_mistake_is_noticed_before_the_frame_has_ended() {
    // Only the invalid byte of the announced payload has arrived.
    let found = decode(Role::Peer, None, &[b"\x81\x7e\x40\x00ab\xff"]).1;
    assert_eq!(found, Err(DecodeError::NotUtf8));
    let found = decode(Role::Peer, None, &[b"\x89\x7f"]).1;
    assert_eq!(found, Err(DecodeError::ControlTooLong));
}

#[test]
fn an_announced_length_takes_no_memory() {
    let mut decoder = Decoder::new(Role::Peer, LIMITS, None);
    let mut input: &[u8] = b"\x82\x7f\0\0\0\0\0\x01\x11\x70ab";
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(decoder.held_bytes() < 64);
}

#[test]
fn every_split_reads_the_same() {
    let mut bytes = masked(Opcode::Text, "κόσμε".as_bytes());
    bytes.extend(masked(Opcode::Ping, b"1234567890"));
    bytes.extend(masked(Opcode::Binary, &[7; 300]));
    bytes.extend(masked(Opcode::Close, b"\x03\xe9bye"));
    let whole = decode(Role::Server, None, &[&bytes]);
    assert_eq!(whole.0.len(), 4);
    for split in 0..=bytes.len() {
        let (first, second) = bytes.split_at(split);
        assert_eq!(
            decode(Role::Server, None, &[first, second]),
            whole,
            "{split}"
        );
    }
    let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(Role::Server, None, &bytewise), whole);
}

/// RFC 7692, 7.2.3.
#[test]
fn the_standards_own_compressed_frames_are_read() {
    let frames: [&[u8]; 4] = [
        b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00",
        // A stored block.
        b"\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        // A final block.
        b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
    ];
    for frame in frames {
        let (events, result) = decode(Role::Peer, Some(agreement(Context::Kept)), &[frame]);
        assert_eq!(result, Ok(()), "{frame:02x?}");
        assert_eq!(events, ["text Hello"]);
    }
}

#[test]
fn a_kept_context_serves_the_next_text() {
    let twice = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00";
    let (events, result) = decode(Role::Peer, Some(agreement(Context::Kept)), &[twice]);
    assert_eq!(
        (events.as_slice(), result),
        (
            &["text Hello".to_owned(), "text Hello".to_owned()][..],
            Ok(())
        )
    );
    let result = decode(Role::Peer, Some(agreement(Context::Discarded)), &[twice]).1;
    assert_eq!(result, Err(DecodeError::Deflate));
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let mut deflating = Deflater::new(Window::Bits15, Context::Discarded);
    let bomb = deflating.deflate(&vec![0; 50_000_000]);
    assert!(bomb.len() < 70_000);
    let frame = masked_frame(Opcode::Binary, Packing::Deflated, &bomb, KEY);
    let result = decode(Role::Server, Some(agreement(Context::Discarded)), &[&frame]).1;
    assert_eq!(result, Err(DecodeError::TooBig { max: 70_000 }));
}

#[test]
fn only_the_first_fragment_says_that_it_is_compressed() {
    let frame = b"\x41\x03\xf2\x48\xcd\xc0\x04\xc9\xc9\x07\x00";
    let result = decode(Role::Peer, Some(agreement(Context::Kept)), &[frame]).1;
    assert_eq!(result, Err(DecodeError::Reserved));
}

#[test]
fn codes_that_nobody_may_send_are_refused() {
    for code in [
        0,
        999,
        1004,
        1005,
        1006,
        1015,
        1016,
        2000,
        2999,
        5000,
        u16::MAX,
    ] {
        assert_eq!(CloseCode::new(code), None, "{code}");
    }
}

fn agreement(peer: Context) -> Agreement {
    Agreement::choose(["permessage-deflate"], Context::Kept, peer).unwrap()
}

fn masked(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    masked_frame(opcode, Packing::Plain, payload, KEY)
}

#[track_caller]
fn check(role: Role, bytes: &[u8], expected: &str) {
    let (events, result) = decode(role, None, &[bytes]);
    assert_eq!(result, Ok(()));
    assert_eq!(events.join("\n"), expected);
}

fn decode(
    role: Role,
    agreement: Option<Agreement>,
    pieces: &[&[u8]],
) -> (Vec<String>, Result<(), DecodeError>) {
    let inflating = agreement.as_ref().map(Inflater::new);
    let mut decoder = Decoder::new(role, LIMITS, inflating);
    let mut events = Vec::new();
    for piece in pieces {
        let mut input = *piece;
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(event)) => events.push(shown(&event)),
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
            }
        }
        assert!(input.is_empty());
    }
    (events, Ok(()))
}

fn shown(event: &Event) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match event {
        Event::Text(payload) => format!("text {payload}"),
        Event::Binary(payload) => format!("binary {}", text(payload)),
        Event::Ping(payload) => format!("ping {}", text(payload)),
        Event::Pong(payload) => format!("pong {}", text(payload)),
        Event::Close(Some(close)) => format!("close {} {}", close.code.get(), close.reason),
        Event::Close(None) => "close".to_owned(),
    }
}
