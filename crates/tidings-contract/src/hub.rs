//! A hub as the checks need one: an engine, a name, a number for the next batch.

use std::sync::Arc;

use tidings_cluster::Epoch;
use tidings_cluster::engine::{
    Again, Append, Appended, BATCH_BYTES_MAX, BootId, Engine, Entry, EpochId, Init, Item, Key,
    Line, NodeId, Origin, Place, Proposal, Refusal, Seen, Sender, State, Tailed,
};
use tidings_core::{Digest, Position, Print};

use crate::Rig;
use crate::waiting::until;

/// How long keys live in the checks.
pub(crate) const KEY_TTL_MS: u64 = 300_000;

/// One start of one hub.
#[derive(Debug)]
pub struct Hub {
    /// Its engine.
    pub engine: Box<dyn Engine>,
    /// The epoch that it follows.
    pub epoch: EpochId,
    /// Who it is.
    pub sender: Sender,
    batch: u64,
}

/// A line to be made. Equal numbers make equal ones.
#[must_use]
pub fn proposal(number: u8) -> Proposal {
    Proposal {
        epoch: EpochId::new(u64::from(number)),
        secret: Some(Epoch::new([number; 32])),
    }
}

impl Hub {
    /// Joins the line of `rig` as the node of that number; makes the line if there is none.
    ///
    /// # Panics
    ///
    /// If it cannot.
    pub async fn join(rig: &impl Rig, node: u64) -> Self {
        let hub = Self::apart(rig, node);
        // As a hub does, whose servers have just begun.
        let init = until("the engine has a line", async || {
            let init = hub.engine.init(proposal(1)).await;
            init.inspect_err(|fault| println!("asked again: {fault}"))
                .ok()
        });
        let init = init.await;
        let (Init::Made(line) | Init::Found(line)) = init else {
            panic!("the engine has no line: {init:?}");
        };
        Self {
            epoch: line.epoch,
            ..hub
        }
    }

    /// As [`join`](Self::join), but does not ask for the line.
    pub fn apart(rig: &impl Rig, node: u64) -> Self {
        Self {
            engine: rig.engine(),
            epoch: proposal(1).epoch,
            sender: Sender {
                node: NodeId::new(node),
                boot: BootId::new(1),
            },
            batch: 0,
        }
    }

    /// Starts again: another boot, whose batches are counted from 1.
    pub fn restart(&mut self) {
        self.sender.boot = BootId::new(self.sender.boot.get() + 1);
        self.batch = 0;
    }

    /// The batch that comes next, without sending it.
    pub fn batch(&mut self, seen: Seen, items: &[(&[u8], Option<&str>)]) -> Append {
        self.batch += 1;
        let item = |(index, (bytes, key)): (usize, &(&[u8], Option<&str>))| Item {
            origin: Origin {
                sender: self.sender,
                batch: self.batch,
                index: u32::try_from(index).unwrap(),
            },
            digest: digest(bytes),
            key: key.map(|key| (Key::new(key.as_bytes()).unwrap(), KEY_TTL_MS)),
            bytes: Arc::from(*bytes),
        };
        Append {
            epoch: self.epoch,
            seen,
            sender: self.sender,
            batch: self.batch,
            items: items.iter().enumerate().map(item).collect(),
        }
    }

    /// Sends items without keys.
    pub async fn append(&mut self, seen: Seen, items: &[&[u8]]) -> Appended {
        let items: Vec<_> = items.iter().map(|bytes| (*bytes, None)).collect();
        self.append_keyed(seen, &items).await
    }

    /// Sends items, some with keys.
    pub async fn append_keyed(&mut self, seen: Seen, items: &[(&[u8], Option<&str>)]) -> Appended {
        let batch = self.batch(seen, items);
        self.engine.append(batch).await.unwrap()
    }

    /// Reads what the engine has from `from` on, over as many answers as it takes.
    pub async fn entries(&self, from: u64) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        loop {
            let from = Position::new(from + all.len() as u64);
            let to = Position::new(u64::MAX >> 11);
            let some = self.engine.range(from, to, BATCH_BYTES_MAX).await.unwrap();
            let Tailed::Entries(some) = some else {
                panic!("entries from {from} on: {some:?}");
            };
            if some.is_empty() {
                return all;
            }
            all.extend(some);
        }
    }

    /// Returns where the line ends.
    pub async fn line(&self) -> Line {
        let state = self.engine.state().await.unwrap();
        let State::Line(line) = state else {
            panic!("no line: {state:?}");
        };
        line
    }
}

/// A digest as hubs make them: other bytes, another digest.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    let mix = |hash: u128, byte: &u8| {
        (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    };
    let seed = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    Digest::new(bytes.iter().fold(seed, mix).to_be_bytes())
}

/// Has seen up to `position`, and does not ask whether it is the same line.
pub(crate) fn seen(position: u64) -> Seen {
    Seen {
        position: Position::new(position),
        print: None,
    }
}

/// Has seen up to `position`, with that print.
pub(crate) fn seen_as(position: u64, print: Option<Print>) -> Seen {
    Seen {
        position: Position::new(position),
        print,
    }
}

/// New places from `first` to `last`.
pub(crate) fn taken(first: u64, last: u64) -> Appended {
    Appended::Taken {
        places: (first..=last).map(new).collect(),
        last: Position::new(last),
        again: Again::No,
    }
}

pub(crate) fn refused(why: Refusal, last: u64) -> Appended {
    Appended::Refused {
        why,
        last: Position::new(last),
    }
}

pub(crate) fn new(position: u64) -> Place {
    Place::New(Position::new(position))
}

pub(crate) fn known(position: u64) -> Place {
    Place::Known(Position::new(position))
}

pub(crate) fn positions(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.position.get()).collect()
}

pub(crate) fn texts(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().map(|entry| &*entry.bytes).collect()
}
