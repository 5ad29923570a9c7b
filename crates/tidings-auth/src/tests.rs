//! Whole tokens against whole authorities: one test per rule of "Token Validation", and the traps.

use std::sync::OnceLock;

use rcgen::KeyPair;
use serde_json::{Value, json};
use tidings_core::{Subject, Topic};

use super::issue::SignKey;
use super::*;

pub(super) const NOW: u64 = 1_767_225_400;
pub(super) const HUB: &str = "https://hub.example.com/.well-known/mercure";
const ISS: &str = "https://example.com";
pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";

#[test]
fn a_good_token_tells_who_what_and_until_when() {
    let identity = verify(&hs256(header(), claims())).unwrap();
    assert_eq!(identity.expires_at, NOW + 60);
    assert_eq!(&*identity.issuer, ISS);
    assert_eq!(identity.subject.as_deref(), Some("urn:uuid:1"));
    assert!(
        identity
            .grants
            .allows_read(&[subject("https://example.com/books/7")])
    );
    assert!(
        !identity
            .grants
            .allows_read(&[subject("https://example.com/books/7/x")])
    );
    assert_eq!(
        identity
            .grants
            .allows_publish(&[subject("https://example.com/books/7")]),
        Err(0)
    );
}

#[test]
fn every_algorithm_verifies_its_own_signature_and_no_other() {
    for algorithm in Algorithm::ALL {
        let (private, public) = key_pair(algorithm);
        let key = VerifyKey::parse(algorithm, &public).unwrap();
        let authority = authority(vec![issuer(ISS, key)]);
        let token = sign(algorithm, &private, with_alg(algorithm.name()), claims());
        assert!(
            authority.verify(&token, Role::Publish, NOW).is_ok(),
            "{algorithm}"
        );
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[3] ^= 1;
        let broken = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes));
        let error = authority.verify(&broken, Role::Publish, NOW).unwrap_err();
        assert!(
            matches!(error, TokenError::Signature),
            "{algorithm}: {error}"
        );
    }
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let (_, public) = key_pair(Algorithm::Rs256);
    let authority = authority(vec![issuer(
        ISS,
        VerifyKey::parse(Algorithm::Rs256, &public).unwrap(),
    )]);
    let header_text = with_alg("HS256").to_string();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let signed = format!("{}.{}", encode(&header_text), encode(&claims().to_string()));
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let signature = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    let error = authority.verify(&token, Role::Publish, NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "alg \"HS256\" is not accepted from this issuer; its keys are for RS256"
    );
}

#[test]
fn an_unsigned_token_is_refused() {
    for alg in ["none", "None", "NONE", "nOnE"] {
        let token = hs256(with_alg(alg), claims());
        let (signed, _) = token.rsplit_once('.').unwrap();
        check_token(
            &format!("{signed}."),
            "alg is none: the token is not signed",
        );
    }
}

#[test]
fn the_algorithm_must_be_the_keys_own() {
    let refused = "is not accepted from this issuer; its keys are for HS256";
    for alg in ["HS384", "hs256", "RS256", "EdDSA", "HS1", ""] {
        check_header(
            json!({"alg": alg, "typ": "at+jwt"}),
            &format!("alg {alg:?} {refused}"),
        );
    }
    check_header(json!({"typ": "at+jwt"}), "the header has no alg");
    check_header(json!({"alg": 1, "typ": "at+jwt"}), "alg is not a string");
}

#[test]
fn the_type_is_compared_without_case_and_with_or_without_application() {
    for typ in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
    ] {
        assert!(
            verify(&hs256(json!({"alg": "HS256", "typ": typ}), claims())).is_ok(),
            "{typ}"
        );
    }
    for typ in ["JWT", "at+jwt ", "text/at+jwt", ""] {
        let header = json!({"alg": "HS256", "typ": typ});
        check_header(header, &format!("typ is {typ:?}, not at+jwt"));
    }
    check_header(
        json!({"alg": "HS256"}),
        "the header has no typ; it must be at+jwt",
    );
    check_header(
        json!({"alg": "HS256", "TYP": "at+jwt"}),
        "the header has no typ; it must be at+jwt",
    );
}

#[test]
fn critical_extensions_are_refused_whatever_they_are() {
    for crit in [json!(["exp"]), json!([]), json!("b64"), json!(null)] {
        check_header(
            json!({"alg": "HS256", "typ": "at+jwt", "crit": crit, "b64": true}),
            "the header has crit, but the hub supports no extensions",
        );
    }
}

