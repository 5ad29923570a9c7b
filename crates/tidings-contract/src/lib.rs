//! The contract of an engine as a suite of checks: one suite for the model of the simulator and for
//! every real engine.
//!
//! A test implements [`Rig`] for its engine and runs [`check_all`]. A check that does not hold
//! panics, and the text before it names the check. What only one engine has (its settings, its
//! topologies, its keys) is tested beside that engine.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test says what must hold by failing, and names itself before"
)]

mod authority;
mod hub;
pub mod killed;
mod leases;
mod lines;
mod lost;
mod order;
mod reading;
pub mod relays;
pub mod waiting;

use std::pin::Pin;

use tidings_cluster::engine::Engine;
use tidings_core::{Digest, Position, Print};

pub use authority::Authority;
pub use hub::{Hub, digest, proposal};

/// A future of a rig.
pub type Step<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// An engine to be checked, and the faults that it can have.
pub trait Rig {
    /// Leaves the line that was used and goes on with one that nobody used before.
    fn fresh(&mut self);

    /// Returns the engine of another hub on the same line.
    fn engine(&self) -> Box<dyn Engine>;

    /// Returns the print of an entry by the engine's rule, from the print before it, its time and its
    /// digest. Hubs only compare prints, so engines need not have one rule.
    fn link(&self, previous: Option<Print>, published_ms: u64, digest: Digest) -> Print {
        tidings_cluster::link(previous, published_ms, digest)
    }

    /// Makes the engine have `fault`, as if it had happened by itself.
    fn fault(&self, fault: Fault) -> Step<'_, Possible>;

    /// Lets a little time pass for the engine: what it needs between two looks at a lease.
    fn moment(&self) -> Step<'_, ()>;
}

/// What can happen to an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It forgets everything after `last`: entries, their keys, its answers.
    LoseTail {
        /// The newest position that it still has.
        last: Position,
    },
    /// It is empty, as if it were new.
    LoseEverything,
    /// It forgets where the line ends, and keeps the entries.
    LoseHead,
    /// The end of the line stands this many entries before the newest entry: an append died after
    /// its first write.
    EndBehind {
        /// How many entries are beyond the end.
        entries: u64,
    },
    /// The window begins at `oldest`.
    Trim {
        /// The oldest entry that is left.
        oldest: Position,
    },
}

/// Whether an engine can have a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Possible {
    /// It has it now.
    Yes,
    /// It cannot have it, by how it is built. The check is left out.
    No,
}

/// A check and its name.
type Check<'a> = (&'static str, Step<'a, ()>);

/// Runs every check, each on a line of its own.
///
/// # Panics
///
/// If one does not hold.
pub async fn check_all(rig: &mut impl Rig) {
    for number in 0.. {
        rig.fresh();
        let Some((name, check)) = nth(rig, number) else {
            return;
        };
        println!("contract: {name}");
        check.await;
    }
}

fn nth<'a>(rig: &'a impl Rig, number: usize) -> Option<Check<'a>> {
    let all = order::checks(rig)
        .into_iter()
        .chain(lines::checks(rig))
        .chain(lost::checks(rig))
        .chain(reading::checks(rig))
        .chain(leases::checks(rig));
    all.into_iter().nth(number)
}
