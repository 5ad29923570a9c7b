//! Which tokens the hub accepts, and how it refuses others. `presentation` has how they are presented,
//! `details` what they allow.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::harness::process::wait_until_read;
use crate::harness::tokens::{
    self, DETAIL_TYPE, HUB, ISSUER, SECRET, claims, detail, header, now_secs, settings_for, sign,
    token, token_for_all, token_with, with, without,
};
use crate::harness::{Answer, Connection, DEADLINE, HUB_PATH, Request, TestHub, run};

#[path = "authorization/details.rs"]
mod details;
#[path = "authorization/presentation.rs"]
mod presentation;

const TOPIC: &str = "https://example.com/books/1";
const OTHER_TOPIC: &str = "https://example.com/books/2";
/// A secret that no hub trusts unless told to.
const OTHER_SECRET: &str = "fedcba9876543210fedcba9876543210";

#[test]
fn only_the_compact_form_of_a_signed_token_is_read() {
    let hub = hub();
    let good = token_for_all();
    check_accepted(&hub, &good, "the compact form");
    let (header_and_claims, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = header_and_claims.split_once('.').unwrap();
    check_invalid(&hub, header_and_claims, "without a signature");
    check_invalid(&hub, &format!("{header}..{signature}"), "detached claims");
    check_invalid(
        &hub,
        &format!("{good}.{claims}.{signature}"),
        "five parts, as JWE has",
    );
    check_invalid(&hub, &format!("{good}="), "padding");
    let json_form = json!({"protected": header, "payload": claims, "signature": signature});
    let answer = hub.request(
        Request::post(HUB_PATH)
            .bearer(&json_form.to_string())
            .form(&[("topic", TOPIC)]),
    );
    assert_eq!(
        (answer.status, challenge(&answer)),
        (400, "Bearer error=\"invalid_request\"")
    );
}

#[test]
fn typ_is_at_jwt_in_any_case_and_may_be_written_in_full() {
    let hub = hub();
    for typ in [
        "at+jwt",
        "AT+JWT",
        "application/at+jwt",
        "Application/At+Jwt",
    ] {
        let token = sign(SECRET, &json!({"alg": "HS256", "typ": typ}), &claims());
        check_accepted(&hub, &token, typ);
    }
    for typ in [
        json!("JWT"),
        json!("jwt"),
        json!(""),
        json!("text/at+jwt"),
        json!(7),
        json!(null),
    ] {
        let token = sign(SECRET, &json!({"alg": "HS256", "typ": typ}), &claims());
        check_invalid(&hub, &token, &typ.to_string());
    }
    check_invalid(
        &hub,
        &sign(SECRET, &json!({"alg": "HS256"}), &claims()),
        "no typ",
    );
}

#[test]
fn the_algorithm_is_the_configured_one_and_never_none() {
    let hub = hub();
    for alg in [
        "none", "None", "NONE", "HS384", "HS512", "RS256", "ES256", "hs256", "",
    ] {
        let header = json!({"alg": alg, "typ": "at+jwt"});
        check_invalid(&hub, &sign(SECRET, &header, &claims()), alg);
        let unsigned = format!(
            "{}.{}.",
            tokens::encoded(&header),
            tokens::encoded(&claims())
        );
        check_invalid(&hub, &unsigned, alg);
    }
    check_invalid(
        &hub,
        &sign(SECRET, &json!({"typ": "at+jwt"}), &claims()),
        "no alg",
    );
}

#[test]
fn a_public_key_is_never_taken_for_a_shared_secret() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let pem = pair.public_key_pem();
    let hub = TestHub::serve(&settings_of(&format!(
        "[[auth.issuers]]\nissuer = \"{ISSUER}\"\nalgorithm = \"ES256\"\nkey = '''\n{pem}'''\n"
    )));
    for secret in [pem.as_str(), pem.trim_end()] {
        check_invalid(
            &hub,
            &sign(secret, &header(), &claims()),
            "HS256 with the public key",
        );
        let header = json!({"alg": "ES256", "typ": "at+jwt"});
        check_invalid(
            &hub,
            &sign(secret, &header, &claims()),
            "the same, called ES256",
        );
    }
}

