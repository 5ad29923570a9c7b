//! Which keys are taken for which algorithm.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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
    for key in PUBLISHED_KEYS {
        assert!(VerifyKey::parse_old(Algorithm::Hs256, key).is_err());
    }
    check(
        Algorithm::Hs256,
        PUBLISHED_KEYS[0],
        "this is a publicly known example key: make your own with `openssl rand -hex 32`",
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
        "secret",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\n%\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nAA==\n",
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----",
    ] {
        check(
            Algorithm::EdDsa,
            text,
            "EdDSA needs a public key or a certificate in PEM, with a line -----BEGIN PUBLIC \
             KEY----- and one -----END PUBLIC KEY-----",
        );
    }
}

#[test]
fn a_text_that_stands_for_a_key_is_none() {
    for (text, expected) in [
        ("", "the key is empty"),
        (" \t\n", "the key is empty"),
        ("{env.KEY}", "this is a placeholder"),
        ("\"0123456789abcdef0123456789abcdef\"", "quotation marks"),
        ("{\"kty\":\"oct\",\"k\":\"AA\"}", "this is JSON"),
    ] {
        for algorithm in [Algorithm::Hs256, Algorithm::EdDsa] {
            for parse in [VerifyKey::parse, VerifyKey::parse_old] {
                let error = parse(algorithm, text).unwrap_err().to_string();
                assert!(error.contains(expected), "{text}: {error}");
            }
        }
    }
}

#[test]
fn a_public_key_is_read_from_every_shape_of_pem() {
    for (algorithm, label) in [
        (Algorithm::EdDsa, "PUBLIC KEY"),
        (Algorithm::Rs256, "PUBLIC KEY"),
        (Algorithm::Es256, "CERTIFICATE"),
        (Algorithm::Rs256, "RSA PUBLIC KEY"),
    ] {
        let (private, public) = key_pair(algorithm);
        let text = match label {
            "CERTIFICATE" => certificate(&private),
            "RSA PUBLIC KEY" => pkcs1(&public),
            _ => public,
        };
        assert!(text.contains(label), "{text}");
        let one_line = text.trim_end().replace('\n', "\\n");
        for shape in [
            text.clone(),
            text.replace('\n', "\r\n"),
            one_line.clone(),
            one_line.replace("\\n", "\\r\\n"),
            text.replace('\n', " "),
            format!("a note before it\n{text}"),
        ] {
            let key = VerifyKey::parse(algorithm, &shape);
            assert!(key.is_ok(), "{shape}: {key:?}");
        }
    }
}

/// Returns a certificate for a private key.
fn certificate(private: &str) -> String {
    let pair = rcgen::KeyPair::from_pem(private).unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["id.example".to_owned()]).unwrap();
    parameters.self_signed(&pair).unwrap().pem()
}

/// Returns a public RSA key as PKCS #1 has it: what stands in the bit string of the usual form.
fn pkcs1(public: &str) -> String {
    let spki = pem::public_key(public).unwrap();
    // A sequence, the algorithm of 15 bytes, the bit string's head of 5.
    let key = STANDARD.encode(&spki[4 + 15 + 5..]);
    format!("-----BEGIN RSA PUBLIC KEY-----\n{key}\n-----END RSA PUBLIC KEY-----\n")
}

#[test]
fn an_rsa_key_is_not_shorter_than_2048_bits() {
    let error = VerifyKey::parse(Algorithm::Rs256, SHORT_RSA).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is not a public key for RS256 (RSA keys have 2048 to 8192 bits)"
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
