//! Keys that sign, and the texts that are none.

use super::super::key::VerifyKey;
use super::super::tests::key_pair;
use super::*;

#[test]
fn what_each_algorithm_signs_its_public_key_verifies() {
    for algorithm in Algorithm::ALL {
        let (private, public) = key_pair(algorithm);
        let token = SignKey::parse(algorithm, &private)
            .and_then(|key| key.sign_text("{}", "{\"a\":1}"))
            .unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = VerifyKey::parse(algorithm, &public).unwrap();
        assert!(key.verifies(signed.as_bytes(), &signature), "{algorithm}");
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let private = |algorithm| key_pair(algorithm).0;
    let public = key_pair(Algorithm::Rs256).1;
    for (algorithm, text) in [
        (Algorithm::Rs256, private(Algorithm::Es256)),
        (Algorithm::Ps512, private(Algorithm::EdDsa)),
        (Algorithm::Es256, private(Algorithm::Es384)),
        (Algorithm::Es384, private(Algorithm::Rs256)),
        (Algorithm::EdDsa, private(Algorithm::Es256)),
        (Algorithm::Rs256, public),
        (Algorithm::EdDsa, "a secret".to_owned()),
    ] {
        let error = SignKey::parse(algorithm, &text).unwrap_err();
        assert!(matches!(error, IssueError::Key { .. }), "{algorithm}");
    }
    let error = SignKey::parse(Algorithm::Hs256, &private(Algorithm::Rs256)).unwrap_err();
    assert!(matches!(error, IssueError::PemAsSecret { .. }));
}

#[test]
fn a_key_is_not_shown() {
    let key = SignKey::parse(Algorithm::Hs256, "a secret that nobody sees").unwrap();
    assert_eq!(format!("{key:?}"), "SignKey(HS256, hidden)");
}
