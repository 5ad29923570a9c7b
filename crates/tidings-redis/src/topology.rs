//! Which server to ask: the one that is named, the one that a majority of the Sentinels name, or the
//! owner of the slot.

use std::cell::RefCell;
use std::collections::BTreeMap;

use futures_util::future::join_all;
use redis::Value;
use tidings_access::{Address, Login};

use crate::answer::texts;
use crate::connection::Connection;
use crate::error::ConnectError;
use crate::options::{ADDRESSES_MAX, Options, Place};

/// Finds servers. Remembers the nodes of a Redis Cluster, so that the ones in the configuration may
/// go.
#[derive(Debug)]
pub(crate) struct Topology {
    /// The slot of all keys, in a Redis Cluster.
    slot: u16,
    nodes: RefCell<Vec<Address>>,
}

impl Topology {
    pub(crate) fn new(tag: &str) -> Self {
        Self {
            slot: slot_of(tag.as_bytes()),
            nodes: RefCell::default(),
        }
    }

    /// Asks where the primary is. Nobody is trusted from before.
    pub(crate) async fn primary(&self, options: &Options) -> Result<Address, ConnectError> {
        match &options.place {
            Place::Server(address) => Ok(address.clone()),
            Place::Sentinel { sentinels, service } => {
                by_sentinels(options, sentinels, service).await
            }
            Place::Cluster { nodes } => self.by_nodes(options, nodes).await,
        }
    }

    async fn by_nodes(
        &self,
        options: &Options,
        named: &[Address],
    ) -> Result<Address, ConnectError> {
        let mut nodes = named.to_vec();
        nodes.extend(self.nodes.borrow().iter().cloned());
        nodes.sort();
        nodes.dedup();
        nodes.truncate(2 * ADDRESSES_MAX);
        let ask = |node| ask(options, node, &options.login, &["CLUSTER", "NODES"]);
        let answers = join_all(nodes.iter().map(ask)).await;
        let views = nodes.iter().zip(&answers);
        let claims: Vec<Claim> = views
            .filter_map(|(node, answer)| Some((node, answer.as_ref()?.first()?)))
            .flat_map(|(node, text)| text.lines().filter_map(|line| Claim::parse(line, node)))
            .collect();
        let mut learned: Vec<Address> = claims.iter().map(|claim| claim.address.clone()).collect();
        learned.sort();
        learned.dedup();
        learned.truncate(ADDRESSES_MAX);
        if !learned.is_empty() {
            *self.nodes.borrow_mut() = learned;
        }
        // Of two that claim a slot, the later epoch is right: it is the cluster's own rule.
        let owner = claims
            .into_iter()
            .filter(|claim| claim.owns(self.slot))
            .max_by_key(|claim| claim.config_epoch);
        let no_owner = || ConnectError::NoOwner {
            slot: self.slot,
            asked: nodes.len(),
        };
        owner.map(|claim| claim.address).ok_or_else(no_owner)
    }
}

/// What a line of `CLUSTER NODES` says of a node that is up.
#[derive(Debug)]
struct Claim {
    address: Address,
    config_epoch: u64,
    slots: Vec<(u16, u16)>,
}

impl Claim {
    /// `ID IP:PORT@BUS[,HOST] FLAGS PRIMARY PING PONG EPOCH LINK SLOT SLOT-SLOT …`. A node that does
    /// not know its own address leaves it out: it is the one that was asked.
    fn parse(line: &str, asked: &Address) -> Option<Self> {
        let mut words = line.split(' ');
        let place = words.nth(1)?;
        let flags: Vec<&str> = words.next()?.split(',').collect();
        let is_out = |flag: &&str| matches!(*flag, "fail" | "noaddr" | "handshake");
        if flags.iter().any(is_out) {
            return None;
        }
        let config_epoch = words.nth(3)?.parse().ok()?;
        let (place, _bus) = place.split_once('@')?;
        let (host, port) = place.rsplit_once(':')?;
        let address = match (host, port.parse().ok()?) {
            (_, 0) => return None,
            ("", port) => Address {
                host: asked.host.clone(),
                port,
            },
            (host, port) => Address {
                host: host.to_owned(),
                port,
            },
        };
        let slots = if flags.contains(&"master") {
            words.skip(1).filter_map(slots).collect()
        } else {
            Vec::new()
        };
        Some(Self {
            address,
            config_epoch,
            slots,
        })
    }

    fn owns(&self, slot: u16) -> bool {
        self.slots
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&slot))
    }
}

/// `SLOT` or `SLOT-SLOT`. One that is on its way to another node, `[SLOT->-ID]`, still is here.
fn slots(word: &str) -> Option<(u16, u16)> {
    let (first, last) = word.split_once('-').unwrap_or((word, word));
    Some((first.parse().ok()?, last.parse().ok()?))
}

async fn by_sentinels(
    options: &Options,
    sentinels: &[Address],
    service: &str,
) -> Result<Address, ConnectError> {
    let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", service];
    let ask = |sentinel| ask(options, sentinel, &options.sentinel_login, &question);
    let answers = join_all(sentinels.iter().map(ask)).await;
    let mut votes: BTreeMap<Address, usize> = BTreeMap::new();
    let mut answered = 0;
    for answer in answers.into_iter().flatten() {
        answered += 1;
        if let [host, port] = answer.as_slice()
            && let Ok(port) = port.parse()
        {
            let host = host.clone();
            *votes.entry(Address { host, port }).or_default() += 1;
        }
    }
    let needed = sentinels.len() / 2 + 1;
    let most = votes.into_iter().max_by_key(|(_, votes)| *votes);
    match most {
        Some((address, votes)) if votes >= needed => Ok(address),
        most => Err(ConnectError::NoMajority {
            service: service.to_owned(),
            all: sentinels.len(),
            answered,
            agreed: most.map_or(0, |(_, votes)| votes),
            needed,
        }),
    }
}

/// Asks one server one question; nothing if it has no answer in time.
async fn ask(
    options: &Options,
    address: &Address,
    login: &Login,
    question: &[&str],
) -> Option<Vec<String>> {
    let within = options.timeouts.ask;
    let opened = Connection::open(address, options.tls.as_ref(), login, within).await;
    let (name, arguments) = question.split_first()?;
    let answer = opened
        .ok()?
        .call(redis::cmd(name).arg(arguments), within)
        .await;
    let answer = answer.ok()?;
    // A Sentinel that does not know the name answers with nothing: it voted for none.
    if answer == Value::Nil {
        return Some(Vec::new());
    }
    texts(answer)
}

/// Number of slots of a Redis Cluster.
const SLOTS: u16 = 16_384;

/// The slot of a hash tag: CRC-16/XMODEM of it. Redis Cluster specification, "Key distribution
/// model".
fn slot_of(tag: &[u8]) -> u16 {
    let crc = tag.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests;
