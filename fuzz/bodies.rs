//! What each fuzz target does with its input: one function per decoder.
//!
//! The targets in `fuzz_targets/` call these functions, and so does the test that replays
//! `corpus/` without a fuzzer. A body decodes, and asserts what must hold for every input.

use std::borrow::Cow;

use tidings::documents;
use tidings_auth::jwk;
use tidings_core::{
    EventId, HubUrl, IdSeal, Matcher, MatcherIndex, MatcherType, Position, Print, Subject, Topic,
};
use tidings_wire::authority::Authority;
use tidings_wire::bearer::{self, Authorization};
use tidings_wire::bolt::{Bolt, Source, Stop};
use tidings_wire::flash_policy::{Access, REQUEST, Recognized, Recognizer, SiteControl, policy};
use tidings_wire::form::{self, append_pair, pairs};
use tidings_wire::frame::Frame;
use tidings_wire::http_head::{Version, event_stream_head};
use tidings_wire::hub_frames::Request;
use tidings_wire::old_publish_form::OldPublishForm;
use tidings_wire::origin::{OriginList, origin_of};
use tidings_wire::prefer;
use tidings_wire::publish_form::PublishForm;
use tidings_wire::selector_query::{self, SelectorError, SelectorQuery};
use tidings_wire::sockjs::{self, Framing, InboundError, Place, Transport, inbound, text_frame};
use tidings_wire::sse::{EventFields, encode_event, event_len};
use tidings_wire::sse_decoder::{DEFAULT_EVENT_TYPE, DecodeError, Decoded, Decoder, Event};
use tidings_wire::stored_update::StoredUpdate;
use tidings_wire::subscribe_query::SubscribeQuery;
use tidings_wire::websocket::deflate::{Agreement, Context, Deflater, Inflater, Window};
use tidings_wire::websocket::frames::{self, Limits, Role as End};
use tidings_wire::websocket::handshake::{RequestFields, choose_protocol, response_head};
use tidings_wire::websocket::hixie76;
use tidings_wire::zmtp;
use tidings_wire::zmtp::handshake::{Handshake, Role, Security};

pub mod tokens;

/// Runs one input through a decoder; panics if something is wrong.
pub type Body = fn(&[u8]);

/// Every target: its name, which is also that of its folder in `corpus/`, and its body.
pub const TARGETS: &[(&str, Body)] = &[
    ("bearer", bearer),
    ("bolt", bolt),
    ("caddyfile", caddyfile),
    ("cookie", cookie),
    ("event_id", event_id),
    ("flash_policy", flash_policy),
    ("form", form),
    ("http_head", http_head),
    ("hub_frames", hub_frames),
    ("key_set", key_set),
    ("matcher", matcher),
    ("old_publish_form", old_publish_form),
    ("old_token", old_token),
    ("authority", authority),
    ("origin", origin),
    ("prefer", prefer),
    ("publish_form", publish_form),
    ("sockjs_inbound", sockjs_inbound),
    ("sockjs_outbound", sockjs_outbound),
    ("sockjs_place", sockjs_place),
    ("selector_query", selector_query),
    ("sse", sse),
    ("sse_decoder", sse_decoder),
    ("stored_update", stored_update),
    ("subscribe_query", subscribe_query),
    ("token", token),
    ("topic", topic),
    ("websocket_frames", websocket_frames),
    ("websocket_handshake", websocket_handshake),
    ("websocket_hixie76", websocket_hixie76),
    ("zmtp_decoder", zmtp_decoder),
    ("zmtp_handshake", zmtp_handshake),
];

/// Input: the value of an `Authorization` field.
pub fn bearer(input: &[u8]) {
    let parsed = bearer::parse(input);
    assert_eq!(bearer::parse_all([input]), Some(parsed));
    if let Authorization::Bearer(token) = parsed {
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()));
        assert_eq!(bearer::parse(format!("bearer {token}").as_bytes()), parsed);
    }
}

/// Input: the name of a cookie in the first line, the value of a `Cookie` field in the rest.
pub fn cookie(input: &[u8]) {
    let (name, header) = split_text(input);
    if let Some(value) = tidings_wire::cookie::find(&header, &name) {
        assert!(header.contains(value));
        assert!(!value.contains(';'));
        assert!(header.contains(&*name));
    }
}

