//! Requests of Mercure and what the hub sends: forms, queries, event streams, tokens.

use tidings_wire::form::{self, append_pair, pairs};
use tidings_wire::frame::Frame;
use tidings_wire::old_publish_form::OldPublishForm;
use tidings_wire::publish_form::PublishForm;
use tidings_wire::selector_query::{self, SelectorError, SelectorQuery};
use tidings_wire::sse::{EventFields, encode_event, event_len};
use tidings_wire::sse_decoder::{DEFAULT_EVENT_TYPE, DecodeError, Decoded, Decoder, Event};
use tidings_wire::subscribe_query::SubscribeQuery;

use super::{split, split_text, text, tokens};

/// Input: an encoded form.
pub fn form(input: &[u8]) {
    let decoded: Vec<_> = pairs(input)
        .filter_map(|pair| Some((pair.name().ok()?, pair.value().ok()?)))
        .collect();
    assert!(
        decoded
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>()
            <= input.len()
    );
    let mut encoded = String::new();
    for (name, value) in &decoded {
        append_pair(&mut encoded, name, value);
    }
    let again: Vec<_> = pairs(encoded.as_bytes())
        .map(|pair| {
            (
                pair.name().expect("encoded from text"),
                pair.value().expect("encoded from text"),
            )
        })
        .collect();
    assert_eq!(again, decoded);
    for error in pairs(input).filter_map(|pair| pair.name().err().or_else(|| pair.value().err())) {
        assert!(error.field.chars().count() <= form::SHOWN_CHARACTERS_MAX);
    }
}

/// Input: the body of a publication before 1.0.
pub fn old_publish_form(input: &[u8]) {
    let Ok(form) = OldPublishForm::decode(input, 8, 4) else {
        return;
    };
    assert!((1..=8).contains(&form.fields.topics.len()) && form.targets.len() <= 4);
    assert_ne!(form.fields.retry, Some(0));
    let mut encoded = form.fields.encode();
    for target in &form.targets {
        append_pair(&mut encoded, "target", target);
    }
    assert_eq!(OldPublishForm::decode(encoded.as_bytes(), 8, 4), Ok(form));
    // Decoding the same body as one of 1.0 gives the same fields, unless 1.0 is stricter.
    if let (Ok(modern), Ok(old)) = (
        PublishForm::decode(input, 8),
        OldPublishForm::decode(input, 8, 4),
    ) {
        let retry = modern.retry.filter(|ms| *ms > 0);
        assert_eq!(PublishForm { retry, ..modern }, old.fields);
    }
}

/// Input: as for [`token`], for tokens before 1.0.
pub fn old_token(input: &[u8]) {
    let whole = text(input);
    assert!(tokens::verify_old(&whole).is_err());
    let (header, claims) = match whole.split_once('\n') {
        Some((header, claims)) => (header, claims),
        None => ("{\"alg\":\"HS256\"}", &*whole),
    };
    let token = tokens::sign(header, claims);
    let verified = tokens::verify_old(&token);
    assert_eq!(verified, tokens::verify_old(&token));
    if let Ok(grants) = verified {
        // JSON may write a name with escapes.
        let names = |text: &str, name| text.contains(name) || text.contains('\\');
        assert!(names(header, "HS256"));
        // Without this claim a token is valid but grants nothing.
        assert!(names(claims, "mercure") || !grants);
        // No token is both: one that is accepted leniently is never a valid token of 1.0.
        assert!(tokens::verify(&token).is_err());
        let (signed, _) = token.rsplit_once('.').unwrap_or_default();
        assert!(tokens::verify_old(&format!("{signed}.")).is_err());
    }
}

/// Input: the body of a publication.
pub fn publish_form(input: &[u8]) {
    if let Ok(form) = PublishForm::decode(input, 8) {
        assert!((1..=8).contains(&form.topics.len()));
        assert_eq!(PublishForm::decode(form.encode().as_bytes(), 8), Ok(form));
    }
}

/// Input: the query of a subscription before 1.0.
pub fn selector_query(input: &[u8]) {
    let _token = selector_query::token(input);
    let cursor = selector_query::old_cursor(input);
    let decoded = SelectorQuery::decode(input, 8);
    if SelectorQuery::applies_to(input) {
        // A query is of one generation or the other.
        assert!(!matches!(decoded, Err(SelectorError::NoSelector)));
        assert!(SubscribeQuery::decode(input, None, 8).is_err());
    }
    let Ok(decoded) = decoded else { return };
    assert!((1..=8).contains(&decoded.selectors.len()));
    assert_eq!(decoded.last_event_id, cursor);
    let mut encoded = String::new();
    for selector in &decoded.selectors {
        append_pair(&mut encoded, "topic", selector);
    }
    if let Some(id) = &decoded.last_event_id {
        append_pair(&mut encoded, "lastEventID", id);
    }
    assert!(SelectorQuery::applies_to(encoded.as_bytes()));
    assert_eq!(SelectorQuery::decode(encoded.as_bytes(), 8), Ok(decoded));
}

