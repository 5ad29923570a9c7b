//! ZeroMQ connections.

use tidings_wire::zmtp;
use tidings_wire::zmtp::handshake::{Handshake, Role, Security};

/// Input: the bytes of a peer after its handshake.
pub fn zmtp_decoder(input: &[u8]) {
    let decode = |pieces: &[&[u8]]| {
        let mut decoder = zmtp::decoder::Decoder::new(1000);
        let mut received = zmtp::decoder::Received::default();
        let result = pieces
            .iter()
            .try_for_each(|piece| decoder.push(piece, &mut received));
        (received, result)
    };
    let (received, result) = decode(&[input]);
    let mut start = 0;
    for extent in &received.messages {
        let wire = &received.wire[start..extent.end];
        let parts: Vec<&[u8]> = zmtp::frame::parts(wire).collect();
        assert_eq!(parts.len(), extent.parts);
        assert_eq!(
            parts[0],
            &received.wire[extent.first..extent.first + extent.first_len]
        );
        assert!(parts.iter().map(|part| part.len()).sum::<usize>() <= 1000);
        // Encoding a message again gives the same bytes, except for lengths that are longer than
        // necessary.
        let mut again = Vec::new();
        zmtp::frame::encode_message(&mut again, &parts);
        assert!(again.len() <= wire.len());
        assert!(zmtp::frame::parts(&again).eq(parts));
        start = extent.end;
    }
    assert_eq!(start, received.wire.len());
    let middle = input.len() / 2;
    let (pieces, result_of_pieces) = decode(&[&input[..middle], &input[middle..]]);
    assert_eq!(pieces.wire, received.wire);
    assert_eq!(pieces.commands, received.commands);
    assert_eq!(result_of_pieces, result);
}

/// Input: the bytes of a peer from the first one on.
pub fn zmtp_handshake(input: &[u8]) {
    let securities = [
        Security::Null,
        Security::Plain {
            username: "ann".into(),
            password: "secret".into(),
        },
    ];
    for (security, role) in securities
        .iter()
        .flat_map(|security| [(security, Role::Server), (security, Role::Client)])
    {
        let run = |pieces: &[&[u8]]| {
            let options = zmtp::handshake::Options {
                socket_type: zmtp::SocketType::Pull,
                security: security.clone(),
                role,
            };
            let mut out = Vec::new();
            let mut handshake = Handshake::new(options, &mut out);
            let mut rest = Vec::new();
            let mut peer = None;
            for piece in pieces {
                match peer {
                    Some(_) => rest.extend_from_slice(piece),
                    None => peer = handshake.push(piece, &mut out)?,
                }
            }
            Ok::<_, zmtp::ProtocolError>((peer, [handshake.rest(), rest].concat(), out))
        };
        let middle = input.len() / 2;
        let (whole, pieces) = (run(&[input]), run(&[&input[..middle], &input[middle..]]));
        assert_eq!(whole, pieces);
        if let Ok((Some(peer), ..)) = whole {
            assert_eq!(peer.socket_type, zmtp::SocketType::Push);
        }
    }
}
