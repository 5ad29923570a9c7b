//! Matching: the cost of many distinct subscriptions for a publisher, a bystander and memory.
//!
//! ```text
//! nobody ─▶ publish ─▶ all subscribe ─▶ publish ─▶ all leave ─▶ publish ─▶ more waves
//!                         └─ a bystander receives all the while ─┘
//! ```
//!
//! One subscriber, the bystander, receives everything. Each update of a series is the first of its
//! topic, and is published when the previous one has arrived. While there are subscriptions, one of
//! them receives it, too.

mod crowd;
mod figures;

use std::time::Duration;

use crate::BenchError;
use crate::clock::{nanos, now_ns};
use crate::histogram::Histogram;
use crate::load::Load;
use crate::load::counts::Delivery;
use crate::mark::MARK_BYTES;
use crate::process::{Process, allow_connections};
use crate::progress;
use crate::report::Report;
use crate::target;

use crowd::{Crowd, Shape};
use figures::{Figures, Series};

pub use crowd::Kind;

/// Publishing connections while others subscribe, so that no update of the bystander waits for
/// another one.
const PUBLISHERS: usize = 4;
/// The bystander's number among the subscribers.
const BYSTANDER: usize = 0;
/// Pause before memory is measured.
const PAUSE: Duration = Duration::from_secs(1);

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub.
    pub target: target::Options,
    /// Connections.
    pub connections: usize,
    /// Distinct matchers of each connection.
    pub matchers: usize,
    /// The type of the matchers.
    pub kind: Kind,
    /// The text of the matchers; `#` is replaced by a number, so that each is distinct.
    pub shape: String,
    /// Subscriptions that are sent before their responses are read.
    pub opening_max: usize,
    /// Updates in each series.
    pub updates: usize,
    /// How often all subscribe and leave.
    pub waves: usize,
    /// Updates per second that the bystander receives while others subscribe and leave.
    pub rate: f64,
    /// How long the bystander is measured before others subscribe, and after they have left.
    pub quiet: Duration,
    /// Bytes of an update's data.
    pub data_bytes: usize,
    /// URL of the hub's metrics, which show when all have left.
    pub metrics: Option<String>,
}

/// Runs the benchmark and returns its report.
///
/// # Errors
///
/// [`BenchError`] if a request was refused, a connection ended, or the process may not open enough
/// files.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    check(options)?;
    allow_connections(options.connections + PUBLISHERS + 1)?;
    let shape = Shape::new(options.kind, &options.shape);
    let mut bench = Bench::open(options, shape)?;
    let mut figures = Figures::default();
    bench.series(&mut Series::default(), options.updates / 4, None)?;
    bench.series(&mut figures.none, options.updates, None)?;
    bench.watch_quiet(&mut figures.quiet)?;
    figures.memory.push(bench.resident()?);
    let crowd = bench.subscribe_all(&mut figures)?;
    bench.series(&mut figures.with, options.updates, Some(&crowd))?;
    figures.memory.push(bench.resident()?);
    bench.unsubscribe_all(&mut figures)?;
    bench.series(&mut figures.none, options.updates, None)?;
    figures.memory.push(bench.resident()?);
    // The later waves must be able to reuse the memory of the first one.
    for _ in 1..options.waves {
        let mut again = Figures::default();
        bench.subscribe_all(&mut again)?;
        bench.unsubscribe_all(&mut again)?;
        figures.memory.push(bench.resident()?);
    }
    let mut report = Report::new(format!(
        "match: {} connections with {} distinct {} matchers each, like {}",
        options.connections,
        options.matchers,
        options.kind.name(),
        options.shape
    ));
    figures.tell(&mut report, options.connections * options.matchers);
    bench.flaws.tell(&mut report);
    Ok(report)
}

fn check(options: &Options) -> Result<(), BenchError> {
    let wrong = |option, reason| Err(BenchError::Option { option, reason });
    if options.connections == 0 || options.matchers == 0 || options.updates == 0 {
        return wrong(
            "--connections, --matchers, --updates",
            "none of them may be 0",
        );
    }
    let (subscriptions, topics) = (options.connections * options.matchers, 4 * options.updates);
    if options.kind == Kind::Exact && subscriptions < topics {
        return wrong(
            "--updates",
            "there must be four times as many exact subscriptions, or topics would come again",
        );
    }
    if !options.shape.contains('#') {
        return wrong("--shape", "it needs a # where the number goes");
    }
    if !(options.rate > 0.0 && options.rate.is_finite()) || options.opening_max == 0 {
        return wrong("--rate, --opening", "they must be more than 0");
    }
    if options.data_bytes < MARK_BYTES {
        return wrong("--data-bytes", "fewer than 37 do not hold what is checked");
    }
    Ok(())
}

/// A hub with a bystander.
struct Bench<'a> {
    options: &'a Options,
    shape: Shape,
    load: Load,
    server: Option<Process>,
    /// Topics used so far. Each is published to once, except the first, which is the bystander's.
    topics: usize,
    flaws: figures::Flaws,
}

impl<'a> Bench<'a> {
    fn open(options: &'a Options, shape: Shape) -> Result<Self, BenchError> {
        let series = [options.updates / 4]
            .into_iter()
            .chain([options.updates; 3]);
        let names = std::iter::once("https://bench.example/bystander".to_owned());
        let number = |place: usize| place % (options.connections * options.matchers);
        let topics = (1..=series.sum()).map(|place| shape.topic(number(place), place));
        let topics = names.chain(topics).collect();
        let mut load = Load::with_topics(&options.target, topics, options.data_bytes)?;
        load.counts.log = Some(Vec::new());
        load.open_by_query("match=%2A")?;
        load.wait("answers to subscriptions", 1, |counts| counts.opened)?;
        load.open_publishers(PUBLISHERS)?;
        Ok(Self {
            options,
            shape,
            load,
            server: options.target.pid.map(Process::new),
            topics: 1,
            flaws: figures::Flaws::default(),
        })
    }

