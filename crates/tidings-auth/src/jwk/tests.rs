//! Which entries of a key set count, and as what.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

use super::*;
use crate::issue::SignKey;

#[test]
fn each_kind_of_key_has_its_algorithms() {
    for (pair, entry, algorithms) in [
        (p256(), ec("P-256", &p256(), 32), &["ES256"][..]),
        (p384(), ec("P-384", &p384(), 48), &["ES384"]),
        (ed25519(), okp(&ed25519()), &["EdDSA"]),
        (
            rsa(),
            rsa_entry(&rsa()),
            &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
        ),
    ] {
        drop(pair);
        let read = parse_all(&[entry]);
        assert_eq!(names(&read), algorithms, "{read:?}");
        assert_eq!(read.ignored, 0);
    }
}

#[test]
fn what_a_key_of_a_set_verifies_was_signed_with_its_other_half() {
    let ec_pair = p256();
    let rsa_pair = rsa();
    let ed_pair = ed25519();
    for (algorithm, pair, entry) in [
        (Algorithm::Es256, &ec_pair, ec("P-256", &ec_pair, 32)),
        (Algorithm::EdDsa, &ed_pair, okp(&ed_pair)),
        (Algorithm::Rs256, &rsa_pair, rsa_entry(&rsa_pair)),
        (Algorithm::Ps512, &rsa_pair, rsa_entry(&rsa_pair)),
    ] {
        let signer = SignKey::parse(algorithm, &pair.serialize_pem()).unwrap();
        let token = signer.sign_text("{}", "{}").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let read = parse_all(&[entry]);
        let key = read.keys[0]
            .keys
            .iter()
            .find(|key| key.algorithm() == algorithm)
            .unwrap();
        assert!(key.verifies(signed.as_bytes(), &signature), "{algorithm}");
        assert!(!key.verifies(b"other", &signature), "{algorithm}");
    }
}

#[test]
fn an_entry_says_what_it_is_for() {
    let with = |name: &str, value: Value| {
        let mut entry = ec("P-256", &p256(), 32);
        entry[name] = value;
        parse_all(&[entry])
    };
    assert_eq!(names(&with("use", json!("sig"))), ["ES256"]);
    assert_eq!(
        names(&with("key_ops", json!(["sign", "verify"]))),
        ["ES256"]
    );
    assert_eq!(names(&with("alg", json!("ES256"))), ["ES256"]);
    for (name, value, reason) in [
        ("use", json!("enc"), Ignored::Purpose),
        ("use", json!(7), Ignored::Malformed),
        ("key_ops", json!(["encrypt"]), Ignored::Purpose),
        ("key_ops", json!("verify"), Ignored::Malformed),
        ("alg", json!("ES384"), Ignored::Unknown),
        ("alg", json!("RS256"), Ignored::Unknown),
        ("alg", json!("HS256"), Ignored::Unknown),
        ("alg", json!("none"), Ignored::Unknown),
        ("crv", json!("secp256k1"), Ignored::Unknown),
        ("crv", json!("P-384"), Ignored::Unusable),
        ("d", json!("AAAA"), Ignored::Private),
        ("k", json!("AAAA"), Ignored::Shared),
        ("kty", json!("oct"), Ignored::Shared),
        ("kty", json!("DSA"), Ignored::Unknown),
        ("kid", json!("k".repeat(1025)), Ignored::Malformed),
        ("x", json!("A=A="), Ignored::Malformed),
        ("x", json!("AAAA"), Ignored::Unusable),
        (
            "y",
            json!(URL_SAFE_NO_PAD.encode([7; 32])),
            Ignored::Unusable,
        ),
    ] {
        let read = with(name, value.clone());
        assert_eq!(
            (read.keys.len(), read.reason),
            (0, Some(reason)),
            "{name}: {value}"
        );
    }
}

#[test]
fn an_rsa_key_for_one_algorithm_verifies_nothing_else() {
    let mut entry = rsa_entry(&rsa());
    entry["alg"] = json!("PS256");
    assert_eq!(names(&parse_all(&[entry.clone()])), ["PS256"]);
    entry["alg"] = json!("HS256");
    assert_eq!(parse_all(&[entry]).reason, Some(Ignored::Unknown));
}