#[test]
fn a_key_in_the_token_is_not_used() {
    let header = json!({
        "alg": "HS256", "typ": "at+jwt", "jku": "https://evil.example/keys", "x5u": "https://e/x",
        "jwk": {"kty": "oct", "k": URL_SAFE_NO_PAD.encode(OTHER_SECRET)},
    });
    let token = sign(Algorithm::Hs256, OTHER_SECRET, header.clone(), claims());
    check_token(&token, SIGNATURE);
    assert!(verify(&hs256(header, claims())).is_ok());
}

#[test]
fn keys_of_issuers_are_not_pooled() {
    let authority = authority(vec![
        issuer(ISS, secret(SECRET)),
        issuer("https://other.example", secret(OTHER_SECRET)),
    ]);
    let foreign = sign(Algorithm::Hs256, OTHER_SECRET, header(), claims());
    let error = authority.verify(&foreign, Role::Publish, NOW).unwrap_err();
    assert!(matches!(error, TokenError::Signature));
    let own = sign(
        Algorithm::Hs256,
        OTHER_SECRET,
        header(),
        with("iss", "https://other.example"),
    );
    assert!(authority.verify(&own, Role::Publish, NOW).is_ok());
}

#[test]
fn the_issuer_must_be_exactly_a_trusted_one() {
    for iss in [
        "https://example.com/",
        "https://EXAMPLE.com",
        "",
        "https://example.com ",
    ] {
        check_claims(
            with("iss", iss),
            &format!("iss is {iss:?}, which is not a trusted issuer"),
        );
    }
    check_claims(without("iss"), "the token has no iss");
    check_claims(with("iss", json!([ISS])), "iss is not a string");
}

#[test]
fn a_key_serves_only_its_roles() {
    let mut publisher = issuer(ISS, secret(SECRET));
    publisher.subscribe = false;
    let mut subscriber = issuer(ISS, secret(OTHER_SECRET));
    subscriber.publish = false;
    let both = authority(vec![publisher.clone(), subscriber]);
    let publishing = hs256(header(), claims());
    assert!(both.verify(&publishing, Role::Publish, NOW).is_ok());
    let error = both.verify(&publishing, Role::Subscribe, NOW).unwrap_err();
    assert!(matches!(error, TokenError::Signature));
    let only = authority(vec![publisher]);
    let error = only.verify(&publishing, Role::Subscribe, NOW).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no key of the issuer is for tokens that subscribe"
    );
}

#[test]
fn kid_is_only_a_hint() {
    let named = |kid: &str, text: &str| Issuer {
        kid: Some(kid.to_owned()),
        ..issuer(ISS, secret(text))
    };
    let authority = authority(vec![named("old", OTHER_SECRET), named("new", SECRET)]);
    for kid in [json!("old"), json!("new"), json!("unknown"), json!(7)] {
        let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": kid});
        assert!(
            authority
                .verify(&hs256(header, claims()), Role::Publish, NOW)
                .is_ok(),
            "{kid}"
        );
    }
}

#[test]
fn the_token_ends_at_exp_without_leeway() {
    check_claims(without("exp"), "the token has no exp");
    check_claims(with("exp", "never"), "exp is not a number");
    check_claims(
        with("exp", NOW),
        "the token expired at 1767225400, 0 s ago (Unix time)",
    );
    check_claims(
        with("exp", NOW - 5),
        "the token expired at 1767225395, 5 s ago (Unix time)",
    );
    check_claims(
        with("exp", -1),
        "the token expired at 0, 1767225400 s ago (Unix time)",
    );
    assert_eq!(
        verify(&hs256(header(), with("exp", NOW + 1)))
            .unwrap()
            .expires_at,
        NOW + 1
    );
    let fraction = with("exp", 1_767_225_401.75);
    assert_eq!(
        verify(&hs256(header(), fraction)).unwrap().expires_at,
        NOW + 1
    );
    assert_eq!(
        verify(&hs256(header(), with("exp", 1e300)))
            .unwrap()
            .expires_at,
        u64::MAX
    );
}

