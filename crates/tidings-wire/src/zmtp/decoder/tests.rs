//! Messages and commands in pieces of any size, and violations of the rules.

use super::*;
use crate::zmtp::command::{encode_ping, encode_subscribe};
use crate::zmtp::frame::{encode_message, parts};

const MESSAGE_BYTES_MAX: usize = 1000;

fn traffic() -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_message(&mut bytes, &[b"{\"from\":\"a\",\"text\":\"b\"}"]);
    encode_subscribe(&mut bytes, b"scores.", 1);
    encode_message(&mut bytes, &[b"topic", b"", &[7; 300]]);
    encode_ping(&mut bytes, 300);
    encode_subscribe(&mut bytes, b"", 0);
    encode_message(&mut bytes, &[b""]);
    bytes
}

#[test]
fn messages_and_commands_are_found_at_every_split() {
    let bytes = traffic();
    let whole = decode(&[&bytes]).unwrap();
    let texts: Vec<Vec<&[u8]>> = messages(&whole).collect();
    assert_eq!(texts[0], [b"{\"from\":\"a\",\"text\":\"b\"}"]);
    assert_eq!(texts[1], [&b"topic"[..], b"", &[7; 300]]);
    assert_eq!(texts[2], [b"\x01"]);
    assert_eq!(texts[3], [b""]);
    assert_eq!(whole.messages.len(), 4);
    assert_eq!(whole.messages[1].parts, 3);
    let command = [
        PeerCommand::Subscribe((*b"scores.").into()),
        PeerCommand::Ping((*b"").into()),
    ];
    assert_eq!(whole.commands, command);
    for split in 0..bytes.len() {
        let pieces = decode(&[&bytes[..split], &bytes[split..]]).unwrap();
        assert_eq!(pieces.wire, whole.wire);
        assert_eq!(pieces.messages, whole.messages);
        assert_eq!(pieces.commands, whole.commands);
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(&single).unwrap().messages, whole.messages);
}

#[test]
fn a_heartbeat_between_parts_belongs_to_no_message() {
    let mut ping = Vec::new();
    encode_ping(&mut ping, 1);
    let bytes = [b"\x01\x01x", &ping[..], b"\x00\x01y"].concat();
    let received = decode(&[&bytes]).unwrap();
    assert_eq!(received.wire, b"\x01\x01x\x00\x01y");
    assert_eq!(received.commands.len(), 1);
}

#[test]
fn what_breaks_a_rule_is_named() {
    check(b"\x08\x00", "flags");
    check(b"\x05\x00", "flags");
    check(b"\x04\x00", "command");
    check(b"\x06\0\0\0\0\0\x01\0\0", "command_bytes");
    check(b"\x02\xff\xff\xff\xff\xff\xff\xff\xff", "message_bytes");
    check(
        &[&b"\x02\0\0\0\0\0\0\x03\xe9"[..], &[0; 1001]].concat(),
        "message_bytes",
    );
    let many = [b"\x01\xff", &[0; 255][..]].concat().repeat(4);
    check(&many, "message_bytes");
    check(&b"\x01\x00".repeat(MESSAGE_PARTS_MAX + 1), "message_parts");
    check(b"\x04\x09\x05ERROR\x02no", "refused_by_peer");
    check(
        &[&b"\x04\x18\x04PING\0\0"[..], &[0; 17]].concat(),
        "command",
    );
}

#[test]
fn what_came_before_a_broken_rule_counts() {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let mut received = Received::default();
    let result = decoder.push(b"\x00\x02ok\x80", &mut received);
    assert_eq!(result.unwrap_err().reason(), "flags");
    assert_eq!(received.wire, b"\x00\x02ok");
}

fn messages(received: &Received) -> impl Iterator<Item = Vec<&[u8]>> {
    let mut start = 0;
    received.messages.iter().map(move |extent| {
        let message = &received.wire[start..extent.end];
        start = extent.end;
        let first = &received.wire[extent.first..extent.first + extent.first_len];
        let parts: Vec<&[u8]> = parts(message).collect();
        assert_eq!(parts.first(), Some(&first));
        assert_eq!(parts.len(), extent.parts);
        parts
    })
}

fn decode(pieces: &[&[u8]]) -> Result<Received, ProtocolError> {
    let mut decoder = Decoder::new(MESSAGE_BYTES_MAX);
    let mut received = Received::default();
    for piece in pieces {
        decoder.push(piece, &mut received)?;
    }
    Ok(received)
}

#[track_caller]
fn check(bytes: &[u8], reason: &str) {
    let error = decode(&[bytes]).unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(decode(&single).unwrap_err().reason(), reason);
}
