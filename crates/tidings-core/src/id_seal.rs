//! The ids that the hub makes: a position under a seal that vouches for the update there. No table
//! of ids is needed to find the position again, and an id tells a subscriber nothing about how much
//! was published.
//!
//! ```text
//! tag    = the low 58 bits of SipHash-2-4(key 1, position ‖ print of the update there)
//! masked = position XOR SipHash-2-4(key 2, tag)
//!
//! urn:uuid:tttttttt-tttt-8ttm-vmmm-mmmmmmmmmmmm      t: tag, m: masked, v: variant and masked
//! ```
//!
//! The tag is both the check and the nonce of the mask, like a synthetic initialization vector (RFC
//! 5297). Equal updates at equal positions therefore have equal ids, and no two positions have the
//! same id. Opening an id gives a position only. To know whether the id belongs to this line of
//! history, the caller looks up the print at that position: an id of another line fits with
//! probability 2⁻⁵⁸. A forged id opens to a position of 64 random bits, which no history reaches.
//!
//! For updates that predate prints, the tag is computed from the position alone. UUID version 8
//! leaves its bits to the application: RFC 9562, 5.8.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use uuid::Uuid;

use crate::event_id::EventId;
use crate::position::Position;
use crate::print::Print;

/// Turns positions and prints into event ids, and ids into claims. One is made for each epoch of a
/// history.
#[derive(Clone)]
pub struct IdSeal {
    tag_key: [u8; 16],
    mask_key: [u8; 16],
}

/// What an id claims. It is true only if [`IdSeal::vouches`] confirms it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    position: Position,
    tag: u64,
}

impl Claim {
    /// Returns the position that the id claims for its update.
    #[must_use]
    pub fn position(self) -> Position {
        self.position
    }
}

impl IdSeal {
    /// Takes 32 secret bytes, which must stay the same for as long as the history exists.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        let mut tag_key = [0; 16];
        let mut mask_key = [0; 16];
        let (first, second) = secret.split_at(16);
        tag_key.copy_from_slice(first);
        mask_key.copy_from_slice(second);
        Self { tag_key, mask_key }
    }

    /// Returns the id of the update at `position` with this print; `None` for an update that
    /// predates prints.
    ///
    /// Mercure, "Reconnection, State Reconciliation, and Event Sourcing": ids should be opaque.
    #[must_use]
    pub fn seal(&self, position: Position, print: Option<Print>) -> EventId {
        let tag = self.tag(position, print);
        let masked = position.get() ^ prf(&self.mask_key, &tag.to_le_bytes());
        EventId::from_hub(&text(tag, masked))
    }

    /// Returns the claim of `id`, or `None` if it does not have the form of a sealed id.
    ///
    /// Accepts only the spelling that [`seal`](Self::seal) writes.
    #[must_use]
    pub fn open(&self, id: &str) -> Option<Claim> {
        let bits = Uuid::try_parse(id.strip_prefix(PREFIX)?).ok()?.as_u128();
        let (tag, masked) = unpack(bits);
        if text(tag, masked) != id {
            return None;
        }
        let position = masked ^ prf(&self.mask_key, &tag.to_le_bytes());
        Some(Claim {
            position: Position::new(position),
            tag,
        })
    }

    /// Returns whether `claim` is that of an update with this print.
    #[must_use]
    pub fn vouches(&self, claim: Claim, print: Option<Print>) -> bool {
        self.tag(claim.position, print) == claim.tag
    }

    fn tag(&self, position: Position, print: Option<Print>) -> u64 {
        let number = position.get().to_le_bytes();
        let hash = match print {
            None => prf(&self.tag_key, &number),
            Some(print) => {
                let mut sealed = [0; 24];
                let (before, after) = sealed.split_at_mut(number.len());
                before.copy_from_slice(&number);
                after.copy_from_slice(&print.bytes());
                prf(&self.tag_key, &sealed)
            }
        };
        hash & TAG_MASK
    }
}

impl std::fmt::Debug for IdSeal {
    /// Hides the keys, which are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdSeal")
    }
}

/// Writes the id: 48 bits of the tag, version 8, 10 bits of the tag, 2 of the masked position, the
/// variant, and 62 bits of the masked position. RFC 9562, 4.1, 4.2 and 5.8.
fn text(tag: u64, masked: u64) -> String {
    let high = (u128::from(tag >> 10) << 80)
        | (u128::from(VERSION) << 76)
        | (u128::from(tag & 0x3ff) << 66)
        | (u128::from(masked >> 62) << 64);
    let low = (u128::from(VARIANT) << 62) | u128::from(masked & LOW_62);
    format!("{PREFIX}{}", Uuid::from_u128(high | low).hyphenated())
}

/// Reads the tag and the masked position, and ignores version and variant: the caller compares the
/// text again, which checks them.
fn unpack(bits: u128) -> (u64, u64) {
    let (high, low) = Uuid::from_u128(bits).as_u64_pair();
    let tag = ((high >> 16) << 10) | ((high >> 2) & 0x3ff);
    let masked = ((high & 0b11) << 62) | (low & LOW_62);
    (tag, masked)
}

fn prf(key: &[u8; 16], input: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(input);
    hasher.finish()
}

const PREFIX: &str = "urn:uuid:";
const TAG_MASK: u64 = (1 << 58) - 1;
const LOW_62: u64 = (1 << 62) - 1;
const VERSION: u64 = 8;
const VARIANT: u64 = 0b10;

#[cfg(test)]
mod tests;