#[test]
fn the_token_begins_at_nbf_give_or_take_what_clocks_differ() {
    check_claims(
        with("nbf", NOW + claims::CLOCK_LEEWAY_SECS + 1),
        "the token is valid from 1767225431, in 31 s (Unix time)",
    );
    check_claims(
        with("nbf", 1_767_225_430.25),
        "the token is valid from 1767225431, in 31 s (Unix time)",
    );
    check_claims(with("nbf", json!(null)), "nbf is not a number");
    for nbf in [NOW, NOW + 1, NOW + claims::CLOCK_LEEWAY_SECS] {
        assert!(verify(&hs256(header(), with("nbf", nbf))).is_ok());
    }
}

#[test]
fn the_audience_must_contain_the_hub() {
    for aud in [
        json!(HUB),
        json!(["https://a.example", HUB]),
        json!([HUB]),
        json!("urn:hub"),
    ] {
        assert!(verify(&hs256(header(), with("aud", aud))).is_ok());
    }
    check_claims(
        without("aud"),
        &format!("the token has no aud; it must be {HUB}, urn:hub"),
    );
    for aud in [
        json!("https://evil.example"),
        json!([]),
        json!(format!("{HUB}/")),
        json!([[HUB]]),
    ] {
        let error = verify(&hs256(header(), with("aud", aud.clone()))).unwrap_err();
        assert!(
            matches!(error, TokenError::Aud { .. } | TokenError::ClaimType { .. }),
            "{aud}"
        );
    }
    check_claims(
        with("aud", json!([HUB, 1])),
        "aud is not a string or an array of strings",
    );
    check_claims(
        with("aud", json!({})),
        "aud is not a string or an array of strings",
    );
}

#[test]
fn a_subject_is_a_string_or_absent() {
    assert_eq!(
        verify(&hs256(header(), without("sub"))).unwrap().subject,
        None
    );
    check_claims(with("sub", 1), "sub is not a string");
}

#[test]
fn a_member_that_occurs_twice_is_refused() {
    let header = r#"{"alg":"HS256","typ":"at+jwt","alg":"HS256"}"#;
    let twice = SignKey::parse(Algorithm::Hs256, SECRET).unwrap();
    let token = twice.sign_text(header, &claims().to_string()).unwrap();
    check_start(
        &token,
        "the token's header is not valid JSON: a member occurs twice",
    );
    // One of the two is written with an escape, which makes no other name of it.
    let claims = claims()
        .to_string()
        .replacen('{', r#"{"\u0069ss":"https://evil.example","#, 1);
    let token = twice
        .sign_text(&self::header().to_string(), &claims)
        .unwrap();
    check_start(
        &token,
        "the token's claims set is not valid JSON: a member occurs twice",
    );
}

#[test]
fn only_the_compact_form_with_strict_base64_is_read() {
    let token = hs256(header(), claims());
    check_token(
        "",
        "a token has three parts separated by dots; this one has 1",
    );
    check_token(
        "a.b",
        "a token has three parts separated by dots; this one has 2",
    );
    check_token(
        "a.b.c.d.e",
        "a token has three parts separated by dots; this one has 5",
    );
    check_token(
        &format!("{token}="),
        "the token's signature is not base64url without padding",
    );
    check_token(
        &format!("{token}\n"),
        "the token's signature is not base64url without padding",
    );
    check_token(
        &format!(" {token}"),
        "the token's header is not base64url without padding",
    );
    check_token("W10.e30.", "the token's header is not a JSON object");
    check_start("e30.e30x.", "the token's claims set is not");
    let long = format!("{token}.{}", "a".repeat(TOKEN_BYTES_MAX));
    check_start(&long, "the token has ");
}

#[test]
fn an_error_never_contains_the_token_or_the_key() {
    let token = sign(Algorithm::Hs256, OTHER_SECRET, header(), claims());
    let error = verify(&token).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains(SECRET) && !text.contains(token.rsplit('.').next().unwrap()));
    let options = authority(vec![issuer(ISS, secret(SECRET))]);
    assert!(!format!("{options:?}").contains(SECRET));
}

#[test]
fn an_authority_needs_a_key_and_an_audience() {
    let hub = || HubUrl::parse(HUB).unwrap();
    let options = |issuers, audiences| Options {
        issuers,
        audiences,
        cookie_names: Vec::new(),
        old_dialects: Vec::new(),
    };
    let error = Authority::new(options(Vec::new(), vec![HUB.to_owned()]), hub()).unwrap_err();
    assert!(matches!(error, AuthorityError::NoIssuer));
    let error = Authority::new(
        options(vec![issuer(ISS, secret(SECRET))], Vec::new()),
        hub(),
    );
    assert!(matches!(error.unwrap_err(), AuthorityError::NoAudience));
}

