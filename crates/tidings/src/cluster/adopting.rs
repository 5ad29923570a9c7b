//! Begins a cluster with the history of a single hub: `tidings cluster adopt`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_cluster::driver::{self, IfNone, JoinError};
use tidings_cluster::engine::{EpochId, Init, Proposal};
use tidings_cluster::member::{self, Membership, Standing};
use tidings_cluster::safety::Finding;
use tidings_cluster::{Epoch, Relay as _};
use tidings_history::storage::{self, SqliteStorage};
use tidings_history::{Clock, Kind};

use super::joining::{self, StartError};
use super::looking::ask;
use super::{Options, WAITING_BYTES_MAX, WAITING_MAX, identity};

/// How often it is asked whether the engine has the history.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A history that a cluster began with.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// Its newest position.
    pub(crate) last: u64,
    /// What is left to know of the engine.
    pub(crate) findings: Vec<Finding>,
}

/// Why a history does not begin a cluster.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    /// It is not in a file.
    #[error("history.kind is not \"file\", so there is no history that outlives its hub")]
    NoFile,
    /// There is a cluster.
    #[error(
        "the engine has a cluster of the name {name} already: write another cluster.name to begin \
         one with this history, or let this hub join that one with another history.path"
    )]
    NameInUse {
        /// The name.
        name: tidings_access::Name,
    },
    /// The engine.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The file.
    #[error(transparent)]
    File(#[from] storage::AdoptError),
    /// The history does not open.
    #[error("the history cannot be opened")]
    Open(#[from] tidings_history::OpenError),
    /// The engine did not take it.
    #[error("the engine did not take the updates within {within:?}{}", because(.reason.as_deref()))]
    NotTaken {
        /// How long this was tried.
        within: Duration,
        /// Why, if that is known.
        reason: Option<Arc<str>>,
    },
    /// As the others, and the history stays a cluster's.
    #[error(
        "the engine may have begun the cluster: start this hub, which puts in what is not there yet"
    )]
    InDoubt(#[source] Box<Self>),
}

fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// Gives the order of the history in `history` to the cluster of `options`, which begins with it.
///
/// # Errors
///
/// [`AdoptError`]. The history is as it was, unless that is in doubt.
pub(crate) fn adopt(
    options: &Options,
    history: &tidings_history::Options,
    clock: Clock,
) -> Result<Adopted, AdoptError> {
    let Kind::File { path } = &history.kind else {
        return Err(AdoptError::NoFile);
    };
    let findings = joining::safe(joining::findings(options, None)?)?;
    if let Init::Found(_) | Init::Made(_) = ask(options, READ)? {
        let name = options.engine.cluster().clone();
        return Err(AdoptError::NameInUse { name });
    }
    let storage::Adopted { epoch, last } = SqliteStorage::give_order_away(path)?;
    match put(options, history, epoch, clock) {
        Ok(()) => Ok(Adopted {
            last: last.get(),
            findings,
        }),
        Err(error) => {
            let is_another = match ask(options, READ) {
                Ok(Init::None) => true,
                Ok(Init::Found(line) | Init::Made(line)) => line.secret != epoch,
                Ok(Init::Half) | Err(_) => false,
            };
            match is_another {
                true => SqliteStorage::take_order_back(path)?,
                false => return Err(AdoptError::InDoubt(Box::new(error))),
            }
            Err(error)
        }
    }
}

/// Asks, and begins nothing.
const READ: Proposal = Proposal {
    epoch: EpochId::new(0),
    secret: None,
};

/// Has a member of the cluster put the end of the history into the engine, as after an engine lost
/// everything.
fn put(
    options: &Options,
    history: &tidings_history::Options,
    secret: Epoch,
    clock: Clock,
) -> Result<(), AdoptError> {
    let member = member::Options {
        me: identity::of(&history.kind).map_err(StartError::from)?,
        wait_max: options.wait_max,
        waiting_max: WAITING_MAX,
        waiting_bytes_max: WAITING_BYTES_MAX,
        // It does nothing else of what hubs do.
        membership: Membership {
            settings: Arc::clone(&options.shared),
            names: Arc::default(),
            claims_with: None,
            ..Membership::default()
        },
    };
    let epoch = EpochId::new(identity::random().map_err(StartError::from)?);
    let if_none = IfNone::PutBack(secret, epoch);
    let kept = history.clone().ordered_by(Some(secret));
    let handle = tidings_history::start(kept, Box::new(|_| {}), clock)?;
    let within = options.start_within;
    let joined = driver::join(options.engine.make(), None, member, if_none, within);
    let put = match joined {
        Ok(relay) => {
            // It was just made.
            let started = relay.start(Arc::new(handle.clone()));
            debug_assert!(started.is_ok());
            let end = Instant::now() + within;
            let follows = || {
                let figures = relay.figures().cluster;
                figures.is_some_and(|figures| figures.standing == Standing::Following)
            };
            while !follows() && Instant::now() < end {
                std::thread::sleep(ASK_AGAIN);
            }
            let put = follows();
            let reason = match relay.health() {
                tidings_cluster::Health::Unavailable { reason } => Some(reason),
                tidings_cluster::Health::Ok => None,
            };
            relay.stop();
            match put {
                true => Ok(()),
                false => Err(AdoptError::NotTaken { within, reason }),
            }
        }
        Err(error @ (JoinError::Thread(_) | JoinError::Engine { .. })) => {
            Err(StartError::Join(error).into())
        }
        Err(JoinError::Half | JoinError::None) => Err(AdoptError::NotTaken {
            within,
            reason: None,
        }),
    };
    handle.close();
    put
}
