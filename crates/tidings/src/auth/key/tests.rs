//! Which keys are taken for which algorithm.

use super::super::tests::key_pair;
use super::*;

#[test]
fn a_secret_is_as_long_as_its_hash() {
    for (algorithm, bytes) in [
        (Algorithm::Hs256, 32),
        (Algorithm::Hs384, 48),
        (Algorithm::Hs512, 64),
    ] {
        assert!(VerifyKey::parse(algorithm, &"k".repeat(bytes)).is_ok());
        check(
            algorithm,
            &"k".repeat(bytes - 1),
            &format!(
                "the secret has {} bytes, but {algorithm} needs at least {bytes}: make one with \
                 `openssl rand -hex {bytes}`",
                bytes - 1
            ),
        );
    }
}

#[test]
fn the_published_key_is_refused() {
    check(
        Algorithm::Hs256,
        PUBLISHED_KEY,
        "this is the example key that everyone knows: make your own with `openssl rand -hex 32`",
    );
}

#[test]
fn a_pem_key_is_never_a_secret() {
    let (_, public) = key_pair(Algorithm::Es256);
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        check(
            algorithm,
            &public,
            &format!(
                "this is a PEM key, but {algorithm} takes a shared secret: write the algorithm of \
                 the key, such as RS256, ES256 or EdDSA"
            ),
        );
    }
}

#[test]
fn a_public_key_is_of_the_algorithms_kind() {
    let kinds = [
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
    ];
    for kind in kinds {
        let (private, public) = key_pair(kind);
        check(
            kind,
            &private,
            "this is a private key: give the hub the public one, it never signs",
        );
        for algorithm in kinds {
            let key = VerifyKey::parse(algorithm, &public);
            assert_eq!(
                key.is_ok(),
                algorithm == kind,
                "a key for {kind} as {algorithm}"
            );
        }
    }
}

#[test]
fn anything_else_is_not_pem() {
    for text in [
        "",
        "secret",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nAA==\n",
    ] {
        check(
            Algorithm::EdDsa,
            text,
            "EdDSA needs a public key in PEM, with a line -----BEGIN PUBLIC KEY-----",
        );
    }
}

#[test]
fn an_rsa_key_is_not_shorter_than_2048_bits() {
    let error = VerifyKey::parse(Algorithm::Rs256, SHORT_RSA).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is no public key for RS256 (RSA keys have 2048 to 8192 bits)"
    );
}

#[test]
fn names_are_compared_byte_for_byte() {
    for algorithm in Algorithm::ALL {
        assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
    }
    for name in ["hs256", "none", "EDDSA", "ES512", ""] {
        assert_eq!(Algorithm::from_name(name), None);
    }
}

#[track_caller]
fn check(algorithm: Algorithm, text: &str, expected: &str) {
    assert_eq!(
        VerifyKey::parse(algorithm, text).unwrap_err().to_string(),
        expected
    );
}

const SHORT_RSA: &str = "\
-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC9N0ULjuYelA58En1sYYiBXjbj
7H/7ZGzdGtle507G1aiJd06mU80BZvqz/i1Wrx1kG6094M9vvNEFen4Gnlmjiorm
4efzSTmLEE06Gon7o0VtgbGE5k8BHzM9s3ME3eekqYrxvj7jZrvTwG/w8MOsxQG/
/91ZfsjadlxmldrzeQIDAQAB
-----END PUBLIC KEY-----
";
