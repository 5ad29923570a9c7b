//! What operators ask without a hub: whether there is a cluster, how it stands, and to begin one.

use tidings_cluster::engine::{EngineError, EpochId, Init, Line, NodeLease, Proposal};
use tidings_cluster::safety::{Finding, Holders, Severity, Untold};
use tokio::runtime::Builder;

use super::joining::{self, StartError};
use super::{Options, identity};

/// What the engine has under the cluster's name, and what makes it unsafe.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) findings: Vec<Finding>,
    /// What the hub's user may not be told, of the settings of the engine.
    pub(crate) untold: Option<Untold>,
    /// Nothing if the name is not in use.
    pub(crate) line: Option<Line>,
    /// The hubs that have a lease, or had one that nobody took over yet.
    pub(crate) hubs: Vec<NodeLease>,
    /// What one hub of the cluster does, as this configuration names it, and who does it.
    pub(crate) held: Holders,
}

/// Asks the engine once.
///
/// # Errors
///
/// It does not answer within `cluster.start_timeout_secs`, or has lost a part of its keys.
pub(crate) fn look(options: &Options) -> Result<Seen, StartError> {
    let mut findings = joining::findings(options, None)?;
    let read = Proposal {
        epoch: EpochId::new(0),
        secret: None,
    };
    let line = match ask(options, read) {
        Ok(Init::Found(line) | Init::Made(line)) => Some(line),
        // What is wrong with it is among the findings.
        Ok(Init::None | Init::Half) => None,
        Err(_) if findings.iter().any(|one| one.severity == Severity::Refuse) => {
            return Ok(Seen {
                findings,
                untold: None,
                line: None,
                hubs: Vec::new(),
                held: Vec::new(),
            });
        }
        Err(error) => return Err(error),
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let engine = options.engine.make();
    let names = joining::names(options);
    let asked =
        runtime.block_on(async { Ok((engine.leases().await?, engine.holders(&names).await?)) });
    let (hubs, held) = asked.map_err(|fault| away(options, fault))?;
    let untold = match runtime.block_on(engine.inspect_settings()) {
        Ok(more) => {
            findings.extend(more);
            None
        }
        Err(untold) => Some(untold),
    };
    Ok(Seen {
        findings,
        untold,
        line,
        hubs,
        held,
    })
}

/// Whether a cluster was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// Now.
    Now,
    /// There was one.
    Before,
}

/// Begins a cluster, if its name is not in use.
///
/// # Errors
///
/// The engine does not answer, is not safe, or has lost a part of its keys.
pub(crate) fn begin(options: &Options) -> Result<(Begun, Vec<Finding>), StartError> {
    let findings = joining::safe(joining::findings(options, None)?)?;
    let proposal = joining::new_line(EpochId::new(identity::random()?))?;
    let begun = match ask(options, proposal)? {
        Init::Made(_) => Begun::Now,
        Init::Found(_) | Init::None | Init::Half => Begun::Before,
    };
    Ok((begun, findings))
}

pub(super) fn ask(options: &Options, proposal: Proposal) -> Result<Init, StartError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let engine = options.engine.make();
    let asked: Result<Init, EngineError> = runtime.block_on(engine.init(proposal));
    asked.map_err(|fault| away(options, fault))
}

fn away(options: &Options, fault: EngineError) -> StartError {
    StartError::Away {
        within: options.start_within,
        fault: Some(fault),
    }
}
