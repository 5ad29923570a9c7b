//! Presence: the cost for a hub of tracking a hundred thousand subscriptions that join and leave,
//! of publishing the events, and of answering queries.
//!
//! ```text
//! all subscribe ─▶ listed, published ─▶ queries, one after another ─▶ all leave ─▶ gone, published
//! ```

mod query;

use std::time::Duration;

use crate::BenchError;
use crate::clock::{as_f64, as_ms, nanos, now_ns};
use crate::load::{Load, PATIENCE};
use crate::mark::MARK_BYTES;
use crate::process::{Process, allow_connections};
use crate::progress;
use crate::report::Report;
use crate::scrape::Metrics;
use crate::target::{self, escaped};

use query::QueryConnection;

/// The interval at which the hub's progress is checked.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Subscriptions that are sent before their responses are read.
const OPENING_MAX: usize = 256;
/// Pause before memory is measured.
const PAUSE: Duration = Duration::from_secs(1);

/// The options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The hub, with presence on, and a subscriber's token that may read everything.
    pub target: target::Options,
    /// Connections.
    pub connections: usize,
    /// Matchers of each connection.
    pub matchers: usize,
    /// Topics of the matchers, taken in turn.
    pub topics: usize,
    /// How often each query is sent.
    pub asks: u32,
    /// Whether to skip the queries and, once all have subscribed, stay until the hub ends.
    pub stay: bool,
    /// URL of the hub's metrics, which show its progress.
    pub metrics: Option<String>,
}

/// Runs the benchmark and returns its report.
///
/// # Errors
///
/// [`BenchError`] if a request was refused, a connection ended, or the hub does not make progress.
pub fn run(options: &Options) -> Result<Report, BenchError> {
    let Some(metrics) = options.metrics.as_deref() else {
        let reason = "needed to follow the progress of the hub";
        return Err(BenchError::Option {
            option: "--metrics",
            reason,
        });
    };
    let count = options.connections * options.matchers;
    if count == 0 || options.topics == 0 || options.asks == 0 {
        let reason = "none of them may be 0";
        return Err(BenchError::Option {
            option: "--connections, --matchers, --topics, --asks",
            reason,
        });
    }
    if options.matchers > options.topics {
        let reason = "a subscriber has at most one subscription to a topic";
        return Err(BenchError::Option {
            option: "--topics",
            reason,
        });
    }
    allow_connections(options.connections + 1)?;
    let bench = Bench {
        options,
        metrics,
        server: options.target.pid.map(Process::new),
    };
    let mut report = Report::new(format!(
        "presence: {} connections by {} with {} matchers each for {} topics",
        options.connections,
        options.target.transport.name(),
        options.matchers,
        options.topics
    ));
    let mut load = Load::with_topics(&options.target, Vec::new(), MARK_BYTES)?;
    bench.subscribe_all(&mut load, count as u64, &mut report)?;
    if options.stay {
        // The hub is gone, however its connections end.
        while load.turn(ASK_EVERY).is_ok() {}
        return Ok(report);
    }
    bench.query_all(&mut report)?;
    bench.unsubscribe_all(&mut load, count as u64, &mut report)?;
    Ok(report)
}

struct Bench<'a> {
    options: &'a Options,
    metrics: &'a str,
    server: Option<Process>,
}

