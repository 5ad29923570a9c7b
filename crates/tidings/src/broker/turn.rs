//! What one hub of a cluster does: whether it is this hub's turn. Messages of a SUB socket must not enter
//! twice, and those of a PUSH socket must not leave twice, so one hub of the cluster has the lease of the
//! socket's name.

use std::collections::HashMap;
use std::sync::Arc;

use tidings_cluster::roster::{Holder, Roster};
use tidings_hub::metrics::zeromq::{Counters, Direction};
use tidings_hub::tasks;
use tokio::sync::watch;

use super::options::Options;

/// Whose turn it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nobody's, as far as this hub knows: the engine is away, or was not asked yet.
    #[default]
    Open,
    /// This hub's.
    Here,
    /// Another hub's.
    Elsewhere,
}

/// The turns of a hub's sockets. Empty without a cluster.
#[derive(Default)]
pub(crate) struct Turns(HashMap<Arc<str>, watch::Receiver<Turn>>);

impl Turns {
    /// Follows the leases of the sockets of `options`, in a task that ends with the runtime.
    pub(crate) fn follow(
        options: &Options,
        roster: watch::Receiver<Option<Arc<Roster>>>,
        counters: &Arc<Counters>,
    ) -> Self {
        let mut senders = Vec::new();
        let mut turns = HashMap::new();
        for (direction, _, lease) in options.leases() {
            let (sender, receiver) = watch::channel(Turn::Open);
            senders.push((direction, Arc::clone(&lease), sender));
            turns.insert(lease, receiver);
        }
        let (mut roster, counters) = (roster, Arc::clone(counters));
        tasks::spawn(async move {
            loop {
                let known = roster.borrow_and_update().clone();
                let mut held = HashMap::from([(Direction::IN, 0), (Direction::OUT, 0)]);
                for (direction, lease, sender) in &senders {
                    let turn = known.as_ref().map(|roster| of(roster, lease));
                    let turn = turn.unwrap_or_default();
                    *held.entry(*direction).or_default() += usize::from(turn == Turn::Here);
                    sender.send_if_modified(|before| std::mem::replace(before, turn) != turn);
                }
                for (direction, count) in held {
                    counters.set_held(direction, count);
                }
                if roster.changed().await.is_err() {
                    return;
                }
            }
        });
        Self(turns)
    }

    /// Returns the turn of a socket. Nothing if the hub is alone, or the socket is every hub's.
    pub(crate) fn of(&self, lease: Option<&Arc<str>>) -> Option<watch::Receiver<Turn>> {
        self.0.get(lease?).cloned()
    }
}

fn of(roster: &Roster, lease: &str) -> Turn {
    match roster.named(lease).map(|named| named.holder) {
        Some(Holder::Here) => Turn::Here,
        Some(Holder::Another(_)) => Turn::Elsewhere,
        Some(Holder::Unknown) | None => Turn::Open,
    }
}
