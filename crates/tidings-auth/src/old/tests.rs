//! Which tokens are of before 1.0, what they allow, and that none of their leniency reaches 1.0.

use serde_json::{Value, json};
use tidings_core::{Subject, Target, Targets, Visibility};

use super::super::key::{Algorithm, VerifyKey};
use super::super::tests::{HUB, NOW, SECRET, hs256};
use super::super::{Door, Options};
use super::claims::CLOCK_LEEWAY_SECS;
use super::*;

#[test]
fn the_shape_tells_old_tokens_from_those_of_1_0() {
    let typ = |typ: &str| json!({"alg": "HS256", "typ": typ});
    let bare = json!({"alg": "HS256"});
    let claim = || json!({"mercure": {"publish": ["*"]}});
    for (header, claims, old) in [
        (typ("JWT"), claim(), true),
        (bare.clone(), claim(), true),
        (bare.clone(), json!({"https://mercure.rocks/": {}}), true),
        (typ("at+jwt"), claim(), false),
        (typ("application/AT+JWT"), claim(), false),
        (
            bare.clone(),
            json!({"mercure": {}, "authorization_details": []}),
            false,
        ),
        // Neither says anything: their hubs took such a token as one that grants nothing.
        (bare.clone(), json!({"MERCURE": {}}), true),
        (bare, json!({}), true),
        (typ("at+jwt"), json!({}), false),
    ] {
        let token = hs256(header, claims);
        assert_eq!(is_old_text(&token), old, "{token}");
    }
    assert!(!is_old_text("a.b.c"));
}

#[test]
fn the_claim_of_0_x_is_read_in_all_its_forms() {
    let of = |claims: Value| verify(&claims, Door::Hub, Role::Subscribe).unwrap();
    let both = of(json!({"mercure": {
        "publish": ["https://e.com/books/{id}", "plain"],
        "subscribe": ["*"],
        "payload": {"name": "x"},
    }}));
    assert_eq!(both.dialect, Dialect::V0);
    assert_eq!(both.expires_at, NEVER);
    assert_eq!(
        both.grants
            .allows_publish(&topics(&["https://e.com/books/1", "plain"])),
        Ok(())
    );
    assert_eq!(
        both.grants
            .allows_publish(&topics(&["https://e.com/other"])),
        Err(0)
    );
    assert!(both.grants.allows_read(&topics(&["anything"])));
    assert_eq!(
        both.grants.payload_for(&topic("any")),
        Some("{\"name\":\"x\"}")
    );

    // The one under the URL counts before the other.
    let namespaced = of(json!({
        "mercure": {"publish": ["a"]},
        "https://mercure.rocks/": {"publish": ["b"], "payload": "text"},
    }));
    assert_eq!(namespaced.grants.allows_publish(&topics(&["b"])), Ok(()));
    assert!(namespaced.grants.allows_publish(&topics(&["a"])).is_err());
    assert_eq!(
        namespaced.grants.payload_for(&topic("any")),
        Some("\"text\"")
    );

    for nothing in [json!({}), json!({"publish": null}), json!({"publish": []})] {
        let identity = of(json!({"mercure": nothing}));
        assert!(identity.grants.allows_publish(&topics(&["a"])).is_err());
        assert!(!identity.grants.allows_read(&topics(&["a"])));
    }
    for wrong in [
        json!("*"),
        json!(["*"]),
        json!({"publish": "*"}),
        json!({"publish": [1]}),
        json!({"publish": vec!["a"; 1001]}),
    ] {
        let claims = json!({"mercure": wrong});
        assert!(
            verify(&claims, Door::Hub, Role::Publish).is_err(),
            "{claims}"
        );
    }
}

#[test]
fn the_same_claim_lists_targets_at_the_door_of_2019() {
    let of = |claims: Value| verify(&claims, Door::Hub2019, Role::Publish).unwrap();
    let foo = Targets::new(vec![Target::parse("foo").unwrap()]).unwrap();
    let targeted = Visibility::Targeted(foo.clone().unwrap());

    let identity = of(json!({"mercure": {"publish": ["foo"], "subscribe": ["bar"]}}));
    assert_eq!(identity.dialect, Dialect::V2019);
    assert_eq!(identity.grants.allows_targets(foo.as_ref()), Ok(()));
    assert!(!identity.grants.allows_update(&targeted, &topics(&["foo"])));
    // Targets are not topics.
    assert!(identity.grants.allows_publish(&topics(&["foo"])).is_err());
    assert!(!identity.grants.allows_read(&topics(&["bar"])));

    let all = of(json!({"mercure": {"publish": ["*"], "subscribe": ["a", "*"]}}));
    assert_eq!(all.grants.allows_targets(foo.as_ref()), Ok(()));
    assert!(all.grants.allows_update(&targeted, &topics(&["x"])));
    let empty = of(json!({"mercure": {"publish": []}}));
    assert_eq!(empty.grants.allows_targets(None), Ok(()));
    assert!(empty.grants.allows_targets(foo.as_ref()).is_err());
    let none = of(json!({"mercure": {"subscribe": ["*"]}}));
    assert_eq!(none.grants.allows_targets(None), Err(None));
}

