//! What is done to the cluster: one thing after the other, and sometimes two at once.

use std::ops::RangeInclusive;

use super::site::Site;
use super::wire::Wire;
use crate::BenchError;

/// Milliseconds between two things.
const EVERY_MS: RangeInclusive<u64> = 300..=2500;
/// Things that are broken at the same time. One hub at least can always reach the engine then, unless
/// it is the engine.
const AT_ONCE_MAX: usize = 2;

/// What can be done, and for how many milliseconds at most. The longest pauses outlast the lease of a
/// hub.
const KINDS: [(Kind, u64); 6] = [
    (Kind::KillHub, 3000),
    (Kind::PauseHub, 12_000),
    (Kind::CutWire, 6000),
    (Kind::HoldWire, 8000),
    (Kind::KillEngine, 2000),
    (Kind::PauseEngine, 4000),
];
/// The shortest of each.
const SHORTEST_MS: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    KillHub,
    PauseHub,
    CutWire,
    HoldWire,
    KillEngine,
    PauseEngine,
}

/// The schedule.
#[derive(Debug)]
pub(super) struct Chaos {
    rng: fastrand::Rng,
    next_at: u64,
    broken: Vec<Broken>,
    done: [u64; KINDS.len()],
}

#[derive(Clone, Copy, Debug)]
struct Broken {
    kind: Kind,
    hub: usize,
    /// Of the engine.
    server: usize,
    until: u64,
}

impl Chaos {
    /// Begins with nothing broken.
    pub(super) fn new(rng: fastrand::Rng) -> Self {
        Self {
            rng,
            next_at: 0,
            broken: Vec::new(),
            done: [0; KINDS.len()],
        }
    }

    /// Returns how often each thing was done, by name.
    pub(super) fn figures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS
            .iter()
            .map(|(kind, _)| kind.name())
            .zip(self.done.iter().copied())
    }

    /// Mends what is due, and breaks something if it is time.
    ///
    /// # Errors
    ///
    /// [`BenchError`], if a part cannot be started again.
    pub(super) fn turn(&mut self, site: &mut Site, now: u64) -> Result<(), BenchError> {
        let (due, rest): (Vec<_>, _) = self.broken.iter().partition(|broken| broken.until <= now);
        self.broken = rest;
        for broken in due {
            broken.mend(site)?;
        }
        if now < self.next_at {
            return Ok(());
        }
        self.next_at = now + 1_000_000 * self.rng.u64(EVERY_MS);
        let choice = self.rng.usize(..KINDS.len());
        let hub = self.rng.usize(..site.hubs.len());
        let Some(&(kind, longest)) = KINDS.get(choice) else {
            return Ok(());
        };
        let touches = |broken: &Broken| broken.hub == hub || broken.kind.is_engine();
        let is_engine_free = !kind.is_engine() || self.broken.is_empty();
        if self.broken.len() < AT_ONCE_MAX && is_engine_free && !self.broken.iter().any(touches) {
            let until = now + 1_000_000 * self.rng.u64(SHORTEST_MS..=longest);
            let server = self.rng.usize(..site.engine.servers.len());
            let broken = Broken {
                kind,
                hub,
                server,
                until,
            };
            broken.break_it(site);
            self.broken.push(broken);
            if let Some(done) = self.done.get_mut(choice) {
                *done += 1;
            }
        }
        Ok(())
    }

    /// Mends everything.
    ///
    /// # Errors
    ///
    /// [`BenchError`], if a part cannot be started again.
    pub(super) fn end(&mut self, site: &mut Site) -> Result<(), BenchError> {
        self.broken
            .drain(..)
            .try_for_each(|broken| broken.mend(site))
    }
}

impl Kind {
    fn is_engine(self) -> bool {
        matches!(self, Self::KillEngine | Self::PauseEngine)
    }

    fn name(self) -> &'static str {
        match self {
            Self::KillHub => "hubs_killed",
            Self::PauseHub => "hubs_paused",
            Self::CutWire => "hubs_cut_off",
            Self::HoldWire => "hubs_held_up",
            Self::KillEngine => "engine_killed",
            Self::PauseEngine => "engine_paused",
        }
    }
}

impl Broken {
    fn break_it(self, site: &mut Site) {
        let (hub, wires) = (site.hubs.get_mut(self.hub), site.wires.get(self.hub));
        let server = site.engine.servers.get_mut(self.server);
        match (self.kind, hub, wires, server) {
            (Kind::KillHub, Some(hub), ..) => hub.kill(),
            (Kind::PauseHub, Some(hub), ..) => hub.pause(),
            (Kind::CutWire, _, Some(wires), _) => wires.iter().for_each(Wire::cut),
            (Kind::HoldWire, _, Some(wires), _) => wires.iter().for_each(Wire::hold),
            (Kind::KillEngine, .., Some(server)) => server.kill(),
            (Kind::PauseEngine, .., Some(server)) => server.pause(),
            _ => {}
        }
    }

    fn mend(self, site: &mut Site) -> Result<(), BenchError> {
        let (hub, wires) = (site.hubs.get_mut(self.hub), site.wires.get(self.hub));
        let server = site.engine.servers.get_mut(self.server);
        match (self.kind, hub, wires, server) {
            (Kind::KillHub, Some(hub), ..) => hub.start()?,
            (Kind::PauseHub, Some(hub), ..) => hub.resume(),
            (Kind::CutWire | Kind::HoldWire, _, Some(wires), _) => {
                wires.iter().for_each(Wire::free);
            }
            (Kind::KillEngine, .., Some(server)) => server.start()?,
            (Kind::PauseEngine, .., Some(server)) => server.resume(),
            _ => {}
        }
        Ok(())
    }
}
