//! Topics, matchers and event ids.

use tidings_core::{
    EventId, HubUrl, IdSeal, Matcher, MatcherIndex, MatcherType, Position, Print, Subject, Topic,
};

use super::{hub, split_text, text};

/// Input: an event id. The first eight bytes are also taken as a position.
pub fn event_id(input: &[u8]) {
    let text = text(input);
    if let Ok(id) = EventId::parse(&text) {
        assert_eq!(id.as_str(), text);
        assert!(!id.as_str().starts_with('#') && id.as_str() != "earliest");
    }
    let seal = IdSeal::new([7; 32]);
    if let Some(claim) = seal.open(&text) {
        // Only an id that the seal wrote is vouched for, and its text is then the same.
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