#[test]
fn times_count_where_they_are_said() {
    for (name, value, hub, hub_2019) in [
        ("exp", NOW + 1, true, true),
        ("exp", NOW, false, false),
        ("nbf", NOW, true, true),
        ("nbf", NOW + CLOCK_LEEWAY_SECS, true, true),
        ("nbf", NOW + CLOCK_LEEWAY_SECS + 1, false, false),
        ("iat", NOW + CLOCK_LEEWAY_SECS, true, true),
        ("iat", NOW + CLOCK_LEEWAY_SECS + 1, true, false),
    ] {
        let mut claims = json!({"mercure": {}});
        claims[name] = value.into();
        assert_eq!(
            verify(&claims, Door::Hub, Role::Subscribe).is_ok(),
            hub,
            "{name}"
        );
        let at_2019 = verify(&claims, Door::Hub2019, Role::Subscribe);
        assert_eq!(at_2019.is_ok(), hub_2019, "{name}");
    }
    let float = json!({"mercure": {}, "exp": 4_102_444_800.5});
    let identity = verify(&float, Door::Hub, Role::Subscribe).unwrap();
    assert_eq!(identity.expires_at, 4_102_444_800);
}

#[test]
fn an_old_token_is_signed_with_a_key_that_is_for_it() {
    let token = hs256(
        json!({"alg": "HS256"}),
        json!({"mercure": {"publish": ["*"]}}),
    );
    let on = vec![Dialect::V0, Dialect::V2019];
    for (keys, door, accepted) in [
        (vec![Dialect::V0], Door::Hub, true),
        (vec![Dialect::V1], Door::Hub, false),
        (vec![Dialect::V0], Door::Hub2019, false),
        (vec![Dialect::V2019], Door::Hub2019, true),
        (vec![Dialect::V2019], Door::Hub, false),
    ] {
        let authority = authority(keys.clone(), on.clone());
        let verified = authority.verify_at(&token, door, Role::Publish, NOW);
        assert_eq!(verified.is_ok(), accepted, "{keys:?} {door:?}");
    }
    let off = authority(vec![Dialect::V0], Vec::new());
    let error = off.verify(&token, Role::Publish, NOW).unwrap_err();
    assert!(error.to_string().contains("dialects.v0 = true"), "{error}");
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "HS384"}),
        json!({"alg": "HS256", "crit": ["x"]}),
    ] {
        let token = hs256(header, json!({"mercure": {"publish": ["*"]}}));
        let authority = authority(vec![Dialect::V0], on.clone());
        assert!(authority.verify(&token, Role::Publish, NOW).is_err());
    }
    let (signed, _) = token.rsplit_once('.').unwrap();
    let authority = authority(vec![Dialect::V0], on);
    let unsigned = authority.verify(&format!("{signed}."), Role::Publish, NOW);
    assert!(matches!(unsigned, Err(TokenError::OldSignature)));
}

#[test]
fn a_key_of_old_dialects_never_verifies_a_token_of_1_0() {
    let authority = authority(vec![Dialect::V0], vec![Dialect::V0]);
    let header = json!({"alg": "HS256", "typ": "at+jwt"});
    let claims = json!({"iss": "", "aud": HUB, "exp": NOW + 60, "authorization_details": []});
    assert!(matches!(
        authority.verify(&hs256(header, claims), Role::Publish, NOW),
        Err(TokenError::IssUnknown { .. })
    ));
}

fn verify(claims: &Value, door: Door, role: Role) -> Result<Arc<Identity>, TokenError> {
    let token = hs256(json!({"alg": "HS256", "typ": "JWT"}), claims.clone());
    let all = vec![Dialect::V0, Dialect::V2019];
    authority(all.clone(), all).verify_at(&token, door, role, NOW)
}

fn authority(dialects: Vec<Dialect>, old_dialects: Vec<Dialect>) -> Authority {
    let issuer = Issuer {
        issuer: "".into(),
        keys: VerifyKey::parse_old(Algorithm::Hs256, SECRET)
            .unwrap()
            .into(),
        kid: None,
        publish: true,
        subscribe: true,
        dialects,
    };
    let options = Options {
        issuers: vec![issuer],
        audiences: vec![HUB.to_owned()],
        cookie_names: Vec::new(),
        old_dialects,
    };
    Authority::new(options, tidings_core::HubUrl::parse(HUB).unwrap()).unwrap()
}

fn topic(text: &str) -> Subject {
    Subject::from_text(text, &tidings_core::HubUrl::parse(HUB).unwrap())
}

fn topics(texts: &[&str]) -> Vec<Subject> {
    texts.iter().map(|text| topic(text)).collect()
}
