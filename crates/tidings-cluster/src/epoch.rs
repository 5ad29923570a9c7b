//! The epoch that the hubs of a cluster share.

use std::fmt;

/// The secret of one line of updates: event ids, prints and holders are made with it.
///
/// Hubs with the same epoch make the same id for the same update at the same position, so each of
/// them opens the ids of the others. A relay that orders gives it to all of its hubs; a hub without
/// a cluster makes its own when it creates its history.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Epoch([u8; 32]);

impl Epoch {
    /// Makes an epoch of 32 secret random bytes.
    #[must_use]
    pub const fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Returns a name that all hubs of the epoch make alike, for one purpose. It is no secret, and
    /// tells nothing about the secret.
    #[must_use]
    pub fn name_for(self, purpose: &str) -> String {
        let mut hash = sha1_smol::Sha1::new();
        hash.update(&self.0);
        hash.update(purpose.as_bytes());
        let mut name = hash.digest().to_string();
        name.truncate(NAME_DIGITS);
        name
    }

    /// Returns the secret bytes.
    #[must_use]
    pub const fn secret(self) -> [u8; 32] {
        self.0
    }
}

/// Hexadecimal digits of a name.
const NAME_DIGITS: usize = 24;

impl fmt::Debug for Epoch {
    /// Shows nothing of the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Epoch")
    }
}