const SIGNATURE: &str =
    "the signature was not made with a key that the hub has for this issuer and algorithm";

#[track_caller]
fn check_header(header: Value, expected: &str) {
    check_token(&hs256(header, claims()), expected);
}

#[track_caller]
fn check_claims(claims: Value, expected: &str) {
    check_token(&hs256(header(), claims), expected);
}

#[track_caller]
fn check_token(token: &str, expected: &str) {
    assert_eq!(verify(token).unwrap_err().to_string(), expected);
}

#[track_caller]
fn check_start(token: &str, expected: &str) {
    let error = verify(token).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

fn verify(token: &str) -> Result<Arc<Identity>, TokenError> {
    authority(vec![issuer(ISS, secret(SECRET))]).verify(token, Role::Subscribe, NOW)
}

pub(super) fn authority(issuers: Vec<Issuer>) -> Authority {
    let audiences = vec![HUB.to_owned(), "urn:hub".to_owned()];
    let options = Options {
        issuers,
        audiences,
        cookie_names: Vec::new(),
        old_dialects: Vec::new(),
    };
    Authority::new(options, HubUrl::parse(HUB).unwrap()).unwrap()
}

/// An authority that trusts one secret, for the tests of the cache.
pub(super) fn simple_authority() -> Authority {
    authority(vec![issuer(ISS, secret(SECRET))])
}

/// A good token that ends at `exp`.
pub(super) fn token_until(exp: u64) -> String {
    hs256(header(), with("exp", exp))
}

fn issuer(name: &str, key: VerifyKey) -> Issuer {
    Issuer {
        issuer: name.into(),
        keys: key.into(),
        kid: None,
        publish: true,
        subscribe: true,
        dialects: vec![Dialect::V1],
    }
}

fn secret(text: &str) -> VerifyKey {
    VerifyKey::parse(Algorithm::Hs256, text).unwrap()
}

fn header() -> Value {
    with_alg("HS256")
}

fn with_alg(alg: &str) -> Value {
    json!({"alg": alg, "typ": "at+jwt"})
}

fn claims() -> Value {
    json!({
        "iss": ISS,
        "aud": HUB,
        "sub": "urn:uuid:1",
        "client_id": ISS,
        "iat": NOW - 60,
        "exp": NOW + 60,
        "jti": "urn:uuid:2",
        "authorization_details": [{
            "type": "https://mercure.rocks/authorization-detail",
            "actions": ["subscribe"],
            "topics": [{"match": "https://example.com/books/:id", "match_type": "urlpattern"}],
        }],
    })
}

fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

pub(super) fn hs256(header: Value, claims: Value) -> String {
    sign(Algorithm::Hs256, SECRET, header, claims)
}

fn sign(algorithm: Algorithm, key: &str, header: Value, claims: Value) -> String {
    let key = SignKey::parse(algorithm, key).unwrap();
    key.sign_text(&header.to_string(), &claims.to_string())
        .unwrap()
}

fn subject(topic: &str) -> Subject {
    Subject::new(&Topic::parse(topic).unwrap(), &HubUrl::parse(HUB).unwrap())
}

/// Returns what signs and what verifies.
pub(super) fn key_pair(algorithm: Algorithm) -> (String, String) {
    static RSA: OnceLock<(String, String)> = OnceLock::new();
    let pems = |scheme| {
        let pair = KeyPair::generate_for(scheme).unwrap();
        (pair.serialize_pem(), pair.public_key_pem())
    };
    match algorithm {
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => (SECRET.into(), SECRET.into()),
        Algorithm::Es256 => pems(&rcgen::PKCS_ECDSA_P256_SHA256),
        Algorithm::Es384 => pems(&rcgen::PKCS_ECDSA_P384_SHA384),
        Algorithm::EdDsa => pems(&rcgen::PKCS_ED25519),
        Algorithm::Rs256
        | Algorithm::Rs384
        | Algorithm::Rs512
        | Algorithm::Ps256
        | Algorithm::Ps384
        | Algorithm::Ps512 => RSA.get_or_init(|| pems(&rcgen::PKCS_RSA_SHA256)).clone(),
    }
}