#[test]
fn keys_named_in_a_token_are_never_used_or_fetched() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let url = format!("http://{}/keys", elsewhere.local_addr().unwrap());
    let hub = hub();
    let own_key = json!({"kty": "oct", "k": tokens::encoded(&json!(OTHER_SECRET))});
    for (name, value) in [
        ("jwk", own_key),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!(["AAAA"])),
        ("kid", json!(url)),
        ("kid", json!("../../../dev/null")),
    ] {
        let mut header = header();
        header[name] = value;
        check_invalid(&hub, &sign(OTHER_SECRET, &header, &claims()), name);
        check_invalid(&hub, &sign("", &header, &claims()), name);
        // Such fields are not forbidden; they are of no use.
        check_accepted(&hub, &sign(SECRET, &header, &claims()), name);
    }
    assert!(
        elsewhere.accept().is_err(),
        "the hub connected to an address from a token"
    );
}

#[test]
fn a_header_field_that_must_be_understood_refuses_the_token() {
    let hub = hub();
    for crit in [
        json!(["exp"]),
        json!(["urn:unknown"]),
        json!([]),
        json!("b64"),
        json!(null),
    ] {
        let header = json!({"alg": "HS256", "typ": "at+jwt", "crit": crit, "exp": 1});
        check_invalid(&hub, &sign(SECRET, &header, &claims()), &crit.to_string());
    }
}

#[test]
fn a_key_counts_only_for_its_own_issuer() {
    let other = "https://other.example.com";
    let hub = TestHub::serve(&settings_of(&format!(
        "[[auth.issuers]]\nissuer = \"{ISSUER}\"\nkey = \"{SECRET}\"\n\
         [[auth.issuers]]\nissuer = \"{other}\"\nkey = \"{OTHER_SECRET}\"\n\
         [[auth.issuers]]\nissuer = \"{ISSUER}\"\nkey = \"{SECRET}-next\"\nkid = \"next\"\n"
    )));
    check_accepted(&hub, &sign(SECRET, &header(), &claims()), "its own key");
    check_accepted(
        &hub,
        &sign(OTHER_SECRET, &header(), &with("iss", other)),
        "the other's",
    );
    let next = format!("{SECRET}-next");
    check_accepted(
        &hub,
        &sign(&next, &header(), &claims()),
        "the second key of one issuer",
    );
    check_invalid(
        &hub,
        &sign(OTHER_SECRET, &header(), &claims()),
        "the other's key",
    );
    check_invalid(
        &hub,
        &sign(SECRET, &header(), &with("iss", other)),
        "the other's name",
    );
    let mut named = header();
    named["kid"] = json!("next");
    check_invalid(
        &hub,
        &sign(&next, &named, &with("iss", other)),
        "a name of a key",
    );
}

#[test]
fn the_issuer_is_present_and_exactly_a_trusted_one() {
    let hub = hub();
    check_invalid(&hub, &token(&without("iss")), "no iss");
    for iss in [
        json!(format!("{ISSUER}/")),
        json!(ISSUER.to_uppercase()),
        json!("https://issuer.example.com:443"),
        json!(""),
        json!([ISSUER]),
        json!(null),
    ] {
        check_invalid(&hub, &token(&with("iss", iss.clone())), &iss.to_string());
    }
}

#[test]
fn a_token_has_an_end_and_counts_only_between_nbf_and_exp() {
    let hub = hub();
    check_invalid(&hub, &token(&without("exp")), "no exp");
    for exp in [
        json!(now_secs() - 1),
        json!(0),
        json!(-1),
        json!("4102444800"),
        json!(null),
    ] {
        check_invalid(
            &hub,
            &token(&with("exp", exp.clone())),
            &format!("exp {exp}"),
        );
    }
    for nbf in [json!(now_secs() + 600), json!("0"), json!(null)] {
        check_invalid(
            &hub,
            &token(&with("nbf", nbf.clone())),
            &format!("nbf {nbf}"),
        );
    }
    check_accepted(
        &hub,
        &token(&with("nbf", now_secs() - 1)),
        "nbf in the past",
    );
}

