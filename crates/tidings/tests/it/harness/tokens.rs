//! Access tokens made by hand, so that a test decides about every claim, and the settings of a hub
//! that trusts them. Nothing of the product signs here.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The public URL of the hub of [`settings`], which is its audience too.
pub const HUB: &str = "https://hub.example.com/.well-known/mercure";
/// The issuer that it trusts.
pub const ISSUER: &str = "https://issuer.example.com";
/// The issuer's secret, for HS256.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// The type of Mercure's authorization details.
pub const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";

/// Returns a `tidings.toml` with `more` and, unless it has them, the hub's URL and the issuer.
pub fn settings(more: &str) -> String {
    let mut text = format!("{more}\n");
    if !more.contains("[hub]") {
        text.push_str(&format!("[hub]\npublic_url = \"{HUB}\"\n"));
    }
    if !more.contains("[[auth.issuers]]") {
        text.push_str(&format!(
            "[[auth.issuers]]\nissuer = \"{ISSUER}\"\nkey = \"{SECRET}\"\n"
        ));
    }
    text
}

/// Returns [`settings`] for the tests of `module`, its `module_path!()`: one that is compiled a second
/// time for hubs with old dialects gets those switched on.
pub fn settings_for(module: &str, more: &str) -> String {
    match module.contains("_with_old_dialects") {
        true => super::dialects::all_dialects(more),
        false => settings(more),
    }
}

/// Returns a token of the trusted issuer with these claims.
pub fn token(claims: &Value) -> String {
    sign(SECRET, &header(), claims)
}

/// Returns a token that publishes and subscribes every topic.
pub fn token_for_all() -> String {
    token(&claims())
}

/// Returns a token with these authorization details.
pub fn token_with(details: Value) -> String {
    token(&with("authorization_details", details))
}

/// Returns the usual header.
pub fn header() -> Value {
    json!({"alg": "HS256", "typ": "at+jwt"})
}

/// Returns claims that the hub accepts: every topic, both actions, one hour.
pub fn claims() -> Value {
    json!({
        "iss": ISSUER,
        "aud": HUB,
        "sub": "someone",
        "client_id": "tests",
        "iat": now_secs() - 10,
        "exp": now_secs() + 3600,
        "jti": "urn:uuid:5d4a2b3e-0b5c-4a9e-8a51-0d9f3d2c1b00",
        "authorization_details": [detail(&["publish", "subscribe"], &["*"])],
    })
}

/// Returns the same with one claim changed.
pub fn with(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

/// Returns the same without one claim.
pub fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

/// Returns an authorization detail for exact topics.
pub fn detail(actions: &[&str], topics: &[&str]) -> Value {
    let topics: Vec<Value> = topics.iter().map(|topic| json!({"match": topic})).collect();
    json!({"type": DETAIL_TYPE, "actions": actions, "topics": topics})
}

/// Signs a header and claims with HMAC and SHA-256, whatever the header says.
pub fn sign(secret: &str, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Returns JSON as a token's part has it.
pub fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// Returns the time in whole seconds of Unix time.
pub fn now_secs() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}
