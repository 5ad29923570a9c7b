//! The audit of a cluster: three hubs and their engine are killed, paused and cut off from each other,
//! while publishers publish and subscribers move from hub to hub.
//!
//! A publisher sends an update until a hub acknowledges it, always with the same `Idempotency-Key`.
//! Afterwards every hub must have the same updates in the same order, each of them once, every
//! subscriber must have received exactly these, and every hub must list exactly the subscribers.

mod chaos;
mod presence;
mod publisher;
mod site;
mod subscriber;
mod verdict;
mod wire;

use std::path::PathBuf;
use std::time::Duration;

use crate::BenchError;
use crate::clock::{nanos, now_ns};
use crate::engine::EngineKind;
use crate::poller::Poller;
use crate::process::allow_connections;
use crate::progress::bar;
use crate::report::Report;

use chaos::Chaos;
use publisher::Publishers;
use site::Site;
use subscriber::Subscribers;

/// What all updates are about.
const TOPIC: &str = "https://bench.example/audit";
/// Bytes read at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// The longest wait for sockets, so that the schedule of the chaos is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub's program.
    pub program: PathBuf,
    /// What orders the updates.
    pub engine: EngineKind,
    /// The program of its servers.
    pub engine_program: PathBuf,
    /// Another program that hubs begin with: each is upgraded when it is started again.
    pub upgrade_from: Option<PathBuf>,
    /// An empty folder for everything.
    pub folder: PathBuf,
    /// Hubs of the cluster.
    pub hubs: usize,
    /// For how long updates are published.
    pub duration: Duration,
    /// Determines what is done to whom, and when.
    pub seed: u64,
    /// Event streams.
    pub subscribers: usize,
    /// Connections that publish, each with one update in flight.
    pub publishers: usize,
    /// Updates per second.
    pub rate: f64,
    /// Bytes of an update's data.
    pub data_bytes: usize,
    /// How long to wait at the end for something that does not come.
    pub settle: Duration,
}

/// Starts a cluster, audits it, and stops it.
///
/// # Errors
///
/// [`BenchError`], if the cluster does not start, or does not work again at the end.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    allow_connections(options.subscribers + options.publishers + options.hubs)?;
    let mut rng = fastrand::Rng::with_seed(options.seed);
    let mut site = Site::start(options)?;
    site.wait_until_ready(options.settle)?;
    let mut audit = Audit {
        poller: Poller::new()?,
        publishers: Publishers::new(options.publishers),
        subscribers: Subscribers::new(options.subscribers),
        chaos: Chaos::new(rng.fork()),
        rng,
        buffer: vec![0; BUFFER_BYTES],
        options,
    };
    audit.disturb(&mut site)?;
    audit.chaos.end(&mut site)?;
    site.wait_until_ready(options.settle)?;
    audit.settle(&mut site)?;
    audit.gather(&mut site)?;
    let listed_wrong = site.listed_wrong(options.subscribers, options.settle);
    let lines = site.lines(audit.publishers.acknowledged().len(), options.settle)?;
    Ok(verdict::report(
        options,
        &audit.publishers,
        &audit.subscribers,
        &audit.chaos,
        (&lines, listed_wrong),
    ))
}

struct Audit<'a> {
    options: &'a Options,
    poller: Poller,
    publishers: Publishers,
    subscribers: Subscribers,
    chaos: Chaos,
    rng: fastrand::Rng,
    buffer: Vec<u8>,
}

impl Audit<'_> {
    /// Publishes and subscribes while things break.
    fn disturb(&mut self, site: &mut Site) -> Result<(), BenchError> {
        let start = now_ns();
        let end = start + nanos(self.options.duration);
        let bar = bar("disturbing", self.options.duration.as_secs());
        loop {
            let now = now_ns();
            if now >= end {
                bar.finish_and_clear();
                return Ok(());
            }
            bar.set_position((now - start) / 1_000_000_000);
            self.chaos.turn(site, now)?;
            self.publishers
                .begin_due(start, self.options.rate, self.options.data_bytes, now);
            self.turn(site)?;
        }
    }

    /// Lets everything arrive that was published: first the answers, then the updates.
    fn settle(&mut self, site: &mut Site) -> Result<(), BenchError> {
        let answered = |audit: &Self| audit.publishers.acknowledged().len();
        self.until(site, "acknowledgements", answered, self.publishers.begun())?;
        let everything = self.publishers.begun();
        let complete = |audit: &Self| audit.subscribers.fewest();
        // What does not come is counted as missing.
        match self.until(site, "updates", complete, everything) {
            Ok(()) | Err(BenchError::Stuck { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lets every subscriber stay where it is, and waits until each is connected.
    fn gather(&mut self, site: &mut Site) -> Result<(), BenchError> {
        self.subscribers.stay();
        let connected = |audit: &Self| audit.subscribers.connected();
        self.until(site, "subscribers", connected, self.options.subscribers)
    }

    /// Serves sockets until a count is reached.
    fn until(
        &mut self,
        site: &mut Site,
        what: &'static str,
        count: impl Fn(&Self) -> usize,
        want: usize,
    ) -> Result<(), BenchError> {
        let (mut have, mut since) = (count(self), now_ns());
        while have < want {
            self.turn(site)?;
            let now = count(self);
            if now > have {
                (have, since) = (now, now_ns());
            } else if now_ns() - since > nanos(self.options.settle) {
                return Err(BenchError::Stuck {
                    what,
                    have: have as u64,
                    want: want as u64,
                    secs: self.options.settle.as_secs(),
                });
            }
        }
        Ok(())
    }

    /// Serves the sockets that are ready; then whoever is without a connection, or had one for long
    /// enough, goes to another hub.
    fn turn(&mut self, site: &mut Site) -> Result<(), BenchError> {
        let mut ready = Vec::new();
        self.poller.wait(LOOK_EVERY, &mut ready)?;
        let (now, streams) = (now_ns(), self.options.subscribers);
        for number in ready {
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            match number.checked_sub(streams) {
                None => self.subscribers.read(number, &mut self.buffer, now),
                Some(publisher) => self.publishers.read(publisher, &mut self.buffer, now),
            }
        }
        let (targets, poller, rng) = (site.targets(), &self.poller, &mut self.rng);
        self.subscribers.move_on(targets, poller, rng, now)?;
        self.publishers.send(targets, poller, streams, rng, now)
    }
}