#[test]
fn the_audience_holds_one_of_the_configured_identifiers() {
    let hub = TestHub::serve(&settings_of(&format!(
        "[auth]\naudiences = [\"{HUB}\", \"http://hub.internal/mercure\"]\n"
    )));
    for aud in [
        json!(HUB),
        json!([HUB]),
        json!(["https://example.org", HUB]),
        json!("http://hub.internal/mercure"),
        json!(["http://hub.internal/mercure"]),
    ] {
        check_accepted(&hub, &token(&with("aud", aud.clone())), &aud.to_string());
    }
    check_invalid(&hub, &token(&without("aud")), "no aud");
    for aud in [
        json!("https://hub.example.com"),
        json!(format!("{HUB}/")),
        json!([]),
        json!([[HUB]]),
        json!({HUB: true}),
        json!([HUB, 1]),
    ] {
        check_invalid(&hub, &token(&with("aud", aud.clone())), &aud.to_string());
    }
}

#[test]
fn the_audience_does_not_come_from_the_host_field() {
    let hub = hub();
    let named = format!("http://localhost:{}{HUB_PATH}", hub.address.port());
    check_invalid(
        &hub,
        &token(&with("aud", named)),
        "the address that was connected to",
    );
    let token = token(&with("aud", format!("https://other.example.com{HUB_PATH}")));
    for scheme_field in ["X-Forwarded-Host", "Host"] {
        let request = Request::post(HUB_PATH)
            .header(scheme_field, "other.example.com")
            .header("X-Forwarded-Proto", "https");
        let answer = hub.request(request.bearer(&token).form(&[("topic", TOPIC)]));
        assert_eq!(answer.status, 401, "{scheme_field}");
    }
}

#[test]
fn a_valid_token_without_the_grant_gets_403_with_insufficient_scope() {
    let hub = hub();
    for details in [json!([]), json!([detail(&["subscribe"], &["*"])])] {
        check_forbidden(&publish(&hub, &token_with(details), TOPIC));
    }
    check_forbidden(&publish(
        &hub,
        &token(&without("authorization_details")),
        TOPIC,
    ));
}

#[test]
fn a_key_may_serve_one_role_only() {
    let hub = TestHub::serve(&settings_of(&format!(
        "[[auth.issuers]]\nissuer = \"{ISSUER}\"\nkey = \"{SECRET}\"\nsubscribe = false\n\
         [[auth.issuers]]\nissuer = \"{ISSUER}\"\nkey = \"{OTHER_SECRET}\"\npublish = false\n"
    )));
    let publisher = sign(SECRET, &header(), &claims());
    let subscriber = sign(OTHER_SECRET, &header(), &claims());
    assert_eq!(publish(&hub, &publisher, TOPIC).status, 200);
    check_invalid_answer(&subscribe(&hub, &publisher), "the publishers' key");
    assert_eq!(subscribe(&hub, &subscriber).status, 200);
    check_invalid_answer(&publish(&hub, &subscriber, TOPIC), "the subscribers' key");
}

#[test]
fn matcher_types_and_actions_have_lower_case_names() {
    let hub = hub();
    let token = token_for_all();
    for name in [
        "match_URLPattern",
        "match_Exact",
        "Match",
        "match_",
        "match-exact",
    ] {
        let request = Request::get(&format!("{HUB_PATH}?{name}=x")).bearer(&token);
        assert_eq!(hub.request(request).status, 400, "{name}");
    }
    for name in ["match", "match_exact", "match_urlpattern"] {
        let request = Request::new("HEAD", &format!("{HUB_PATH}?{name}=x")).bearer(&token);
        let answer = Connection::open(hub.address).request(&request);
        assert_eq!(answer.status, 200, "{name}");
    }
    check_forbidden(&publish(
        &hub,
        &token_with(json!([detail(&["PUBLISH"], &["*"])])),
        TOPIC,
    ));
}

