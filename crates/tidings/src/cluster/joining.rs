//! Joins the cluster at a start: looks whether the engine is safe, then at its line.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidings_access::Name;
use tidings_cluster::driver::{self, IfNone, JoinError};
use tidings_cluster::engine::{EngineError, EpochId, Path, Proposal};
use tidings_cluster::host::Clustered;
use tidings_cluster::peers::Peers;
use tidings_cluster::safety::{Finding, Severity};
use tidings_cluster::{Epoch, member};
use tidings_history::storage::{HistoryFile, StorageError};
use tidings_history::{Kind, Order};
use tokio::runtime::Builder;

use super::identity::IdentityError;
use super::peers::Hubs;
use super::{Options, WAITING_BYTES_MAX, WAITING_MAX, identity};

/// How long a name must be unused before a hub begins a cluster there. A hub that still has the line
/// of an engine that lost everything puts it back sooner.
const UNUSED_FOR: Duration = Duration::from_secs(3);
/// How soon an engine is asked again that did not answer.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// Why a hub does not join.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The engine would lose updates, or is not the one that is meant.
    #[error("the engine of the cluster is not safe to use:{}", Lines(.0))]
    Unsafe(Vec<Finding>),
    /// The history was made by a hub without a cluster.
    #[error(
        "the history of this hub was written outside of a cluster, so its updates have no place in \
         the cluster's order: set history.path to a new file, or move the old one away; or begin a \
         cluster with it by `tidings cluster adopt`"
    )]
    OwnHistory,
    /// It does not answer.
    #[error("the engine of the cluster was not reached within {within:?}")]
    Away {
        /// How long this was tried.
        within: Duration,
        /// The last fault.
        #[source]
        fault: Option<EngineError>,
    },
    /// Its tables cannot be made.
    #[error("the schema of the cluster was not applied")]
    Schema(#[source] EngineError),
    /// There is nothing to join.
    #[error(
        "the engine has no cluster of the name {name}: begin it with `tidings cluster init`, or let \
         this hub begin it with cluster.create = true"
    )]
    NoCluster {
        /// The name.
        name: Name,
    },
    /// The hub does not join.
    #[error("this hub cannot join its cluster")]
    Join(#[source] JoinError),
    /// The history cannot be opened.
    #[error("the history cannot be read")]
    History(#[from] tidings_history::storage::OpenError),
    /// The history has a fault.
    #[error("the history {path} cannot be read")]
    HistoryFault {
        /// The file.
        path: PathBuf,
        /// The fault.
        #[source]
        source: StorageError,
    },
    /// The hub has no name.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// No random bytes.
    #[error("the system provides no random bytes")]
    Random(#[from] getrandom::Error),
    /// The other hubs cannot be asked.
    #[error("connections to other hubs cannot be encrypted")]
    Peers(#[from] rustls::Error),
    /// No runtime.
    #[error("the runtime of a thread cannot be started")]
    Runtime(#[from] io::Error),
}

struct Lines<'a>(&'a [Finding]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

/// Joins the cluster for a hub with this history. Blocks until the engine answers, as long as the
/// options say.
///
/// # Errors
///
/// The engine does not answer, is not safe, or has no line that this hub may join or begin.
pub(crate) fn join(options: &Options, history: &Kind) -> Result<Clustered, StartError> {
    let own = secret_of(history)?;
    let begun = Instant::now();
    for finding in safe(findings(options, own)?)? {
        tracing::warn!("the engine of the cluster: {finding}");
    }
    let me = identity::of(history)?;
    let member = member::Options {
        me,
        wait_max: options.wait_max,
        waiting_max: WAITING_MAX,
        waiting_bytes_max: WAITING_BYTES_MAX,
        membership: member::Membership {
            address: options.address.clone(),
            settings: Arc::clone(&options.shared),
            names: names(options),
            ..member::Membership::default()
        },
    };
    let if_none = if_none(options, own)?;
    // The name must be seen unused for its time, however late the engine came.
    let left = options.start_within.saturating_sub(begun.elapsed()) + UNUSED_FOR;
    let peers = peers(options)?;
    let engine = options.engine.make();
    let joined = driver::join(engine, peers, member, if_none, left + ASK_AGAIN);
    let relay = joined.map_err(|error| match error {
        JoinError::None => StartError::NoCluster {
            name: options.engine.cluster().clone(),
        },
        error @ (JoinError::Thread(_) | JoinError::Engine { .. } | JoinError::Half) => {
            StartError::Join(error)
        }
    })?;
    let (cluster, node) = (options.engine.cluster().to_string(), options.node.as_str());
    tracing::info!(cluster, node, id = %me.node, "joined the cluster");
    Ok(relay)
}

/// Returns the way to the other hubs, if there is a token.
fn peers(options: &Options) -> Result<Option<Box<dyn Peers>>, StartError> {
    let Some(token) = options.peer_token.clone() else {
        return Ok(None);
    };
    Ok(Some(Box::new(Hubs::new(token)?)))
}

/// Returns the names of what one hub of the cluster does.
pub(super) fn names(options: &Options) -> Arc<[Arc<str>]> {
    let presence = Arc::from(member::Membership::PRESENCE);
    let all = options.leases.iter().cloned();
    std::iter::once(presence).chain(all).collect()
}

/// Returns what the hub does if the engine has no line.
fn if_none(options: &Options, own: Option<Epoch>) -> Result<IfNone, StartError> {
    let epoch = EpochId::new(identity::random()?);
    Ok(match own {
        Some(secret) => IfNone::PutBack(secret, epoch),
        None if options.create => IfNone::Make(new_line(epoch)?, UNUSED_FOR),
        None => IfNone::Refuse,
    })
}

/// Makes what a first hub proposes.
pub(super) fn new_line(epoch: EpochId) -> Result<Proposal, StartError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    Ok(Proposal {
        epoch,
        secret: Some(Epoch::new(secret)),
    })
}

/// Returns the secret of the line that the history has, if there is one.
fn secret_of(history: &Kind) -> Result<Option<Epoch>, StartError> {
    let Kind::File { path } = history else {
        return Ok(None);
    };
    // A start that was cut short leaves an empty file.
    if !path.metadata().is_ok_and(|file| file.len() > 0) {
        return Ok(None);
    }
    let order = HistoryFile::open(path)?.order();
    let fault = |source| StartError::HistoryFault {
        path: path.clone(),
        source,
    };
    match order.map_err(fault)? {
        Order::Relay(secret) => Ok(Some(secret)),
        Order::Own(_) => Err(StartError::OwnHistory),
    }
}

/// Looks what makes the engine unsafe, as soon as it answers.
pub(super) fn findings(options: &Options, own: Option<Epoch>) -> Result<Vec<Finding>, StartError> {
    let within = options.start_within;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    // An engine of its own: connections belong to the runtime that opened them.
    let engine = options.engine.make();
    let mut fault = None;
    let asked = runtime.block_on(async {
        let attempts = async {
            loop {
                match engine.inspect(own).await {
                    Ok(findings) => return findings,
                    Err(error) => {
                        if fault.is_none() {
                            let error = error.line();
                            tracing::warn!(error, "waiting for the engine of the cluster");
                        }
                        fault = Some(error);
                        engine.reset(Path::Control);
                    }
                }
                tokio::time::sleep(ASK_AGAIN).await;
            }
        };
        tokio::time::timeout(within, attempts).await
    });
    asked.map_err(|_late| StartError::Away { within, fault })
}

/// Refuses an engine with something that must be changed first. Returns what is left to know.
pub(super) fn safe(findings: Vec<Finding>) -> Result<Vec<Finding>, StartError> {
    match findings.iter().any(|one| one.severity == Severity::Refuse) {
        true => Err(StartError::Unsafe(findings)),
        false => Ok(findings),
    }
}