impl Bench<'_> {
    fn subscribe_all(
        &self,
        load: &mut Load,
        count: u64,
        report: &mut Report,
    ) -> Result<(), BenchError> {
        let Options {
            connections,
            matchers,
            ..
        } = *self.options;
        let (memory, cpu, said) = (self.memory()?, self.cpu()?, self.presence_events()?);
        let bar = progress::bar("joining", connections as u64);
        let begin = now_ns();
        for number in 0..connections {
            let first = number * matchers;
            let pairs = (first..first + matchers).map(|number| {
                let topic = topic(number % self.options.topics);
                format!("match={}", escaped(&topic))
            });
            load.open_by_query(&pairs.collect::<Vec<_>>().join("&"))?;
            let enough = (number + 1).saturating_sub(OPENING_MAX) as u64;
            load.wait("answers to subscriptions", enough, |counts| counts.opened)?;
            bar.set_position(load.counts.opened);
        }
        let all = connections as u64;
        load.wait("answers to subscriptions", all, |counts| counts.opened)?;
        bar.finish_and_clear();
        report.add("subscriptions", as_f64(count), "");
        report.add("join_answered", as_ms(now_ns() - begin), "ms");
        self.wait("tidings_presence_subscriptions", count, load)?;
        report.add("join_listed", as_ms(now_ns() - begin), "ms");
        self.wait("tidings_presence_events_total", said + count, load)?;
        report.add("join_said", as_ms(now_ns() - begin), "ms");
        if let (Some(before), Some(after)) = (cpu, self.cpu()?) {
            let each = as_f64(after - before) / 1e3 / as_f64(count);
            report.add("join_cpu_per_subscription", each, "µs");
        }
        progress::pause("settling", PAUSE);
        if let (Some(before), Some(after)) = (memory, self.memory()?) {
            report.add("memory_before", as_f64(before), "bytes");
            report.add("memory_with", as_f64(after), "bytes");
            let each = as_f64(after.saturating_sub(before)) / as_f64(count);
            report.add("memory_per_subscription", each, "bytes");
        }
        Ok(())
    }

    fn query_all(&self, report: &mut Report) -> Result<(), BenchError> {
        let mut connection = QueryConnection::open(&self.options.target)?;
        let some = escaped(&topic(0));
        for (name, below) in [
            ("first_page_of_100", "?limit=100".to_owned()),
            ("largest_page", String::new()),
            ("count", "?count_only".to_owned()),
            ("filter_by_topic", format!("?topic={some}")),
            ("count_by_topic", format!("?count_only&topic={some}")),
            (
                "count_by_pattern",
                format!(
                    "?count_only&pattern={}",
                    escaped("https://bench.example/*/1")
                ),
            ),
            ("of_one_matcher", format!("/exact/{some}?limit=100")),
        ] {
            let result = connection.query(&below, self.options.asks, None)?;
            report.add_percentiles(name, result.times.percentiles_ms());
            report.add(format!("{name}_bytes"), as_f64(result.bytes), "bytes");
            if let Some(tag) = result.tag.filter(|_| below.is_empty()) {
                let known = connection.query(&below, self.options.asks, Some(&tag))?;
                report.add_percentiles("not_modified", known.times.percentiles_ms());
            }
        }
        if let Some(memory) = self.memory()? {
            report.add("memory_after_questions", as_f64(memory), "bytes");
        }
        Ok(())
    }

    fn unsubscribe_all(
        &self,
        load: &mut Load,
        count: u64,
        report: &mut Report,
    ) -> Result<(), BenchError> {
        let (cpu, said, begin) = (self.cpu()?, self.presence_events()?, now_ns());
        load.close_subscribers();
        self.wait("tidings_presence_subscriptions", 0, load)?;
        report.add("leave_not_listed", as_ms(now_ns() - begin), "ms");
        self.wait("tidings_presence_events_total", said + count, load)?;
        report.add("leave_said", as_ms(now_ns() - begin), "ms");
        if let (Some(before), Some(after)) = (cpu, self.cpu()?) {
            let each = as_f64(after - before) / 1e3 / as_f64(count);
            report.add("leave_cpu_per_subscription", each, "µs");
        }
        progress::pause("settling", PAUSE);
        if let Some(memory) = self.memory()? {
            report.add("memory_after", as_f64(memory), "bytes");
        }
        Ok(())
    }

    /// Waits until a metric has reached this value. The time limit starts again whenever it comes
    /// nearer.
    fn wait(&self, name: &'static str, want: u64, load: &mut Load) -> Result<(), BenchError> {
        let (mut have, mut since) = (self.metric(name)?, now_ns());
        while have != want {
            load.turn(ASK_EVERY)?;
            std::thread::sleep(ASK_EVERY);
            let now = self.metric(name)?;
            if now != have {
                (have, since) = (now, now_ns());
            } else if now_ns() - since > nanos(PATIENCE) {
                let (what, secs) = (name, PATIENCE.as_secs());
                return Err(BenchError::Stuck {
                    what,
                    have,
                    want,
                    secs,
                });
            }
        }
        Ok(())
    }

    fn presence_events(&self) -> Result<u64, BenchError> {
        self.metric("tidings_presence_events_total")
    }

    fn metric(&self, name: &str) -> Result<u64, BenchError> {
        Ok(Metrics::read(self.metrics)?.counter(name))
    }

    fn memory(&self) -> Result<Option<u64>, BenchError> {
        self.server.map(Process::resident_bytes).transpose()
    }

    fn cpu(&self) -> Result<Option<u64>, BenchError> {
        self.server.map(Process::cpu_ns).transpose()
    }
}

fn topic(number: usize) -> String {
    format!("https://bench.example/books/{number}")
}
