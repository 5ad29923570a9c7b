//! Opens the hub's listeners, or takes those that are open already.

use std::net::{SocketAddr, TcpListener};

use super::Succeeds;
use crate::binding;
use crate::binding::inherited::{Inherited, Kept};
use crate::broker::{self, Bound};
use crate::config::Config;
use crate::control::take_over::Predecessor;
use crate::front::accept::{self, Door, DoorKind};

/// The open listeners of a hub.
pub(super) struct Ports {
    /// The listeners of each shard.
    pub(super) doors: Vec<Vec<Door>>,
    /// The ZeroMQ sockets.
    pub(super) zeromq: Option<Bound>,
    /// Another descriptor of each, for a process that takes over.
    pub(super) kept: Kept,
    /// The hub that they come from, if it still runs.
    pub(super) predecessor: Option<Predecessor>,
}

impl Ports {
    /// Opens the listeners, or takes them over from the service manager or the running hub.
    ///
    /// # Errors
    ///
    /// An address that cannot be bound, or a running hub that does not hand over.
    pub(super) fn open(
        config: &Config,
        mut inherited: Inherited,
        succeeds: Succeeds,
    ) -> anyhow::Result<Self> {
        let predecessor = predecessor(config, succeeds, &mut inherited)?;
        let mut kept = Kept::default();
        let doors = bind(config, &mut inherited, &mut kept)?;
        let zeromq = config.zeromq.clone();
        let zeromq = zeromq
            .map(|zeromq| broker::bind(zeromq, &mut inherited, &mut kept))
            .transpose()?;
        inherited.close_rest();
        Ok(Self {
            doors,
            zeromq,
            kept,
            predecessor,
        })
    }
}

/// Finds the hub whose place this one takes, with its listeners.
fn predecessor(
    config: &Config,
    succeeds: Succeeds,
    inherited: &mut Inherited,
) -> anyhow::Result<Option<Predecessor>> {
    if succeeds == Succeeds::Nobody {
        return Ok(None);
    }
    let found = Predecessor::find(&config.data_dir, &config.history.kind)?;
    let Some((predecessor, listeners)) = found else {
        tracing::info!("no hub runs in the data folder: there is nothing to take over");
        return Ok(None);
    };
    inherited.extend(listeners);
    Ok(Some(predecessor))
}

/// Refuses to take over from a running hub in a cluster, before anything is given away. Two members
/// with one history would need another hand-over, and the other hubs of the cluster serve meanwhile.
///
/// # Errors
///
/// A hub runs in the data folder.
pub(super) fn refuse_take_over(config: &Config, succeeds: Succeeds) -> anyhow::Result<()> {
    if succeeds == Succeeds::Running && Predecessor::is_running(&config.data_dir) {
        anyhow::bail!(
            "a hub of a cluster is not taken over: stop the hub that runs in {} and start this one; \
             its subscribers go to the other hubs meanwhile and miss nothing",
            config.data_dir.display()
        );
    }
    Ok(())
}

/// Opens every listener, once for each shard; the operators' one only on the first. What is `inherited`
/// is open already; another descriptor of each goes to `kept`.
///
/// # Errors
///
/// An address that cannot be bound.
fn bind(
    config: &Config,
    inherited: &mut Inherited,
    kept: &mut Kept,
) -> anyhow::Result<Vec<Vec<Door>>> {
    let mut doors: Vec<Vec<Door>> = (0..config.server.shards).map(|_| Vec::new()).collect();
    let main = config.listens.iter().enumerate();
    let main = main.map(|(number, listen)| (listen.address, listen.tls, DoorKind::Main(number)));
    let admin = config
        .admin
        .iter()
        .map(|&address| (address, false, DoorKind::Admin));
    let policy = config.flash.address.iter();
    let policy = policy.map(|&address| (address, false, DoorKind::Policy));
    for (address, tls, kind) in main.chain(admin).chain(policy) {
        let shards = match kind {
            DoorKind::Main(_) => config.server.shards,
            DoorKind::Admin | DoorKind::Policy => 1,
        };
        let name = place(kind);
        let taken = inherited.take(&name, address);
        let (listeners, bound) = if taken.is_empty() {
            binding::open(address, |address| accept::bind(address, shards))?
        } else {
            let bound = taken.first().map_or(Ok(address), TcpListener::local_addr)?;
            (taken, bound)
        };
        kept.keep(&name, address, &listeners)?;
        said(kind, bound, tls);
        for (shard, listener) in spread(listeners, shards)? {
            if let Some(doors) = doors.get_mut(shard) {
                doors.push(Door {
                    listener,
                    tls,
                    proxy_protocol: is_proxied(config, kind),
                    kind,
                });
            }
        }
    }
    Ok(doors)
}

/// Returns whether connections to a listener begin with the header of the PROXY protocol.
fn is_proxied(config: &Config, kind: DoorKind) -> bool {
    match kind {
        DoorKind::Main(number) => config
            .listens
            .get(number)
            .is_some_and(|listen| listen.proxy_protocol),
        DoorKind::Admin | DoorKind::Policy => false,
    }
}

/// Returns the place of a listener in the configuration.
fn place(kind: DoorKind) -> String {
    match kind {
        DoorKind::Main(number) => format!("listen.{number}"),
        DoorKind::Admin => "admin".into(),
        DoorKind::Policy => "flash".into(),
    }
}

fn said(kind: DoorKind, address: SocketAddr, tls: bool) {
    match kind {
        DoorKind::Policy => tracing::info!(%address, "listening for Flash"),
        DoorKind::Main(_) | DoorKind::Admin => {
            let admin = kind == DoorKind::Admin;
            tracing::info!(%address, tls, admin, "listening");
        }
    }
}

/// Gives each shard at least one listener, and each listener at least one shard, because connections wait in every
/// listener. Shards share listeners if there are too few.
fn spread(
    listeners: Vec<TcpListener>,
    shards: usize,
) -> std::io::Result<Vec<(usize, TcpListener)>> {
    let mut spread = Vec::new();
    for shard in listeners.len()..shards {
        let shared = listeners.get(shard % listeners.len().max(1));
        if let Some(listener) = shared {
            spread.push((shard, listener.try_clone()?));
        }
    }
    let all = listeners.into_iter().enumerate();
    spread.extend(all.map(|(number, listener)| (number % shards.max(1), listener)));
    Ok(spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_and_every_listener_is_served() {
        for (listeners, shards, expected) in [
            (1, 3, vec![1, 2, 0]),
            (2, 5, vec![2, 3, 4, 0, 1]),
            (4, 2, vec![0, 1, 0, 1]),
            (2, 2, vec![0, 1]),
        ] {
            let open = (0..listeners).map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
            let spread = spread(open.collect(), shards).unwrap();
            let served: Vec<usize> = spread.iter().map(|(shard, _)| *shard).collect();
            assert_eq!(served, expected, "{listeners} listeners, {shards} shards");
        }
    }
}
