//! How the prints of a cluster's line follow from each other.
//!
//! The engine forms them, in the same step in which it gives a position, so the hash is one that it
//! has: SHA-1 in the script language of Redis, SHA-256 in PostgreSQL. Nobody can aim at a print, also
//! of SHA-1: what is hashed holds a [`Digest`] that only hubs of the epoch can make, and that leaves
//! them for the engine alone.

use std::fmt::Write as _;

use sha2::Digest as _;
use tidings_core::{Digest, Print};

/// Returns the print of the update with `digest` that got its position at `published_ms`, where
/// `previous` is the print of the position before; nothing at the first position.
///
/// The print is the first 16 bytes of the SHA-1 of this text, where prints and digests are written
/// as 32 lower-case hexadecimal digits, no print as nothing, and the time in decimal:
///
/// ```text
/// PREVIOUS:PUBLISHED_MS:DIGEST
/// ```
#[must_use]
pub fn link(previous: Option<Print>, published_ms: u64, digest: Digest) -> Print {
    let text = text(previous, published_ms, digest);
    first_16(&sha1_smol::Sha1::from(text).digest().bytes())
}

/// As [`link`], with the SHA-256 of the text.
#[must_use]
pub fn link_sha256(previous: Option<Print>, published_ms: u64, digest: Digest) -> Print {
    let text = text(previous, published_ms, digest);
    first_16(&sha2::Sha256::digest(text))
}

fn text(previous: Option<Print>, published_ms: u64, digest: Digest) -> String {
    let mut text = String::with_capacity(2 * 32 + 22);
    if let Some(previous) = previous {
        push_hex(&mut text, previous.bytes());
    }
    // Writing to a String does not fail.
    let written = write!(text, ":{published_ms}:");
    debug_assert!(written.is_ok());
    push_hex(&mut text, digest.bytes());
    text
}

fn first_16(hash: &[u8]) -> Print {
    let mut print = [0; 16];
    for (to, from) in print.iter_mut().zip(hash) {
        *to = *from;
    }
    Print::new(print)
}

fn push_hex(text: &mut String, bytes: [u8; 16]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `printf` and `sha1sum` compute it.
    #[test]
    fn a_print_is_the_hash_of_a_text() {
        let digest = Digest::new([0xab; 16]);
        let first = link(None, 1_800_000_000_000, digest);
        assert_eq!(first.bytes(), FIRST);
        let second = link(Some(first), 1_800_000_000_001, digest);
        assert_eq!(second.bytes(), SECOND);
    }

    /// As `printf` and `sha256sum` compute it.
    #[test]
    fn a_print_may_be_of_another_hash() {
        let digest = Digest::new([0xab; 16]);
        let first = link_sha256(None, 1_800_000_000_000, digest);
        assert_eq!(first.bytes(), FIRST_SHA256);
        let second = link_sha256(Some(first), 1_800_000_000_001, digest);
        assert_eq!(second.bytes(), SECOND_SHA256);
    }

    const FIRST: [u8; 16] = 0xbc9b935cc44a32c9c2deaed5ec0231cc_u128.to_be_bytes();
    const SECOND: [u8; 16] = 0x5699a72db5303dafd8bc4078f8060d45_u128.to_be_bytes();
    const FIRST_SHA256: [u8; 16] = 0x8714c5673d540b316c91938b3d277f5b_u128.to_be_bytes();
    const SECOND_SHA256: [u8; 16] = 0xc59572d252e303ae343af0f70e68b0e7_u128.to_be_bytes();
}