/// Input: an event id. The first eight bytes are also taken as a position.
pub fn event_id(input: &[u8]) {
    let text = text(input);
    if let Ok(id) = EventId::parse(&text) {
        assert_eq!(id.as_str(), text);
        assert!(!id.as_str().starts_with('#') && id.as_str() != "earliest");
    }
    let seal = IdSeal::new([7; 32]);
    if let Some(claim) = seal.open(&text) {
        // Only what the seal itself writes fits, and then it is that text.
        for print in [None, Some(Print::new([7; 16]))] {
            let sealed = seal.seal(claim.position(), print);
            assert_eq!(seal.vouches(claim, print), sealed.as_str() == &*text);
        }
    }
    let mut number = [0; 8];
    for (byte, input) in number.iter_mut().zip(input) {
        *byte = *input;
    }
    let position = Position::new(u64::from_le_bytes(number));
    let print = Some(Print::new([7; 16]));
    let id = seal.seal(position, print);
    let claim = seal.open(id.as_str()).expect("an id of this seal opens");
    assert_eq!(claim.position(), position);
    assert!(seal.vouches(claim, print) && !seal.vouches(claim, None));
    let other = IdSeal::new([8; 32]);
    let claim = other.open(id.as_str());
    assert!(!claim.is_some_and(|claim| other.vouches(claim, print)));
}

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

/// Input: the name of a response field in the first line, its value in the rest.
pub fn http_head(input: &[u8]) {
    let (name, value) = split_text(input);
    for version in [Version::Http10, Version::Http11] {
        let Ok(head) =
            event_stream_head(version, "Sun, 06 Nov 1994 08:49:37 GMT", &[(&name, &value)])
        else {
            continue;
        };
        let head = String::from_utf8(head).expect("encoded from text");
        assert!(head.ends_with(&format!("\r\n{name}: {value}\r\n\r\n")));
        assert_eq!(head.matches("\r\n").count(), 8);
        assert_eq!(head.matches(['\r', '\n']).count(), 16);
    }
}

/// Input: a pattern in the first line, a topic in the rest.
pub fn matcher(input: &[u8]) {
    let (pattern, topic) = split_text(input);
    let hub = hub();
    let Ok(topic) = Topic::parse(&topic) else {
        return;
    };
    let subject = Subject::new(&topic, &hub);
    for kind in [
        MatcherType::Exact,
        MatcherType::UrlPattern,
        MatcherType::UriTemplate,
    ] {
        let Ok(matcher) = Matcher::parse(kind, &pattern, &hub) else {
            continue;
        };
        assert_eq!(matcher.pattern(), pattern);
        let matches = matcher.matches(&subject);
        assert_eq!(matches, matcher.matches(&Subject::new(&topic, &hub)));
        if matcher.is_wildcard() {
            assert!(matches);
        } else if kind == MatcherType::Exact {
            assert_eq!(matches, pattern == topic.as_str());
        } else if kind == MatcherType::UriTemplate && pattern == topic.as_str() {
            assert!(matches);
        }
        if let Some(by_text) = matcher.matches_text(topic.as_str()) {
            assert_eq!(matches, by_text);
        }
        let mut index = MatcherIndex::new();
        let id = index.intern(&matcher);
        let mut found = Vec::new();
        index.matching(std::slice::from_ref(&subject), &mut found);
        assert_eq!(found.contains(&id), matches);
        index.release(id);
        assert!(index.is_empty());
        assert!(Matcher::parse(kind, matcher.pattern(), &hub).is_ok_and(|again| again == matcher));
    }
}

/// Input: the body of a publication of before 1.0.
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
    // Whoever reads the same body as one of 1.0 reads the same, unless it is stricter.
    if let (Ok(modern), Ok(old)) = (
        PublishForm::decode(input, 8),
        OldPublishForm::decode(input, 8, 4),
    ) {
        let retry = modern.retry.filter(|ms| *ms > 0);
        assert_eq!(PublishForm { retry, ..modern }, old.fields);
    }
}

/// Input: a Caddyfile.
pub fn caddyfile(input: &[u8]) {
    // However strange the names and values in it are, what is written is a configuration.
    assert!(documents::import_caddyfile(&text(input)).unwrap_or(true));
}

/// Input: a key set as an issuer publishes it.
pub fn key_set(input: &[u8]) {
    let Ok(set) = jwk::parse(input) else {
        return;
    };
    assert!(set.keys.len() <= jwk::KEYS_MAX);
    for entry in set.keys {
        // A published key never verifies what a shared secret signs.
        assert!(
            !entry.keys.is_empty() && entry.keys.iter().all(|key| !key.algorithm().is_shared())
        );
    }
}

/// Input: as for [`token`], for tokens of before 1.0.
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
        // JSON may spell a name by escapes.
        let names = |text: &str, name| text.contains(name) || text.contains('\\');
        assert!(names(header, "HS256"));
        // Without the claim a token is valid and grants nothing.
        assert!(names(claims, "mercure") || !grants);
        // None is both: what is read leniently is never a token of 1.0.
        assert!(tokens::verify(&token).is_err());
        let (signed, _) = token.rsplit_once('.').unwrap_or_default();
        assert!(tokens::verify_old(&format!("{signed}.")).is_err());
    }
}

