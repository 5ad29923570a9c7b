//! The token of operators, of which only a hash is kept.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Digest, SHA256, digest};

/// Characters that a token has at least: as many as a 128-bit number in hexadecimal digits.
const CHARACTERS_MIN: usize = 32;
/// Bytes of a token at most. What is longer is not hashed.
const BYTES_MAX: usize = 1024;

/// What the token of a request is compared with.
#[derive(Clone)]
pub struct AdminToken(Digest);

/// Why a text is no token for operators. It does not repeat the text.
#[derive(Debug, thiserror::Error)]
pub enum AdminTokenError {
    /// It can be guessed.
    #[error(
        "the token has {characters} characters, but needs at least {CHARACTERS_MIN}: make one with \
         `openssl rand -hex 32`"
    )]
    TooShort {
        /// How many it has.
        characters: usize,
    },
    /// It is longer than what requests may present.
    #[error("the token has {bytes} bytes, more than {BYTES_MAX}")]
    TooLong {
        /// How many it has.
        bytes: usize,
    },
    /// It cannot stand in a field of a request.
    #[error("the token has characters other than letters, digits and -._~+/=")]
    Characters,
}

impl AdminToken {
    /// Takes a token as it is configured.
    ///
    /// # Errors
    ///
    /// It is too short, or no request could present it (RFC 6750, 2.1).
    pub fn parse(text: &str) -> Result<Self, AdminTokenError> {
        let characters = text.chars().count();
        if characters < CHARACTERS_MIN {
            return Err(AdminTokenError::TooShort { characters });
        }
        if text.len() > BYTES_MAX {
            return Err(AdminTokenError::TooLong { bytes: text.len() });
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !text.bytes().all(allowed) {
            return Err(AdminTokenError::Characters);
        }
        Ok(Self(digest(&SHA256, text.as_bytes())))
    }

    /// Returns whether a request presented the token. The time that this takes says nothing about the token.
    pub fn is(&self, presented: &str) -> bool {
        if presented.len() > BYTES_MAX {
            return false;
        }
        let presented = digest(&SHA256, presented.as_bytes());
        verify_slices_are_equal(self.0.as_ref(), presented.as_ref()).is_ok()
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken(hidden)")
    }
}
