//! The holder of a subscription, as stored for the next start: enough to recognise a returning
//! subscriber without identifying it.

use crate::print::{Fields, derive};

/// The holder of a subscription: a keyed hash of the token's issuer and subject. It never leaves
/// the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder([u8; 16]);

impl Holder {
    /// Makes a holder from its stored bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// Makes the holders of one epoch. The same subject has another holder in another epoch.
#[derive(Clone)]
pub struct HolderKey([u8; 16]);

impl HolderKey {
    /// Takes the 32 secret bytes of the epoch.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self(derive(secret, b"tidings holder"))
    }

    /// Returns the holder for `subject` of `issuer`.
    #[must_use]
    pub fn holder(&self, issuer: &str, subject: &str) -> Holder {
        let mut fields = Fields::new(&self.0);
        fields.text(issuer);
        fields.text(subject);
        Holder(fields.finish())
    }
}

impl HolderKey {
    /// Returns a number for a list of texts: the same on every hub of the epoch, another one for
    /// every other list, and one that tells nobody else anything.
    #[must_use]
    pub fn mark(&self, texts: &[&str]) -> u64 {
        let mut fields = Fields::new(&self.0);
        fields.number(texts.len() as u64);
        for text in texts {
            fields.text(text);
        }
        let [a, b, c, d, e, f, g, h, ..] = fields.finish();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

impl std::fmt::Debug for HolderKey {
    /// Hides the key, which is secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HolderKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_subject_of_the_same_issuer_is_the_same() {
        let key = HolderKey::new([1; 32]);
        let ada = key.holder("issuer", "ada");
        assert_eq!(ada, key.holder("issuer", "ada"));
        for (issuer, subject) in [("issuer", "bob"), ("other", "ada"), ("issuera", "da")] {
            assert_ne!(ada, key.holder(issuer, subject), "{issuer} {subject}");
        }
        assert_ne!(ada, HolderKey::new([2; 32]).holder("issuer", "ada"));
    }

    #[test]
    fn a_mark_tells_lists_apart() {
        let key = HolderKey::new([1; 32]);
        let mark = key.mark(&["a", "b"]);
        assert_eq!(mark, key.mark(&["a", "b"]));
        for other in [&["a"][..], &["ab", ""], &["a", "b", ""], &["b", "a"]] {
            assert_ne!(mark, key.mark(other), "{other:?}");
        }
        assert_ne!(mark, HolderKey::new([2; 32]).mark(&["a", "b"]));
    }
}