#[test]
fn short_and_damaged_rsa_keys_are_not_used() {
    let mut entry = rsa_entry(&rsa());
    let modulus = URL_SAFE_NO_PAD
        .decode(entry["n"].as_str().unwrap())
        .unwrap();
    for (length, first) in [(128, 0xff), (255, 0xff), (1025, 0xff), (0, 0)] {
        let mut short = vec![first; length];
        if let Some(last) = short.last_mut() {
            *last = 1;
        }
        entry["n"] = json!(URL_SAFE_NO_PAD.encode(short));
        assert_eq!(
            parse_all(&[entry.clone()]).reason,
            Some(Ignored::Unusable),
            "{length}"
        );
    }
    // Zeros in front are not part of the number.
    entry["n"] = json!(URL_SAFE_NO_PAD.encode([&[0, 0], modulus.as_slice()].concat()));
    assert_eq!(parse_all(&[entry]).keys.len(), 1);
}

#[test]
fn one_entry_of_no_use_does_not_spoil_the_others() {
    let good = ec("P-256", &p256(), 32);
    let read = parse_all(&[json!({"kty": "oct", "k": "AAAA"}), json!(7), good]);
    assert_eq!((read.keys.len(), read.ignored), (1, 2));
    assert_eq!(parse_all(&[]).keys.len(), 0);
}

#[test]
fn entries_may_share_a_name() {
    let named = |mut entry: Value| {
        entry["kid"] = json!("same");
        entry
    };
    let read = parse_all(&[
        named(ec("P-256", &p256(), 32)),
        named(ec("P-256", &p256(), 32)),
    ]);
    let kids: Vec<_> = read.keys.iter().map(|key| key.kid.as_deref()).collect();
    assert_eq!(kids, [Some("same"), Some("same")]);
}

#[test]
fn what_is_no_set_is_refused_whole() {
    for document in [
        "",
        "[]",
        "{}",
        r#"{"keys":{}}"#,
        r#"{"keys":[],"keys":[]}"#,
        r#"{"keys":[]} x"#,
    ] {
        assert!(parse(document.as_bytes()).is_err(), "{document}");
    }
    let many = json!({"keys": vec![json!({}); KEYS_MAX + 1]}).to_string();
    assert!(matches!(
        parse(many.as_bytes()),
        Err(JwkSetError::TooMany { .. })
    ));
}

#[test]
fn no_cut_of_a_set_breaks_the_reader() {
    let document = json!({"keys": [rsa_entry(&rsa()), ec("P-256", &p256(), 32)]}).to_string();
    for cut in 0..document.len() {
        assert!(parse(document.as_bytes().split_at(cut).0).is_err());
    }
}

fn parse_all(entries: &[Value]) -> Read {
    parse(json!({"keys": entries}).to_string().as_bytes()).unwrap()
}

fn names(read: &Read) -> Vec<&'static str> {
    let keys = read.keys.iter().flat_map(|entry| &entry.keys);
    keys.map(|key| key.algorithm().name()).collect()
}

fn p256() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

fn p384() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap()
}

fn ed25519() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

fn rsa() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap()
}

fn ec(curve: &str, pair: &KeyPair, length: usize) -> Value {
    let (x, y) = pair.der_bytes()[1..].split_at(length);
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)})
}

fn okp(pair: &KeyPair) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.der_bytes())})
}

/// Reads modulus and exponent out of the DER form, SEQUENCE { INTEGER, INTEGER } with long lengths.
fn rsa_entry(pair: &KeyPair) -> Value {
    let der = pair.der_bytes();
    let length = usize::from(u16::from_be_bytes([der[6], der[7]]));
    let (modulus, rest) = der[8..].split_at(length);
    let encoded = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "RSA", "n": encoded(modulus.strip_prefix(&[0]).unwrap_or(modulus)), "e": encoded(&rest[2..])})
}