/// Input: what a `Host` field says.
pub fn authority(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let Ok(authority) = Authority::parse(&text) else {
        return;
    };
    let normal = authority.to_string();
    assert_eq!(Authority::parse(&normal).as_ref(), Ok(&authority));
    assert!(authority.is_same(&authority, &[80]));
    assert!(normal.is_ascii());
}

/// Input: the entries of a list in the first line, with spaces between them; a URL in the rest.
pub fn origin(input: &[u8]) {
    let (entries, url) = split_text(input);
    let list = OriginList::parse(entries.split(' '));
    if let Ok(list) = &list {
        assert!(!list.is_empty());
        assert_eq!(
            list.allows(&url),
            list.allows(&url.to_ascii_uppercase()) || url == "null"
        );
    }
    let Some(origin) = origin_of(&url) else {
        return;
    };
    assert_eq!(origin_of(&origin).as_deref(), Some(&*origin));
    let only = OriginList::parse([&*origin]).expect("an origin is an entry");
    assert!(only.allows(&origin));
    assert!(!only.is_any());
}

/// Input: the value of a `Prefer` field.
pub fn prefer(input: &[u8]) {
    if let Some(secs) = prefer::wait([input]) {
        assert_eq!(prefer::wait([input, b"wait=77"]), Some(secs));
    }
    assert_eq!(prefer::wait([b"wait=5", input]), Some(5));
}

/// Input: the body of a publication.
pub fn publish_form(input: &[u8]) {
    if let Ok(form) = PublishForm::decode(input, 8) {
        assert!((1..=8).contains(&form.topics.len()));
        assert_eq!(PublishForm::decode(form.encode().as_bytes(), 8), Ok(form));
    }
}

/// Input: what a peer of SockJS sends, as a body, a form and a WebSocket's frame.
pub fn sockjs_inbound(input: &[u8]) {
    const TEXTS_MAX: usize = 4;
    let texts = inbound::decode(input, TEXTS_MAX);
    if let Ok(texts) = &texts {
        assert!(texts.len() <= TEXTS_MAX);
        // What was read is read again from what is written of it, surrogates included.
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
        let cover = framing.wrap(&frame);
        let cover = std::str::from_utf8(&cover).expect("covers are text");
        if matches!(framing, Framing::Scripts(_)) {
            assert_eq!(cover.matches('<').count(), 2, "{cover}");
        }
        assert!(matches!(framing, Framing::Scripts(_)) || cover.lines().count() <= 2);
    }
}

/// Input: a path below a base of SockJS.
pub fn sockjs_place(input: &[u8]) {
    let path = text(input);
    if let Some(Place::Session { id, transport }) = Place::parse(&path) {
        assert!(!id.is_empty() && !id.contains(['/', '.']));
        assert!(path.ends_with(transport.name()));
    }
}