    /// Publishes to `count` new topics, each after the previous update has arrived everywhere.
    fn series(
        &mut self,
        series: &mut Series,
        updates: usize,
        crowd: Option<&Crowd>,
    ) -> Result<(), BenchError> {
        let bar = progress::bar("publishing", updates as u64);
        let copies = if crowd.is_some() { 2 } else { 1 };
        let cpu = self.server.map(Process::cpu_ns).transpose()?;
        for _ in 0..updates {
            self.load.publish(self.topics, now_ns())?;
            self.topics += 1;
            let sent = self.load.counts.sent;
            self.load.wait("deliveries", copies, |counts| {
                counts.log.as_ref().map_or(0, |log| log.len() as u64)
            })?;
            self.load
                .wait("acknowledgements", sent, |counts| counts.acknowledged)?;
            for delivery in self.take_log() {
                if delivery.account == BYSTANDER {
                    series.latency.record(delay(&delivery));
                }
                self.flaws.note(&delivery, crowd);
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        series.updates += updates as u64;
        self.flaws.expected += updates as u64 * copies;
        let after = self.server.map(Process::cpu_ns).transpose()?;
        series.cpu_ns = (after.zip(cpu))
            .map(|(after, before)| after - before + series.cpu_ns.unwrap_or_default());
        Ok(())
    }

    fn take_log(&mut self) -> Vec<Delivery> {
        self.load
            .counts
            .log
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Measures the bystander while nothing else happens.
    fn watch_quiet(&mut self, latency: &mut Histogram) -> Result<(), BenchError> {
        let end = now_ns() + nanos(self.options.quiet);
        self.watch(latency, |_| Ok(Step::until(now_ns() >= end)))
    }

    /// Publishes to the bystander at its rate until `step` returns that it is done.
    fn watch(
        &mut self,
        latency: &mut Histogram,
        mut step: impl FnMut(&mut Load) -> Result<Step, BenchError>,
    ) -> Result<(), BenchError> {
        let interval = nanos(crate::floor::interval(self.options.rate));
        let (mut due, mut published) = (now_ns(), 0);
        loop {
            let step = step(&mut self.load)?;
            let now = now_ns();
            if now >= due {
                self.load.publish(0, due)?;
                published += 1;
                // Missed updates are skipped: catching up would be a burst of our own.
                due += interval * (1 + (now - due) / interval);
            }
            let wait = match step {
                Step::Done => break,
                Step::More => 0,
                Step::Wait => due.saturating_sub(now_ns()),
            };
            self.load.turn(Duration::from_nanos(wait))?;
        }
        let counts = self.load.counts.published.iter();
        let sent = counts.map(|&count| u64::from(count)).sum();
        self.load
            .wait("acknowledgements", sent, |counts| counts.acknowledged)?;
        self.load.wait("deliveries", published, |counts| {
            counts.log.as_ref().map_or(0, |log| log.len() as u64)
        })?;
        self.flaws.expected += published;
        for delivery in self.take_log() {
            latency.record(delay(&delivery));
            self.flaws.note(&delivery, None);
        }
        Ok(())
    }

    /// Opens all subscriptions while the bystander is measured.
    fn subscribe_all(&mut self, figures: &mut Figures) -> Result<Crowd, BenchError> {
        let Options {
            connections,
            matchers,
            opening_max,
            ..
        } = *self.options;
        let bar = progress::bar("joining", connections as u64);
        let mut crowd = Crowd::new(matchers);
        let (begin, opened) = (now_ns(), self.load.counts.opened);
        let (shape, mut asked) = (self.shape.clone(), 0);
        self.watch(&mut figures.joining, |load| {
            let answered = load.counts.opened - opened;
            bar.set_position(answered);
            let answered = usize::try_from(answered).unwrap_or(usize::MAX);
            if asked < connections && asked < answered + opening_max {
                // One at a time, so that the bystander's updates stay on time.
                let first = asked * matchers;
                let account = load.open_by_query(&shape.query(first..first + matchers))?;
                crowd.accounts.push(account);
                asked += 1;
                return Ok(Step::More);
            }
            Ok(Step::until(answered == connections))
        })?;
        bar.finish_and_clear();
        figures.join_ns = now_ns() - begin;
        Ok(crowd)
    }

    /// Closes all subscriptions while the bystander is measured, and waits until the hub has
    /// noticed.
    fn unsubscribe_all(&mut self, figures: &mut Figures) -> Result<(), BenchError> {
        let begin = now_ns();
        self.load.keep_subscribers(1);
        let end = begin + nanos(self.options.quiet);
        self.watch(&mut figures.leaving, |_| Ok(Step::until(now_ns() >= end)))?;
        crowd::wait_until_gone(self.options.metrics.as_deref())?;
        figures.leave_ns = now_ns() - begin;
        Ok(())
    }

    fn resident(&self) -> Result<Option<u64>, BenchError> {
        progress::pause("settling", PAUSE);
        self.server.map(Process::resident_bytes).transpose()
    }
}

/// What an activity beside the bystander needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// To be called again at once.
    More,
    /// To be called again when something has arrived.
    Wait,
    Done,
}

impl Step {
    fn until(done: bool) -> Self {
        if done { Self::Done } else { Self::Wait }
    }
}

fn delay(delivery: &Delivery) -> u64 {
    delivery.at_ns.saturating_sub(delivery.mark.due_ns)
}