#[test]
fn every_algorithm_is_accepted_end_to_end() {
    let rsa = key_pair(&rcgen::PKCS_RSA_SHA256);
    let mut settings = format!("[hub]\npublic_url = \"{HUB}\"\n");
    let mut all = Vec::new();
    for algorithm in ["HS256", "HS384", "HS512"] {
        let secret = format!("{algorithm}-{}", "s".repeat(64));
        all.push((algorithm, secret.clone(), secret));
    }
    for algorithm in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"] {
        all.push((algorithm, rsa.0.clone(), rsa.1.clone()));
    }
    for (algorithm, scheme) in [
        ("ES256", &rcgen::PKCS_ECDSA_P256_SHA256),
        ("ES384", &rcgen::PKCS_ECDSA_P384_SHA384),
        ("EdDSA", &rcgen::PKCS_ED25519),
    ] {
        let (private, public) = key_pair(scheme);
        all.push((algorithm, private, public));
    }
    for (algorithm, _, public) in &all {
        settings.push_str(&format!(
            "[[auth.issuers]]\nissuer = \"https://{algorithm}.example\"\n\
             algorithm = \"{algorithm}\"\nkey = '''{public}'''\n"
        ));
    }
    let hub = TestHub::serve(&settings_of(&settings));
    let mut made = BTreeSet::new();
    for (algorithm, private, _) in &all {
        let issuer = format!("https://{algorithm}.example");
        let (code, token, error) = run(
            &[
                "token",
                "make",
                "--issuer",
                &issuer,
                "--audience",
                HUB,
                "--algorithm",
                algorithm,
                "--publish",
                "*",
                "--subscribe",
                "*",
            ],
            &[("TIDINGS_TOKEN_KEY", private)],
        );
        assert_eq!(code, 0, "{algorithm}: {error}");
        check_accepted(&hub, token.trim(), algorithm);
        made.insert(token);
    }
    // Each key is for one algorithm only: the RSA keys are the same six times.
    assert_eq!(made.len(), 12);
}

