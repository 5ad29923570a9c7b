//! Handshakes with correct peers, and with peers that break the rules.

use super::*;
use crate::zmtp::frame::encode_message;

/// The bytes of libzmq 4.3.4 for a PUSH socket.
fn push_peer(minor: u8) -> Vec<u8> {
    let mut bytes = greeting::encode("NULL", false);
    bytes[11] = minor;
    encode(
        &mut bytes,
        "READY",
        &[b"\x0bSocket-Type", &4_u32.to_be_bytes(), b"PUSH"],
    );
    bytes
}

fn options(socket_type: SocketType) -> Options {
    Options {
        socket_type,
        security: Security::Null,
        role: Role::Server,
    }
}

fn plain(role: Role, socket_type: SocketType, password: &str) -> Options {
    Options {
        socket_type,
        security: Security::Plain {
            username: "ann".into(),
            password: password.into(),
        },
        role,
    }
}

#[test]
fn our_greeting_is_that_of_zmtp_3_1() {
    let mut out = Vec::new();
    let _handshake = Handshake::new(options(SocketType::Pull), &mut out);
    let mut expected = b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01NULL".to_vec();
    expected.resize(64, 0);
    assert_eq!(out, expected);
}

#[test]
fn a_peer_is_known_after_its_ready_in_whatever_pieces_it_comes() {
    for minor in [0, 1] {
        let mut bytes = push_peer(minor);
        encode_message(&mut bytes, &[b"first"]);
        for split in 0..=bytes.len() {
            let mut out = Vec::new();
            let mut handshake = Handshake::new(options(SocketType::Pull), &mut out);
            let mut peer = handshake.push(&bytes[..split], &mut out).unwrap();
            let mut rest = bytes[split..].to_vec();
            if peer.is_none() {
                peer = handshake.push(&rest, &mut out).unwrap();
                rest.clear();
            }
            let socket_type = SocketType::Push;
            assert_eq!(peer, Some(Peer { socket_type, minor }));
            let rest = [handshake.rest(), rest].concat();
            assert_eq!(rest, b"\x00\x05first");
            assert_eq!(
                out[64..],
                *b"\x04\x1a\x05READY\x0bSocket-Type\0\0\0\x04PULL"
            );
        }
    }
}

#[test]
fn what_is_no_handshake_is_named() {
    check(b"GET / HTTP/1.1\r\n", "greeting");
    check(b"\xff\0\0\0\0\0\0\0\x01\x7f\x01", "version");
    check(b"\xff\0\0\0\0\0\0\0\x05\x00\x01", "version");
    check(&greeting::encode("CURVE", false), "mechanism");
    let ready = |socket: &str| {
        let mut bytes = greeting::encode("NULL", false);
        let len = u32::try_from(socket.len()).unwrap().to_be_bytes();
        let property: [&[u8]; 3] = [b"\x0bSocket-Type", &len, socket.as_bytes()];
        encode(&mut bytes, "READY", &property);
        bytes
    };
    check(&ready("SUB"), "socket_type");
    check(&ready("push"), "socket_type");
    check(&ready(""), "socket_type");
    let greeting = greeting::encode("NULL", false);
    check(
        &[&greeting[..], b"\x04\x07\x05READY\xff"].concat(),
        "command",
    );
    check(&[&greeting[..], b"\x04\x01\x05"].concat(), "command");
    check(&[&greeting[..], b"\x00\x01x"].concat(), "handshake");
    check(&[&greeting[..], b"\x08\x01x"].concat(), "flags");
    check(
        &[&greeting[..], b"\x06\0\0\0\x01\0\0\0\0"].concat(),
        "handshake_bytes",
    );
    check(
        &[&greeting[..], b"\x04\x0a\x05ERROR\x03no!"].concat(),
        "refused_by_peer",
    );
}

#[test]
fn a_peer_of_the_wrong_type_is_told_so() {
    let mut out = Vec::new();
    let mut handshake = Handshake::new(options(SocketType::Pub), &mut out);
    let error = handshake.push(&push_peer(1), &mut out).unwrap_err();
    let text = "a socket of type \"PUSH\" cannot talk to PUB";
    assert_eq!(error.to_string(), text);
    assert!(out.ends_with(text.as_bytes()));
}

#[test]
fn plain_lets_in_who_knows_the_password() {
    let server = plain(Role::Server, SocketType::Pull, "secret");
    let other = plain(Role::Client, SocketType::Push, "secret");
    let (here, there) = converse(server, other);
    assert_eq!(here.unwrap().unwrap().socket_type, SocketType::Push);
    assert_eq!(there.unwrap().unwrap().socket_type, SocketType::Pull);
}

#[test]
fn plain_keeps_out_who_does_not() {
    let server = plain(Role::Server, SocketType::Pull, "secret");
    let other = plain(Role::Client, SocketType::Push, "Secret");
    let (here, there) = converse(server, other);
    assert_eq!(here, Err(ProtocolError::Credentials));
    assert_eq!(there.unwrap_err().reason(), "refused_by_peer");
    let server = plain(Role::Server, SocketType::Pull, "secret");
    let (here, _) = converse(server, options(SocketType::Push));
    assert_eq!(here.unwrap_err().reason(), "mechanism");
    let server = plain(Role::Server, SocketType::Pull, "secret");
    let other = plain(Role::Server, SocketType::Push, "secret");
    let (here, _) = converse(server, other);
    assert_eq!(here, Err(ProtocolError::Role("server")));
}

type Outcome = Result<Option<Peer>, ProtocolError>;

/// Exchanges bytes between two ends until neither has anything to send.
fn converse(server: Options, other: Options) -> (Outcome, Outcome) {
    let (mut to_other, mut to_server) = (Vec::new(), Vec::new());
    let mut here = Handshake::new(server, &mut to_other);
    let mut there = Handshake::new(other, &mut to_server);
    let (mut at_server, mut at_other) = (Ok(None), Ok(None));
    while !to_other.is_empty() || !to_server.is_empty() {
        let (for_server, for_other) = (
            std::mem::take(&mut to_server),
            std::mem::take(&mut to_other),
        );
        if at_server == Ok(None) {
            at_server = here.push(&for_server, &mut to_other);
        }
        if at_other == Ok(None) {
            at_other = there.push(&for_other, &mut to_server);
        }
    }
    (at_server, at_other)
}

#[track_caller]
fn check(bytes: &[u8], reason: &str) {
    let mut out = Vec::new();
    let mut handshake = Handshake::new(options(SocketType::Pull), &mut out);
    let error = handshake.push(bytes, &mut out).unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
}
