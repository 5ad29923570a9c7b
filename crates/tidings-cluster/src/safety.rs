//! What operators ask an engine: whether hubs may rely on it, and who does what in the cluster.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use crate::Epoch;
use crate::engine::{Call, Engine, Sender};

/// Something that an operator should know before hubs use an engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, and what follows from it, as one sentence without a full stop.
    pub problem: String,
    /// The line to change, or what to do.
    pub remedy: String,
    /// Whether a hub may start.
    pub severity: Severity,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.problem, self.remedy)
    }
}

/// What a finding means for a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The hub starts; the log says it.
    Warn,
    /// The hub does not start.
    Refuse,
}

/// An engine that can be looked at. All of this goes over [`Path::Control`](crate::engine::Path).
pub trait Inspect: Engine {
    /// Looks for what makes the engine unsafe. `history` is the secret of the hub's own history, if
    /// it has one: an engine with another secret under the same name has another cluster.
    ///
    /// # Errors
    ///
    /// [`EngineError`](crate::engine::EngineError) if the engine does not answer.
    fn inspect(&self, history: Option<Epoch>) -> Call<'_, Vec<Finding>>;

    /// Looks for what only a user with more rights than a hub needs is told.
    ///
    /// # Errors
    ///
    /// [`Untold`] if the hub's user is not told it.
    fn inspect_settings(&self) -> Told<'_>;

    /// Returns who holds named leases now.
    ///
    /// # Errors
    ///
    /// [`EngineError`](crate::engine::EngineError) if the engine does not answer.
    fn holders<'a>(&'a self, names: &'a [Arc<str>]) -> Call<'a, Holders>;
}

/// What [`Inspect::inspect_settings`] returns.
pub type Told<'a> = Pin<Box<dyn Future<Output = Result<Vec<Finding>, Untold>> + 'a>>;

/// Names of leases, and who holds them.
pub type Holders = Vec<(Arc<str>, Option<Sender>)>;

/// What a hub's user may not ask, as a sentence: the setting and the right that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untold(pub &'static str);