#[test]
fn dev_says_which_check_failed_and_serve_does_not() {
    let dev = TestHub::dev();
    let serve = hub();
    let parts: Value = claims_of(&dev.publisher_token());
    let expired = |mut claims: Value| {
        claims["exp"] = json!(now_secs() - 60);
        claims
    };
    let detail_of = |answer: &Answer| answer.json()["detail"].as_str().unwrap().to_owned();
    let told = publish(
        &dev,
        &sign(&dev_key(&dev), &header(), &expired(parts)),
        TOPIC,
    );
    check_invalid_answer(&told, "dev");
    assert!(
        detail_of(&told).contains("the token expired at"),
        "{}",
        detail_of(&told)
    );
    let told = publish(
        &dev,
        &dev.make_token(r#"{"publish":[{"match":"a"}]}"#),
        TOPIC,
    );
    check_forbidden(&told);
    assert!(detail_of(&told).contains(TOPIC), "{}", detail_of(&told));

    let untold = publish(&serve, &token(&expired(claims())), TOPIC);
    let other = publish(&serve, &token(&with("aud", "https://other.example")), TOPIC);
    check_invalid_answer(&untold, "serve");
    assert_eq!(
        untold.body, other.body,
        "the body tells one refusal from another"
    );
    let unsigned = publish(&serve, &sign(OTHER_SECRET, &header(), &claims()), TOPIC);
    assert_eq!(untold.body, unsigned.body);
    let narrow = token_with(json!([detail(
        &["publish"],
        &["https://example.com/secret"]
    )]));
    let untold = publish(&serve, &narrow, TOPIC);
    check_forbidden(&untold);
    assert!(!untold.text().contains("example.com"), "{}", untold.text());
}

#[test]
fn nothing_secret_is_logged() {
    let more = "[subscribe]\nanonymous = true\n[log]\nlevel = \"trace\"\nformat = \"json\"\n";
    let mut hub = TestHub::serve(&settings_of(more));
    let good = token_for_all();
    let bad = sign(OTHER_SECRET, &header(), &claims());
    let cookie = token_with(json!([detail(&["publish"], &["a"])]));
    let data = "the-text-of-a-private-update";
    let form: &[(&str, &str)] = &[("topic", TOPIC), ("data", data), ("private", "on")];
    assert_eq!(hub.publish_as(&good, form).status, 200);
    assert_eq!(hub.publish_as(&bad, form).status, 401);
    let by_cookie = Request::post(HUB_PATH)
        .header("Cookie", &format!("__Secure-mercure_access_token={cookie}"))
        .header("Origin", "https://hub.example.com");
    assert_eq!(hub.request(by_cookie.form(form)).status, 403);
    let in_url = Request::get(&format!("{HUB_PATH}?match=*&access_token={good}")).bearer(&good);
    drop(hub.subscribe_by(in_url));
    assert!(hub.stop());
    let log = hub.log();
    assert!(
        log.contains("token not accepted") && log.contains("stopping"),
        "nothing is logged"
    );
    for secret in [&good, &bad, &cookie] {
        for part in secret.split('.').skip(1) {
            assert!(!log.contains(part), "a part of a token is in the log");
        }
    }
    for secret in [SECRET, OTHER_SECRET, data] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

/// Returns the configuration; this file is compiled a second time for hubs with old dialects.
fn settings_of(more: &str) -> String {
    settings_for(module_path!(), more)
}

fn hub() -> TestHub {
    TestHub::serve(&settings_of(""))
}

fn publish(hub: &TestHub, token: &str, topic: &str) -> Answer {
    hub.publish_as(token, &[("topic", topic), ("data", "hello")])
}

/// Asks for the fields of a stream only, so that no stream is left open.
fn subscribe(hub: &TestHub, token: &str) -> Answer {
    hub.request(Request::new("HEAD", &format!("{HUB_PATH}?match=*")).bearer(token))
}

fn challenge(answer: &Answer) -> &str {
    answer.challenge().unwrap_or_default()
}

#[track_caller]
fn check_accepted(hub: &TestHub, token: &str, what: &str) {
    let answer = publish(hub, token, TOPIC);
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    assert_eq!(subscribe(hub, token).status, 200, "{what}");
}

#[track_caller]
fn check_invalid(hub: &TestHub, token: &str, what: &str) {
    check_invalid_answer(&publish(hub, token, TOPIC), what);
    check_invalid_answer(&subscribe(hub, token), what);
}

#[track_caller]
fn check_invalid_answer(answer: &Answer, what: &str) {
    let found = (answer.status, challenge(answer));
    assert_eq!(
        found,
        (401, "Bearer error=\"invalid_token\""),
        "{what}: {}",
        answer.text()
    );
}

#[track_caller]
fn check_malformed(answer: &Answer, what: &str) {
    let found = (answer.status, challenge(answer));
    assert_eq!(
        found,
        (400, "Bearer error=\"invalid_request\""),
        "{what}: {}",
        answer.text()
    );
}

#[track_caller]
fn check_forbidden(answer: &Answer) {
    let found = (answer.status, challenge(answer));
    assert_eq!(
        found,
        (403, "Bearer error=\"insufficient_scope\""),
        "{}",
        answer.text()
    );
}

fn key_pair(scheme: &'static rcgen::SignatureAlgorithm) -> (String, String) {
    let pair = rcgen::KeyPair::generate_for(scheme).unwrap();
    (pair.serialize_pem(), pair.public_key_pem())
}

fn dev_key(hub: &TestHub) -> String {
    std::fs::read_to_string(hub.data().join("dev.key"))
        .unwrap()
        .trim_end()
        .to_owned()
}

fn claims_of(token: &str) -> Value {
    use base64::Engine;
    let part = token.split('.').nth(1).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(part)
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