/// Input: the query of a subscription of before 1.0.
pub fn selector_query(input: &[u8]) {
    let _token = selector_query::token(input);
    let cursor = selector_query::old_cursor(input);
    let decoded = SelectorQuery::decode(input, 8);
    if SelectorQuery::applies_to(input) {
        // It is asked in one way or the other.
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

/// Input: an event stream; its first byte also says where it is cut.
pub fn sse_decoder(input: &[u8]) {
    let bound = 64;
    let whole = decode(&[input], bound);
    for decoded in &whole.0 {
        if let Decoded::Event(event) = decoded {
            // Invalid bytes grow to three when they are replaced.
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

/// Input: the claims of a token that is signed well; or, if there is a second line, its header in
/// the first line; or any text as a whole token.
pub fn token(input: &[u8]) {
    let whole = text(input);
    // Nobody but the holder of the key makes a token that is accepted.
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
        // The same claims under another signature are nobody's.
        let (signed, signature) = token.rsplit_once('.').unwrap_or_default();
        let other: String = signature.chars().rev().collect();
        assert!(other == signature || tokens::verify(&format!("{signed}.{other}")).is_err());
    }
}

/// Input: a topic, also taken as the URL of a hub.
pub fn topic(input: &[u8]) {
    let text = text(input);
    if let Ok(topic) = Topic::parse(&text) {
        assert_eq!(topic.as_str(), text);
        let hub = hub();
        let reserved = hub.reserves(&topic);
        let by_path = hub
            .resolve(&text)
            .is_some_and(|url| url.path() == hub.path());
        assert!(reserved || !by_path);
        let subject = Subject::new(&topic, &hub);
        let all = Matcher::parse(MatcherType::Exact, "*", &hub).expect("the wildcard");
        assert!(all.matches(&subject));
    }
    if let Ok(hub) = HubUrl::parse(&text) {
        let again = HubUrl::parse(hub.as_str()).expect("the URL of a hub stays one");
        assert_eq!(again.as_str(), hub.as_str());
        assert!(hub.as_str().starts_with(&hub.origin()));
        if let Ok(own) = Topic::parse(hub.as_str()) {
            assert!(hub.reserves(&own));
        }
    }
}

/// Input: what a peer sends to a policy listener. Also taken as an access rule.
pub fn flash_policy(input: &[u8]) {
    let whole = Recognizer::default().push(input);
    let mut bytewise = Recognizer::default();
    let last = input
        .chunks(1)
        .map(|byte| bytewise.push(byte))
        .find(|asked| *asked != Recognized::Partly);
    assert_eq!(last.unwrap_or(Recognized::Partly), whole);
    assert_eq!(whole == Recognized::Policy, input.starts_with(REQUEST));
    if let Ok(access) = Access::parse(&text(input)) {
        let policy = policy(SiteControl::All, &[access]);
        assert_eq!(policy.iter().filter(|byte| **byte == b'<').count(), 6);
        assert_eq!(policy.iter().filter(|byte| **byte == b'"').count(), 12);
    }
}

/// Input: a text of a peer.
pub fn hub_frames(input: &[u8]) {
    // What is written back is never longer than what came.
    if let Ok(request) = Request::decode(&text(input)) {
        assert!(!format!("{request:?}").is_empty());
    }
}

/// Input: how the bytes are cut and whether compression was agreed on in the first byte, a peer's
/// bytes in the rest.
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

/// Input: what a peer sends after its handshake.
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
        // A message is the same again when it is encoded anew, but for needlessly long lengths.
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

/// Input: what a peer sends from the first byte on.
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

fn hub() -> HubUrl {
    HubUrl::parse("https://hub.example.com/.well-known/mercure").expect("a valid URL")
}

/// Decodes `pieces` one after the other, up to the first error.
fn decode(pieces: &[&[u8]], bound: usize) -> (Vec<Decoded>, Result<(), DecodeError>) {
    let mut decoder = Decoder::new(bound, "");
    let mut decoded = Vec::new();
    let result = pieces
        .iter()
        .try_for_each(|piece| decoder.push(piece, &mut decoded));
    (decoded, result)
}

/// Returns the first line of `input` and the rest.
fn split(input: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

fn split_text(input: &[u8]) -> (Cow<'_, str>, Cow<'_, str>) {
    let (first, rest) = split(input);
    (text(first), text(rest))
}

fn text(input: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(input)
}

/// Input: a bbolt file. Two walks see the same, in ascending keys, and no more than the file holds.
pub fn bolt(input: &[u8]) {
    struct Bytes<'a>(&'a [u8]);
    impl Source for Bytes<'_> {
        type Error = std::convert::Infallible;
        fn bytes(&self) -> u64 {
            self.0.len() as u64
        }
        fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Self::Error> {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let end = start.saturating_add(buffer.len());
            buffer.copy_from_slice(self.0.get(start..end).expect("within the file"));
            Ok(())
        }
    }
    let Ok(bolt) = Bolt::open(Bytes(input)) else {
        return;
    };
    let Ok(bucket) = bolt.bucket(b"updates") else {
        return;
    };
    let walk = || {
        let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let walked = bolt.walk(&bucket, &mut |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
            Ok::<(), std::convert::Infallible>(())
        });
        let ended = walked.map_err(|stop| match stop {
            Stop::Bolt(error) => error,
            Stop::Visitor(never) => match never {},
        });
        (entries, ended)
    };
    let (entries, ended) = walk();
    assert_eq!(walk(), (entries.clone(), ended));
    assert!(entries.is_sorted_by(|(a, _), (b, _)| a < b));
    for (key, value) in entries {
        drop(StoredUpdate::decode(&key, &value));
    }
}

/// Input: a value of another hub's store. What is read is what an independent reader of JSON sees.
pub fn stored_update(input: &[u8]) {
    let key = [0; 8];
    let Ok(update) = StoredUpdate::decode(&key, input) else {
        return;
    };
    // What no field takes may have any bytes in its strings, and numbers of any size.
    let Ok(json) = serde_json::from_str::<serde_json::Value>(&text(input)) else {
        return;
    };
    assert_eq!(json["ID"], update.id.as_str());
    assert_eq!(
        json["Topics"].as_array().map(Vec::len),
        Some(update.topics.len())
    );
    let targets = json["Targets"].as_object().map_or(0, serde_json::Map::len);
    assert_eq!(update.targets().count(), targets);
}

/// Input: how many bytes come at once, then bytes of a peer of 2010. However they are cut, the same
/// events come; a text is written back as it was read; and keys never panic.
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
