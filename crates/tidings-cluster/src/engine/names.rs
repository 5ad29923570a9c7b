//! What names an epoch, a hub, one of its starts, an update's origin, and the key of a publish.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// A number that names something: eight random bytes, written as 16 hexadecimal digits. It is no
/// secret. Names of different kinds are different types.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<K>(u64, PhantomData<K>);

/// What a [`Name`] names.
pub trait Kind {
    /// The name of its names, for debugging.
    const NAME: &'static str;
}

/// Names an epoch of a line.
///
/// A [`bump`](crate::engine::Engine::bump) changes it and leaves the secret of the ids, the [`Epoch`](crate::Epoch), as it is.
pub type EpochId = Name<OfEpoch>;

/// Names a hub, for as long as its history lives.
pub type NodeId = Name<OfNode>;

/// Names one start of a hub.
pub type BootId = Name<OfBoot>;

/// The kind of an [`EpochId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OfEpoch {}

/// The kind of a [`NodeId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OfNode {}

/// The kind of a [`BootId`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OfBoot {}

/// One start of one hub. Batches are numbered within it, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sender {
    /// The hub.
    pub node: NodeId,
    /// Its start.
    pub boot: BootId,
}

/// Who accepted an update, and its number there: an update has the same origin wherever it is
/// stored, and no two updates have the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The hub that accepted it, and its start.
    pub sender: Sender,
    /// The number of the batch in which it was sent first.
    pub batch: u64,
    /// Its place in that batch, from 0.
    pub index: u32,
}

/// The key by which an item is taken once, whoever sends it: 1 to [`KEY_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(Arc<[u8]>);

/// Most bytes of a [`Key`].
pub const KEY_BYTES_MAX: usize = 64;

impl Key {
    /// Takes the bytes of a key. Returns nothing if there is none, or more than [`KEY_BYTES_MAX`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let fits = !bytes.is_empty() && bytes.len() <= KEY_BYTES_MAX;
        fits.then(|| Self(bytes.into()))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Origin {
    /// Bytes of an origin as [`bytes`](Self::bytes) writes it.
    pub const BYTES: usize = 28;

    /// Returns node, boot, batch and index, one after the other, each big-endian.
    #[must_use]
    pub fn bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let fields = [self.sender.node.0, self.sender.boot.0, self.batch];
        let mut rest = bytes.as_mut_slice();
        for field in fields {
            let (head, tail) = rest.split_at_mut(8);
            head.copy_from_slice(&field.to_be_bytes());
            rest = tail;
        }
        rest.copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    /// Reads what [`bytes`](Self::bytes) returned.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (node, rest) = bytes.split_first_chunk()?;
        let (boot, rest) = rest.split_first_chunk()?;
        let (batch, index) = rest.split_first_chunk()?;
        Some(Self {
            sender: Sender {
                node: NodeId::new(u64::from_be_bytes(*node)),
                boot: BootId::new(u64::from_be_bytes(*boot)),
            },
            batch: u64::from_be_bytes(*batch),
            index: u32::from_be_bytes(index.try_into().ok()?),
        })
    }
}

impl Kind for OfEpoch {
    const NAME: &'static str = "EpochId";
}

impl Kind for OfNode {
    const NAME: &'static str = "NodeId";
}

impl Kind for OfBoot {
    const NAME: &'static str = "BootId";
}

impl<K> Name<K> {
    /// Makes one from its number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number, PhantomData)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64
    where
        K: Copy,
    {
        self.0
    }

    /// Reads 16 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = digits.then(|| u64::from_str_radix(text, 16).ok());
        number.flatten().map(Self::new)
    }
}

impl<K> fmt::Display for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl<K: Kind> fmt::Debug for Name<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({self})", K::NAME)
    }
}

#[cfg(test)]
mod tests;
