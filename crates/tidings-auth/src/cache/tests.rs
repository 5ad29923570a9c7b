//! What is remembered, and for how long.

use super::super::tests::{simple_authority, token_until};
use tidings_core::grant::Grants;
use tidings_core::hub_url::HubUrl;
use tidings_core::matcher::MatcherType;

use super::*;

const NOW: u64 = 1_767_225_400;

#[test]
fn a_token_is_verified_once_per_role() {
    let mut cache = cache(1 << 20);
    let token = token_until(NOW + 60);
    let first = cache
        .verify(&token, Door::Hub, Role::Subscribe, NOW)
        .unwrap();
    let second = cache
        .verify(&token, Door::Hub, Role::Subscribe, NOW + 59)
        .unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    let other_role = cache.verify(&token, Door::Hub, Role::Publish, NOW).unwrap();
    assert!(!Arc::ptr_eq(&first, &other_role));
}

#[test]
fn a_remembered_token_ends_at_its_end() {
    let mut cache = cache(1 << 20);
    let token = token_until(NOW + 60);
    assert!(
        cache
            .verify(&token, Door::Hub, Role::Subscribe, NOW)
            .is_ok()
    );
    let error = cache
        .verify(&token, Door::Hub, Role::Subscribe, NOW + 60)
        .unwrap_err();
    assert!(matches!(error, TokenError::Expired { .. }));
    assert!(cache.len() == 0);
}

#[test]
fn refused_tokens_are_not_kept_and_the_oldest_leaves_first() {
    let each = {
        let mut cache = cache(usize::MAX);
        let token = token_until(NOW + 1);
        cache
            .verify(&token, Door::Hub, Role::Subscribe, NOW)
            .unwrap();
        cache.bytes
    };
    let mut cache = cache(2 * each);
    assert!(
        cache
            .verify("a.b.c", Door::Hub, Role::Subscribe, NOW)
            .is_err()
    );
    assert!(cache.len() == 0);
    let tokens = [
        token_until(NOW + 1),
        token_until(NOW + 2),
        token_until(NOW + 3),
    ];
    let first: Vec<_> = tokens
        .iter()
        .map(|token| {
            cache
                .verify(token, Door::Hub, Role::Subscribe, NOW)
                .unwrap()
        })
        .collect();
    assert_eq!(cache.len(), 2);
    assert_eq!((cache.order.len(), cache.bytes), (2, 2 * each));
    let again = cache
        .verify(&tokens[2], Door::Hub, Role::Subscribe, NOW)
        .unwrap();
    assert!(Arc::ptr_eq(&first[2], &again));
    let again = cache
        .verify(&tokens[0], Door::Hub, Role::Subscribe, NOW)
        .unwrap();
    assert!(!Arc::ptr_eq(&first[0], &again));
}

#[test]
fn a_cache_of_nothing_keeps_nothing() {
    let mut cache = cache(0);
    assert!(
        cache
            .verify(&token_until(NOW + 60), Door::Hub, Role::Subscribe, NOW)
            .is_ok()
    );
    assert!(cache.len() == 0);
}

#[test]
fn a_token_costs_what_it_grants() {
    let hub = HubUrl::parse("https://hub.example/.well-known/mercure").unwrap();
    let identity = |kind, count| {
        let matcher = Matcher::parse(kind, "/a", &hub).unwrap();
        let matchers = vec![matcher; count];
        Identity {
            grants: Arc::new(Grants::new(Vec::new(), matchers, Vec::new()).unwrap()),
            expires_at: NOW,
            dialect: tidings_core::Dialect::V1,
            issuer: "a".into(),
            subject: None,
            token_id: None,
        }
    };
    let exact = kept_bytes("a", &identity(MatcherType::Exact, 1));
    let patterns = kept_bytes("a", &identity(MatcherType::UrlPattern, 1000));
    assert!(exact < 1024);
    let pattern = Matcher::parse(MatcherType::UrlPattern, "/a", &hub).unwrap();
    assert!(patterns > 1000 * pattern.bytes() && pattern.bytes() > 256);
    assert!(kept_bytes(&"a".repeat(1000), &identity(MatcherType::Exact, 1)) > exact + 1000);
}

fn cache(bytes_max: usize) -> TokenCache {
    TokenCache::new(Arc::new(simple_authority()), bytes_max)
}