/// Input: the type of an event in the first line, its id in the second, its payload in the rest.
pub fn sse(input: &[u8]) {
    let (event_type, rest) = split_text(input);
    let (id, payload) = split_text(rest.as_bytes());
    let event_type = event_type.replace('\r', "");
    let id = id.replace(['\r', '\0'], "");
    let fields = EventFields {
        event_type: Some(event_type.as_str()).filter(|name| !name.is_empty()),
        retry_ms: None,
        id: &id,
        data: &payload,
    };
    let mut stream = Vec::new();
    encode_event(&mut stream, fields);
    assert_eq!(stream.len(), event_len(fields));
    let frame = Frame::encode(fields);
    assert_eq!(frame.event(), stream);
    let chunk = [
        format!("{:x}\r\n", stream.len()).as_bytes(),
        &stream,
        b"\r\n",
    ]
    .concat();
    assert_eq!(*frame.chunk(), chunk);

    let expected = Event {
        event_type: fields.event_type.unwrap_or(DEFAULT_EVENT_TYPE).to_owned(),
        data: payload.replace("\r\n", "\n").replace('\r', "\n"),
        last_event_id: id.clone(),
    };
    let (decoded, result) = decode(&[&stream], stream.len());
    assert_eq!((decoded, result), (vec![Decoded::Event(expected)], Ok(())));
}

/// Input: an event stream. Its first byte also determines where it is split.
pub fn sse_decoder(input: &[u8]) {
    let bound = 64;
    let whole = decode(&[input], bound);
    for decoded in &whole.0 {
        if let Decoded::Event(event) = decoded {
            // Replacing an invalid byte makes three of it.
            assert!(
                event.event_type.len() + event.data.len() <= 3 * bound + DEFAULT_EVENT_TYPE.len()
            );
            assert!(
                !event.data.contains('\r') && !event.last_event_id.contains(['\r', '\n', '\0'])
            );
        }
    }
    let cut = input.first().map_or(0, |byte| usize::from(*byte)) % (input.len() + 1);
    let (first, second) = input.split_at(cut);
    assert_eq!(decode(&[first, second], bound), whole);
    let bytes: Vec<_> = input.chunks(1).collect();
    assert_eq!(decode(&bytes, bound), whole);
}

/// Decodes `pieces` one after another, up to the first error.
fn decode(pieces: &[&[u8]], bound: usize) -> (Vec<Decoded>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new(bound, "");
    let mut decoded = Vec::new();
    let result = pieces
        .iter()
        .try_for_each(|piece| decoder.push(piece, &mut decoded));
    (decoded, result)
}

/// Input: the query of a subscription in the first line, the body of a QUERY request in the rest.
pub fn subscribe_query(input: &[u8]) {
    let (query, body) = split(input);
    let Ok(decoded) = SubscribeQuery::decode(query, Some(body), 8) else {
        return;
    };
    assert!((1..=8).contains(&decoded.matchers.len()));
    let mut encoded = String::new();
    for (matcher_type, pattern) in &decoded.matchers {
        append_pair(&mut encoded, &format!("match_{matcher_type}"), pattern);
    }
    if let Some(id) = &decoded.last_event_id {
        append_pair(&mut encoded, "last_event_id", id);
    }
    assert_eq!(
        SubscribeQuery::decode(encoded.as_bytes(), None, 8).as_ref(),
        Ok(&decoded)
    );
    assert_eq!(
        SubscribeQuery::decode(b"", Some(encoded.as_bytes()), 8),
        Ok(decoded)
    );
}

/// Input: the claims of a validly signed token; with a second line, its header in the first line.
/// The input is also checked as a whole token.
pub fn token(input: &[u8]) {
    let whole = text(input);
    // Only the holder of the key can make a token that is accepted.
    assert!(tokens::verify(&whole).is_err());
    let (header, claims) = match whole.split_once('\n') {
        Some((header, claims)) => (header, claims),
        None => (tokens::HEADER, &*whole),
    };
    let token = tokens::sign(header, claims);
    let verified = tokens::verify(&token);
    assert_eq!(verified, tokens::verify(&token));
    if verified.is_ok() {
        assert!(header.contains("HS256"));
        assert!(claims.contains("exp") && claims.contains("aud") && claims.contains("iss"));
        // The same claims with another signature are refused.
        let (signed, signature) = token.rsplit_once('.').unwrap_or_default();
        let other: String = signature.chars().rev().collect();
        assert!(other == signature || tokens::verify(&format!("{signed}.{other}")).is_err());
    }
}
