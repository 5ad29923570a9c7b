//! The model as an engine that real members can run over.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tidings_cluster::engine::{
    Append, Appended, Call, Changed, Claimed, Engine, EngineError, EpochId, Init, Lease, Leased,
    LineEnd, NodeLease, Path, Proposal, Restore, Sender, State, Tailed,
};
use tidings_cluster::member::request::{Reply, Request};
use tidings_core::position::Position;

use super::model::{Model, in_doubt};

/// How long a follower waits for an entry.
const TAIL_WAIT: Duration = Duration::from_secs(1);

/// The model, shared by the members of several hubs.
#[derive(Clone, Debug)]
pub struct ModelEngine(Arc<Mutex<Model>>);

impl ModelEngine {
    /// Shares `model`.
    pub fn new(model: Model) -> Self {
        Self(Arc::new(Mutex::new(model)))
    }

    /// Does something to the model.
    pub fn with<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn ask(&self, request: Request) -> Result<Reply, EngineError> {
        let until = Instant::now() + TAIL_WAIT;
        loop {
            let answer = self.with(|model| {
                let primary = model.primary();
                model.answer(primary, &request, &mut Rng::with_seed(1))
            });
            match answer {
                Some(answer) => return answer,
                // A tail that waits.
                None if Instant::now() >= until => {
                    return Ok(Reply::Tailed(Tailed::Entries(Vec::new())));
                }
                None => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
    }
}

/// Makes the method of a call of the reply that it has.
fn of<T>(
    reply: Result<Reply, EngineError>,
    take: fn(Reply) -> Option<T>,
) -> Result<T, EngineError> {
    take(reply?).ok_or_else(in_doubt)
}

impl Engine for ModelEngine {
    fn name(&self) -> &'static str {
        "model"
    }

    fn reset(&self, _path: Path) {}

    fn init(&self, proposal: Proposal) -> Call<'_, Init> {
        Box::pin(async move { of(self.ask(Request::Init(proposal)).await, init) })
    }

    fn append(&self, append: Append) -> Call<'_, Appended> {
        Box::pin(async move { of(self.ask(Request::Append(append)).await, appended) })
    }

    fn tail(&self, after: Position, bytes_max: u64) -> Call<'_, Tailed> {
        Box::pin(async move {
            let request = Request::Tail { after, bytes_max };
            of(self.ask(request).await, tailed)
        })
    }

    fn range(&self, from: Position, to: Position, bytes_max: u64) -> Call<'_, Tailed> {
        Box::pin(async move {
            let request = Request::Range {
                from,
                to,
                bytes_max,
            };
            of(self.ask(request).await, tailed)
        })
    }

    fn state(&self) -> Call<'_, State> {
        Box::pin(async move { of(self.ask(Request::State).await, state) })
    }

    fn restore(&self, restore: Restore) -> Call<'_, Changed> {
        Box::pin(async move { of(self.ask(Request::Restore(restore)).await, changed) })
    }

    fn repair(&self, expected: LineEnd) -> Call<'_, Changed> {
        Box::pin(async move { of(self.ask(Request::Repair(expected)).await, changed) })
    }

    fn bump(&self, expected: LineEnd, new: EpochId) -> Call<'_, Changed> {
        Box::pin(async move { of(self.ask(Request::Bump(expected, new)).await, changed) })
    }

    fn lease(&self, lease: Lease) -> Call<'_, Leased> {
        Box::pin(async move { of(self.ask(Request::Lease(lease)).await, leased) })
    }

    fn leases(&self) -> Call<'_, Vec<NodeLease>> {
        Box::pin(async move { of(self.ask(Request::Leases).await, leases) })
    }

    fn claim(&self, dead: Sender, by: Sender) -> Call<'_, Claimed> {
        Box::pin(async move { of(self.ask(Request::Claim { dead, by }).await, claimed) })
    }
}

fn leased(reply: Reply) -> Option<Leased> {
    let Reply::Leased(leased) = reply else {
        return None;
    };
    Some(leased)
}

fn leases(reply: Reply) -> Option<Vec<NodeLease>> {
    let Reply::Leases(leases) = reply else {
        return None;
    };
    Some(leases)
}

fn claimed(reply: Reply) -> Option<Claimed> {
    let Reply::Claimed(claimed) = reply else {
        return None;
    };
    Some(claimed)
}

fn tailed(reply: Reply) -> Option<Tailed> {
    let Reply::Tailed(tailed) = reply else {
        return None;
    };
    Some(tailed)
}

fn changed(reply: Reply) -> Option<Changed> {
    let Reply::Changed(changed) = reply else {
        return None;
    };
    Some(changed)
}

fn init(reply: Reply) -> Option<Init> {
    let Reply::Init(init) = reply else {
        return None;
    };
    Some(init)
}

fn appended(reply: Reply) -> Option<Appended> {
    let Reply::Appended(appended) = reply else {
        return None;
    };
    Some(appended)
}

fn state(reply: Reply) -> Option<State> {
    let Reply::State(state) = reply else {
        return None;
    };
    Some(state)
}
