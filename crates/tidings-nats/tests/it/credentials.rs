//! Login by a file of credentials: a decentralised JWT of a user, signed by an account, which is
//! signed by an operator that the server trusts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidings_nats::{Access, Options, permissions};

use crate::harness::{NatsRig, Servers, name, options, run};
use crate::login::{state, use_everything};

const HOUR: Duration = Duration::from_hours(1);

#[test]
fn a_user_of_credentials_with_few_permissions_suffices() {
    let trust = Trust::start();
    let user = KeyPair::new_user();
    let jwt = trust.user(&user, &trust.account, SystemTime::now() + HOUR);
    let options = trust.options(&jwt, &user.seed().unwrap());
    run(use_everything(&NatsRig::new(options)));
}

#[test]
fn credentials_that_do_not_hold_are_refused_without_a_word_of_them() {
    let trust = Trust::start();
    let user = KeyPair::new_user();
    let stranger = KeyPair::new_user();
    let later = SystemTime::now() + HOUR;
    let good = trust.user(&user, &trust.account, later);
    let expired = trust.user(&user, &trust.account, SystemTime::now() - HOUR);
    let other_account = trust.user(&user, &KeyPair::new_account(), later);
    let (claims, _signature) = expired.rsplit_once('.').unwrap();
    let (_claims, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{claims}.{signature}");
    for (what, jwt, seed) in [
        ("another's seed", &good, stranger.seed().unwrap()),
        ("it has expired", &expired, user.seed().unwrap()),
        ("an unknown account", &other_account, user.seed().unwrap()),
        ("another's signature", &forged, user.seed().unwrap()),
    ] {
        let error = state(trust.options(jwt, &seed));
        let text = format!("{error:?}{}", error.line());
        let claims = jwt.split('.').nth(1).and_then(|claims| claims.get(..20));
        for secret in [&seed, jwt, claims.unwrap()] {
            assert!(!text.contains(secret), "{what}");
        }
        assert!(!error.leaves_doubt(), "{what}: {error:?}");
    }
}

/// A server that trusts an operator, with one account for the hubs.
struct Trust {
    servers: Servers,
    account: KeyPair,
    folder: TempDir,
}

impl Trust {
    fn start() -> Self {
        let operator = KeyPair::new_operator();
        let [account, system] = [KeyPair::new_account(), KeyPair::new_account()];
        let now = SystemTime::now();
        let about_operator = json!({ "type": "operator", "version": 2 });
        let trusted = sign(&operator, &operator, now + HOUR, &about_operator);
        let of_hubs = sign(&account, &operator, now + HOUR, &account_claims(-1));
        // JetStream wants an account of the system, which has none itself.
        let of_system = sign(&system, &operator, now + HOUR, &account_claims(0));
        let settings = format!(
            "operator: {trusted}\nsystem_account: {}\nresolver: MEMORY\n\
             resolver_preload {{\n{}: {of_hubs}\n{}: {of_system}\n}}",
            system.public_key(),
            account.public_key(),
            system.public_key(),
        );
        Self {
            servers: Servers::start_with(1, &settings),
            account,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Returns the JWT of a user that `account` signs.
    fn user(&self, user: &KeyPair, account: &KeyPair, until: SystemTime) -> String {
        let publish = permissions(&name("it"));
        let claims = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
            "pub": { "allow": publish }, "sub": { "allow": ["_INBOX.>"] },
        });
        sign(user, account, until, &claims)
    }

    /// Returns options with credentials from a file as `nsc generate creds` writes it.
    fn options(&self, jwt: &str, seed: &str) -> Options {
        let path = self.folder.path().join("hub.creds");
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        std::fs::write(&path, text).unwrap();
        let mut options = options(&self.servers);
        options.access = Access::credentials(&path).unwrap();
        options
    }
}

/// Claims of an account without limits, but for so many streams: -1 are any number.
fn account_claims(streams: i32) -> Value {
    json!({
        "type": "account", "version": 2,
        "limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1,
            "wildcards": true, "conn": -1, "leaf": -1,
            "mem_storage": streams, "disk_storage": streams, "streams": streams,
            "consumer": streams,
        },
        "default_permissions": { "pub": {}, "sub": {} },
    })
}

/// Returns a JWT about `subject`. NATS, "JWTs and Privileges": version 2 of its claims.
fn sign(subject: &KeyPair, issuer: &KeyPair, until: SystemTime, claims: &Value) -> String {
    let secs = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
    let body = json!({
        "iss": issuer.public_key(), "sub": subject.public_key(), "name": "it",
        "iat": secs(SystemTime::now() - 2 * HOUR), "exp": secs(until), "nats": claims,
    });
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let [header, body] = [header, body].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{body}");
    let signature = issuer.sign(signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
