//! What a hub leaves in its lease for the others: where they reach it, and digests of the settings
//! that hubs of one cluster share. Version 1.
//!
//! | bytes | meaning |
//! |---|---|
//! | 1 | version: 1 |
//! | text | the address that other hubs reach it at; empty if there is none |
//! | list | groups of settings |
//!
//! A group is a text, its name; a byte, 1 if a hub that differs must not serve and 0 if that is only
//! reported; and a list of settings, each a text, its key, and 8 bytes, its digest. The group
//! `envelope 2`, without settings, says that a hub reads envelopes of version 2; an older hub does not
//! have it, and does not compare it. Numbers, texts
//! and lists are those of the [envelope](crate::envelope). Nothing follows.

use std::sync::Arc;

use crate::Epoch;
use crate::bytes::{Rest, Unreadable, put, put_number};

/// A setting that hubs of one cluster share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The group that it belongs to.
    pub group: Arc<str>,
    /// Whether a hub that differs would match or grant differently, so that it must not serve.
    pub needed: Needed,
    /// Its key, as the configuration names it.
    pub key: Arc<str>,
    /// Its value, in a form that is equal if and only if the setting is.
    pub value: Arc<str>,
}

/// Whether hubs that differ in a setting may serve side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// They may not.
    Equal,
    /// They may. A difference is reported.
    Similar,
}

/// The record of one hub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// Where other hubs reach it.
    pub address: Option<Arc<str>>,
    /// The digests of its settings, in groups.
    pub groups: Vec<Group>,
}

/// Settings that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: Arc<str>,
    /// Whether its settings must be equal.
    pub needed: Needed,
    /// Key and digest of each setting.
    pub settings: Vec<(Arc<str>, [u8; DIGEST_BYTES])>,
}

/// A setting in which two hubs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its group.
    pub group: Arc<str>,
    /// Its key.
    pub key: Arc<str>,
    /// Whether it must be equal.
    pub needed: Needed,
}

/// Bytes of the digest of a setting.
pub const DIGEST_BYTES: usize = 8;

/// Most bytes of a record that is read.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// The group of hubs that read envelopes of version 2.
const READS_ENVELOPE_2: &str = "envelope 2";

/// The version that this hub writes, and the newest that it reads.
pub const VERSION: u8 = 1;

impl Record {
    /// Makes the record of a hub at `address` with these settings. Their values do not leave the hub:
    /// digests are keyed by the cluster's `secret`.
    #[must_use]
    pub fn new(address: Option<Arc<str>>, settings: &[Setting], secret: Epoch) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        for setting in settings {
            let entry = (
                Arc::clone(&setting.key),
                digest(secret, &setting.key, &setting.value),
            );
            match groups.iter_mut().find(|group| group.name == setting.group) {
                Some(group) => group.settings.push(entry),
                None => groups.push(Group {
                    name: Arc::clone(&setting.group),
                    needed: setting.needed,
                    settings: vec![entry],
                }),
            }
        }
        groups.push(Group {
            name: READS_ENVELOPE_2.into(),
            needed: Needed::Similar,
            settings: Vec::new(),
        });
        Self { address, groups }
    }

    /// Returns whether the hub reads envelopes of version 2, which have traces.
    #[must_use]
    pub fn reads_traces(&self) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|group| *group.name == *READS_ENVELOPE_2)
    }

    /// Returns its bytes.
    #[must_use]
    pub fn encode(&self) -> Arc<[u8]> {
        let mut bytes = vec![VERSION];
        put(
            &mut bytes,
            self.address.as_deref().unwrap_or_default().as_bytes(),
        );
        put_number(&mut bytes, self.groups.len() as u64);
        for group in &self.groups {
            put(&mut bytes, group.name.as_bytes());
            bytes.push(u8::from(group.needed == Needed::Equal));
            put_number(&mut bytes, group.settings.len() as u64);
            for (key, digest) in &group.settings {
                put(&mut bytes, key.as_bytes());
                bytes.extend(digest);
            }
        }
        bytes.into()
    }

    /// Reads what a hub wrote. Nothing if no hub that this one knows did.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.len() <= RECORD_BYTES_MAX {
            true => read(bytes).ok(),
            false => None,
        }
    }

    /// Returns the settings in which `self` and `other` differ. A group that one of them does not
    /// have is of another version, and is not compared.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let pairs = self.groups.iter().filter_map(|group| {
            let same = |theirs: &&Group| theirs.name == group.name;
            Some((group, other.groups.iter().find(same)?))
        });
        let mut differences = Vec::new();
        for (ours, theirs) in pairs {
            let all = ours.settings.iter().chain(&theirs.settings);
            for (key, _) in all {
                let of = |group: &Group| {
                    let mut settings = group.settings.iter();
                    settings.find_map(|(other, digest)| (other == key).then_some(*digest))
                };
                let difference = Difference {
                    group: Arc::clone(&ours.name),
                    key: Arc::clone(key),
                    needed: ours.needed,
                };
                if of(ours) != of(theirs) && !differences.contains(&difference) {
                    differences.push(difference);
                }
            }
        }
        differences
    }
}

fn read(bytes: &[u8]) -> Result<Record, Unreadable> {
    let mut rest = Rest(bytes);
    if rest.byte("the version")? != VERSION {
        return Err(Unreadable::Invalid("the version"));
    }
    let address = rest.text("the address")?;
    let address = (!address.is_empty()).then(|| Arc::from(address));
    let mut groups = Vec::new();
    for _ in 0..rest.number("the groups")? {
        let name = Arc::from(rest.text("a group")?);
        let needed = match rest.byte("a group")? {
            0 => Needed::Similar,
            1 => Needed::Equal,
            _ => return Err(Unreadable::Invalid("a group")),
        };
        let mut settings = Vec::new();
        for _ in 0..rest.number("the settings")? {
            let key = Arc::from(rest.text("a key")?);
            let digest = rest.take(DIGEST_BYTES, "a digest")?;
            let digest = digest
                .try_into()
                .map_err(|_length| Unreadable::Invalid("a digest"))?;
            settings.push((key, digest));
        }
        groups.push(Group {
            name,
            needed,
            settings,
        });
    }
    match rest.0.is_empty() {
        true => Ok(Record { address, groups }),
        false => Err(Unreadable::Invalid("the end")),
    }
}

/// Returns the first bytes of the SHA-1 of the secret, and of key and value with their lengths.
fn digest(secret: Epoch, key: &str, value: &str) -> [u8; DIGEST_BYTES] {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(&secret.secret());
    for text in [key, value] {
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    let hash = hash.digest().bytes();
    let mut digest = [0; DIGEST_BYTES];
    for (to, from) in digest.iter_mut().zip(hash) {
        *to = from;
    }
    digest
}

#[cfg(test)]
mod tests;
