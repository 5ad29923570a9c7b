//! Two-way connections: WebSocket and SockJS.

use tidings_wire::form::append_pair;
use tidings_wire::hub_frames::Request;
use tidings_wire::sockjs::{self, Framing, InboundError, Place, Transport, inbound, text_frame};
use tidings_wire::websocket::deflate::{Agreement, Context, Deflater, Inflater, Window};
use tidings_wire::websocket::frames::{self, Limits, Role as End};
use tidings_wire::websocket::handshake::{RequestFields, choose_protocol, response_head};
use tidings_wire::websocket::hixie76;

use super::{split_text, text};

/// Input: a text message of a peer.
pub fn hub_frames(input: &[u8]) {
    // A decoded request is always printable.
    if let Ok(request) = Request::decode(&text(input)) {
        assert!(!format!("{request:?}").is_empty());
    }
}

/// Input: what a SockJS peer sends, decoded as a body, a form and a WebSocket message.
pub fn sockjs_inbound(input: &[u8]) {
    const TEXTS_MAX: usize = 4;
    let texts = inbound::decode(input, TEXTS_MAX);
    if let Ok(texts) = &texts {
        assert!(texts.len() <= TEXTS_MAX);
        // Decoded texts are the same after they are encoded and decoded again, surrogates included.
        let frame = text_frame(texts);
        let again = inbound::decode(frame.trim_start_matches('a').as_bytes(), TEXTS_MAX);
        assert_eq!(again.as_ref(), Ok(texts));
    }
    let mut form = String::new();
    append_pair(&mut form, "d", &text(input));
    let by_form = inbound::decode_jsonp(form.as_bytes(), true, TEXTS_MAX);
    if let Ok(input) = std::str::from_utf8(input) {
        assert_eq!(by_form, texts);
        let frame = inbound::decode_websocket(input, TEXTS_MAX);
        assert!(input.is_empty() || texts.is_err() || frame == texts);
    } else {
        assert_eq!(texts, Err(InboundError::Broken));
    }
}

/// Input: the name of a function in the first line, a text in the rest.
pub fn sockjs_outbound(input: &[u8]) {
    let (name, body) = split_text(input);
    let frame = sockjs::outbound::unicode_frame(&body);
    for transport in Transport::ALL {
        let Ok(framing) = Framing::new(transport, Some(&name)) else {
            continue;
        };
        let framed = framing.wrap(&frame);
        let framed = std::str::from_utf8(&framed).expect("framing is text");
        if matches!(framing, Framing::Scripts(_)) {
            assert_eq!(framed.matches('<').count(), 2, "{framed}");
        }
        assert!(matches!(framing, Framing::Scripts(_)) || framed.lines().count() <= 2);
    }
}

/// Input: a path below a SockJS base.
pub fn sockjs_place(input: &[u8]) {
    let path = text(input);
    if let Some(Place::Session { id, transport }) = Place::parse(&path) {
        assert!(!id.is_empty() && !id.contains(['/', '.']));
        assert!(path.ends_with(transport.name()));
    }
}

/// Input: the first byte selects the split and whether compression is on; the rest are the bytes of
/// a peer.
pub fn websocket_frames(input: &[u8]) {
    const LIMITS: Limits = Limits {
        bytes_max: 10_000,
        fragments_max: 16,
    };
    let Some((&first, bytes)) = input.split_first() else {
        return;
    };
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let context = if first & 2 == 0 {
            Context::Kept
        } else {
            Context::Discarded
        };
        let agreed = Agreement::choose(["permessage-deflate"], context, context);
        let inflating = agreed
            .filter(|_| first & 1 == 1)
            .map(|agreed| Inflater::new(&agreed));
        let role = if first & 4 == 0 {
            End::Server
        } else {
            End::Peer
        };
        let mut decoder = frames::Decoder::new(role, LIMITS, inflating);
        let mut events = Vec::new();
        for mut piece in pieces {
            loop {
                match decoder.decode(&mut piece) {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => return (events, Err(error)),
                }
            }
            assert!(piece.is_empty());
            assert!(decoder.held_bytes() <= 3 * LIMITS.bytes_max);
        }
        (events, Ok(()))
    };
    let whole = read(&mut std::iter::once(bytes));
    let cut = usize::from(first >> 3) + 1;
    assert_eq!(read(&mut bytes.chunks(cut)), whole);
    for event in &whole.0 {
        if let frames::Event::Text(text) = event {
            assert!(text.len() <= LIMITS.bytes_max);
        }
    }
    let mut deflating = Deflater::new(Window::Bits9, Context::Discarded);
    assert_eq!(deflating.deflate(bytes), deflating.deflate(bytes));
}

/// Input: the value of `Sec-WebSocket-Extensions` in the first line, of `Sec-WebSocket-Key` in the
/// rest.
pub fn websocket_handshake(input: &[u8]) {
    let (extensions, key) = split_text(input);
    let agreed = Agreement::choose([&*extensions], Context::Kept, Context::Discarded);
    if let Some(agreed) = &agreed {
        let again = Agreement::choose([agreed.answer().as_str()], Context::Kept, Context::Kept);
        assert_eq!(again.as_ref().map(Agreement::answer), Some(agreed.answer()));
    }
    let protocol = choose_protocol([&*extensions], &["chat"]);
    let asked = RequestFields {
        upgrade: vec![&extensions, "websocket"],
        connection: vec!["upgrade"],
        key: vec![&key],
        version: vec!["13"],
    };
    if let Ok(accept) = asked.accept() {
        let head = response_head(&accept, protocol, agreed.as_ref());
        assert!(head.ends_with(b"\r\n\r\n"));
        assert!(head.iter().filter(|byte| **byte == b'\n').count() <= 7);
    }
}

/// Input: the size of the pieces, then the bytes of a peer from 2010. Every split gives the same
/// events; a text is encoded as it was decoded; and keys never panic.
pub fn websocket_hixie76(input: &[u8]) {
    let (cut, bytes) = input.split_first().unwrap_or((&1, &[]));
    let read = |at_once: usize| {
        let mut decoder = hixie76::Decoder::new(64);
        let mut events = Vec::new();
        for mut part in bytes.chunks(at_once.max(1)) {
            loop {
                match decoder.decode(&mut part) {
                    Ok(Some(event)) => events.push(Ok(event)),
                    Ok(None) => break,
                    Err(error) => {
                        events.push(Err(error));
                        return events;
                    }
                }
            }
        }
        events
    };
    let events = read(usize::from(*cut));
    assert_eq!(events, read(usize::MAX));
    for event in events {
        if let Ok(hixie76::Event::Text(text)) = event {
            let frame = hixie76::text(text.as_bytes());
            let again = hixie76::Decoder::new(64).decode(&mut &frame[..]);
            assert_eq!(again, Ok(Some(hixie76::Event::Text(text))));
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let (first, second) = text.split_once('\n').unwrap_or((&text, ""));
    if let Some(keys) = hixie76::Keys::parse(first, second) {
        let nonce = [0; hixie76::NONCE_BYTES];
        assert_eq!(keys.answer(nonce), keys.answer(nonce));
    }
}
