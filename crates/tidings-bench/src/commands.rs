//! Arguments of the load generator, and its report on standard output.

mod cluster;
mod engine;
mod presence;
mod reload;
mod restart;
mod soak;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tidings_load::report::Report;
use tidings_load::{compare, floor, idle, matching, publish, resume, sse, target};
use tidings_wire::byte_order_mark;

use crate::Usage;
use crate::dev_hub::{DEFAULT_DATA, DevHub};

/// The benchmarks, and what they need.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    Sse(Sse),
    Compare(Compare),
    Publish(Publish),
    Idle(Idle),
    Resume(Resume),
    Match(Match),
    Presence(presence::Presence),
    Soak(soak::Soak),
    Restart(restart::Restart),
    Reload(reload::Reload),
    Cluster(cluster::Cluster),
    Engine(engine::Engine),
    Floor(Floor),
}

/// Publish to many subscribers and check what each receives
#[derive(Debug, clap::Args)]
pub struct Sse {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    output: Output,

    /// Connections, each with one topic
    #[arg(long, value_name = "N", default_value_t = 1000)]
    subscribers: usize,

    /// Topics; connections and updates use them in turn
    #[arg(long, value_name = "N", default_value_t = 1)]
    topics: usize,

    /// Updates in total, without those of the warm-up
    #[arg(long, value_name = "N", default_value_t = 100)]
    updates: u32,

    /// Updates per second, whatever the hub does
    #[arg(long, value_name = "N", conflicts_with = "lockstep")]
    rate: Option<f64>,

    /// Publish each burst when all subscribers have received the previous one; the default without
    /// --rate
    #[arg(long)]
    lockstep: bool,

    /// Updates published at the same time
    #[arg(long, value_name = "N", default_value_t = 1)]
    burst: u32,

    #[command(flatten)]
    data: Data,

    /// Publishing connections [default: one for each update of a burst, with --rate at least 8]
    #[arg(long, value_name = "N")]
    publishers: Option<usize>,

    /// Seconds to wait for missing updates after the last arrival
    #[arg(long, value_name = "SECS", default_value_t = 10)]
    settle: u64,

    /// Do not measure the bare send() loop
    #[arg(long)]
    no_floor: bool,
}

/// Publish to event streams and over another transport in turn, and compare them
#[derive(Debug, clap::Args)]
pub struct Compare {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    output: Output,

    /// Connections of the other transport
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: usize,

    /// Streams on each, for http2; there is one HTTP/1.1 connection for each stream
    #[arg(long, value_name = "N", default_value_t = 1)]
    streams: usize,

    /// Sizes of the bursts of simultaneous updates; each size is a series of runs
    #[arg(
        long,
        value_name = "N,N",
        value_delimiter = ',',
        default_value = "1,8,200"
    )]
    bursts: Vec<u32>,

    /// Bursts of each size for each side
    #[arg(long, value_name = "N", default_value_t = 100)]
    repeats: u32,

    #[command(flatten)]
    data: Data,

    /// Seconds to wait for missing updates after the last arrival
    #[arg(long, value_name = "SECS", default_value_t = 10)]
    settle: u64,
}

/// Publish and wait for acknowledgements
#[derive(Debug, clap::Args)]
pub struct Publish {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    output: Output,

    /// Publishers, each with one update in flight
    #[arg(long, value_name = "N", default_value_t = 64)]
    publishers: usize,

    /// Topics, used in turn
    #[arg(long, value_name = "N", default_value_t = 1)]
    topics: usize,

    /// Updates in total
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    updates: u64,

    #[command(flatten)]
    data: Data,

    #[command(flatten)]
    metrics: Metrics,
}

/// Hold idle connections, and measure the hub's memory and CPU time
#[derive(Debug, clap::Args)]
pub struct Idle {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    output: Output,

    /// Connections, each with a topic of its own
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    subscribers: usize,

    /// Seconds to wait before memory is measured
    #[arg(long, value_name = "SECS", default_value_t = 3)]
    settle: u64,

    /// Seconds for which CPU time is measured
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    window: u64,
}

/// Fill the history, then resume from anywhere in it
#[derive(Debug, clap::Args)]
pub struct Resume {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    output: Output,

    /// Updates to publish first
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    events: u64,

    /// Cursors to resume from, spread evenly over the history
    #[arg(long, value_name = "N", default_value_t = 100)]
    cursors: u64,

    /// Subscribers that reconnect at the same time
    #[arg(long, value_name = "N", default_value_t = 1000)]
    subscribers: usize,

    /// Updates that each of them has missed
    #[arg(long, value_name = "N", default_value_t = 1000)]
    missed: u64,

    /// Updates that one slow reader has missed; 0 leaves it out
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    slow_missed: u64,

    #[command(flatten)]
    data: Data,

    #[command(flatten)]
    metrics: Metrics,
}

/// Open and close many distinct subscriptions, and measure their cost for publishers, a bystander
/// and memory
#[derive(Debug, clap::Args)]
pub struct Match {
    #[command(flatten)]
    target: Target,

    #[command(flatten)]
    output: Output,

    /// Connections
    #[arg(long, value_name = "N", default_value_t = 1000)]
    connections: usize,

    /// Distinct matchers of each connection
    #[arg(long, value_name = "N", default_value_t = 100)]
    matchers: usize,

    /// Subscribe with URL patterns instead of exact topics
    #[arg(long)]
    urlpattern: bool,

    /// Text of the matchers; a number replaces #. Default: `https://bench.example/books/#`, with
    /// --urlpattern `https://bench.example/books#/:id`
    #[arg(long, value_name = "TEXT")]
    shape: Option<String>,

    /// Subscriptions that are sent before their responses are read
    #[arg(long, value_name = "N", default_value_t = 16)]
    opening: usize,

    /// Updates in each series, each to a new topic
    #[arg(long, value_name = "N", default_value_t = 1000)]
    updates: usize,

    /// Milliseconds for which the bystander is measured before others subscribe, and after they have
    /// left
    #[arg(long, value_name = "MS", default_value_t = 2000)]
    quiet: u64,

    /// How often all subscribe and leave
    #[arg(long, value_name = "N", default_value_t = 4)]
    waves: usize,

    /// Updates per second that the bystander receives while others subscribe and leave
    #[arg(long, value_name = "N", default_value_t = 200.0)]
    rate: f64,

    #[command(flatten)]
    data: Data,

    #[command(flatten)]
    metrics: Metrics,
}

/// Measure a bare send() loop, without a hub
#[derive(Debug, clap::Args)]
pub struct Floor {
    #[command(flatten)]
    output: Output,

    /// Sockets to send to
    #[arg(long, value_name = "N", default_value_t = 2000)]
    sockets: usize,

    /// Bytes of one send
    #[arg(long, value_name = "N", default_value_t = 184)]
    bytes: usize,

    /// Sweeps over all sockets
    #[arg(long, value_name = "N", default_value_t = 200)]
    rounds: u32,

    /// Sweeps per second; without it, each begins when the previous one has arrived
    #[arg(long, value_name = "N")]
    rate: Option<f64>,

    /// Processor of the sender; the reader stays on the processor of this process
    #[arg(long, value_name = "N", default_value_t = 0)]
    sender: usize,
}

/// The hub, and how to reach it.
#[derive(clap::Args)]
#[command(next_help_heading = "Hub")]
#[group(skip)]
pub struct Target {
    /// The hub's URL. Without it, the hub that `tidings dev` started last
    #[arg(long, value_name = "URL", env = "TIDINGS_HUB", hide_env_values = true)]
    hub: Option<String>,

    /// URL of another hub of the same cluster, for the publishers
    #[arg(long, value_name = "URL")]
    publish_to: Option<String>,

    /// Access token of the publishers
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TIDINGS_TOKEN",
        hide_env_values = true
    )]
    token: Option<String>,

    /// File with the access token of the publishers
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,

    /// Access token of the subscribers; without it they are anonymous
    #[arg(long, value_name = "TOKEN")]
    subscriber_token: Option<String>,

    /// The hub's process, for its CPU time and memory
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,

    /// Number of local addresses to connect from: 127.0.0.1 and the following
    #[arg(long, value_name = "N", default_value_t = 1)]
    source_addresses: u8,

    /// Transport of the subscribers
    #[arg(long, value_enum, default_value_t = Transport::Sse)]
    transport: Transport,

    /// PEM file with the authorities to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Data folder of `tidings dev`, with its hub and tokens
    #[arg(long, value_name = "FOLDER", default_value = DEFAULT_DATA)]
    dev_data: PathBuf,
}

/// The size of the updates.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Data {
    /// Bytes of an update's data
    #[arg(long, value_name = "N", default_value_t = 120)]
    data_bytes: usize,
}

/// The hub's own counters.
#[derive(Clone, Debug, clap::Args)]
pub struct Metrics {
    /// URL of the hub's metrics (`admin.address`), for figures that only the hub knows
    #[arg(long = "metrics", value_name = "URL")]
    metrics_url: Option<String>,
}

impl Metrics {
    fn url(&self) -> Option<String> {
        self.metrics_url.clone()
    }
}

/// The format of the report.
#[derive(Debug, clap::Args)]
pub struct Output {
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("hub", &self.hub)
            .finish_non_exhaustive()
    }
}

/// Runs a benchmark and prints its report.
pub fn run(command: &Command) -> anyhow::Result<()> {
    let (report, output) = match command {
        Command::Sse(arguments) => (sse::run(&arguments.options()?)?, &arguments.output),
        Command::Compare(arguments) => (compare::run(&arguments.options()?)?, &arguments.output),
        Command::Publish(arguments) => (publish::run(&arguments.options()?)?, &arguments.output),
        Command::Idle(arguments) => (idle::run(&arguments.options()?)?, &arguments.output),
        Command::Resume(arguments) => (resume::run(&arguments.options()?)?, &arguments.output),
        Command::Match(arguments) => (matching::run(&arguments.options()?)?, &arguments.output),
        Command::Presence(arguments) => (arguments.run()?, &arguments.output),
        Command::Soak(arguments) => (arguments.run()?, &arguments.output),
        Command::Restart(arguments) => (arguments.run()?, &arguments.output),
        Command::Reload(arguments) => (arguments.run()?, &arguments.output),
        Command::Cluster(arguments) => (arguments.run()?, &arguments.output),
        Command::Engine(arguments) => return arguments.run(),
        Command::Floor(arguments) => (floor::run(&arguments.options())?, &arguments.output),
    };
    let text = match output.json {
        true => format!("{}\n", report.to_json()),
        false => report.to_table(),
    };
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    verdict(&report)
}

/// Fails if updates were lost or delivered wrongly, whatever else was measured.
fn verdict(report: &Report) -> anyhow::Result<()> {
    let wrong: Vec<String> = report
        .flaws()
        .map(|figure| format!("{}: {}", figure.name, figure.value))
        .collect();
    if wrong.is_empty() {
        return Ok(());
    }
    anyhow::bail!("deliveries went wrong: {}", wrong.join(", "))
}

impl Sse {
    fn options(&self) -> anyhow::Result<sse::Options> {
        let target = self.target.options()?;
        let publishers_min = if self.rate.is_some() {
            RATE_PUBLISHERS
        } else {
            1
        };
        Ok(sse::Options {
            floor: target.pid.is_some() && !self.no_floor,
            target,
            subscribers: self.subscribers,
            topics: self.topics,
            updates: self.updates,
            pace: self.rate.map_or(sse::Pace::Lockstep, sse::Pace::PerSecond),
            burst: self.burst,
            data_bytes: self.data.data_bytes,
            publishers: self
                .publishers
                .unwrap_or_else(|| publishers_min.max(self.burst as usize)),
            settle: Duration::from_secs(self.settle),
        })
    }
}

impl Compare {
    fn options(&self) -> anyhow::Result<compare::Options> {
        Ok(compare::Options {
            target: self.target.options()?,
            connections: self.connections,
            streams: self.streams,
            bursts: self.bursts.clone(),
            repeats: self.repeats,
            data_bytes: self.data.data_bytes,
            settle: Duration::from_secs(self.settle),
        })
    }
}

impl Publish {
    fn options(&self) -> anyhow::Result<publish::Options> {
        Ok(publish::Options {
            target: self.target.options()?,
            publishers: self.publishers,
            topics: self.topics,
            updates: self.updates,
            data_bytes: self.data.data_bytes,
            metrics: self.metrics.url(),
        })
    }
}

impl Idle {
    fn options(&self) -> anyhow::Result<idle::Options> {
        Ok(idle::Options {
            target: self.target.options()?,
            subscribers: self.subscribers,
            settle: Duration::from_secs(self.settle),
            window: Duration::from_secs(self.window),
        })
    }
}

impl Resume {
    fn options(&self) -> anyhow::Result<resume::Options> {
        Ok(resume::Options {
            target: self.target.options()?,
            events: self.events,
            cursors: self.cursors,
            subscribers: self.subscribers,
            missed: self.missed,
            slow_missed: self.slow_missed,
            data_bytes: self.data.data_bytes,
            metrics: self.metrics.url(),
        })
    }
}

impl Match {
    fn options(&self) -> anyhow::Result<matching::Options> {
        let (kind, shape) = match self.urlpattern {
            false => (matching::Kind::Exact, "https://bench.example/books/#"),
            true => (
                matching::Kind::UrlPattern,
                "https://bench.example/books#/:id",
            ),
        };
        Ok(matching::Options {
            target: self.target.options()?,
            connections: self.connections,
            matchers: self.matchers,
            kind,
            shape: self.shape.clone().unwrap_or_else(|| shape.to_owned()),
            opening_max: self.opening,
            updates: self.updates,
            waves: self.waves,
            quiet: Duration::from_millis(self.quiet),
            rate: self.rate,
            data_bytes: self.data.data_bytes,
            metrics: self.metrics.url(),
        })
    }
}

impl Floor {
    fn options(&self) -> floor::Options {
        floor::Options {
            sockets: self.sockets,
            bytes: self.bytes,
            rounds: self.rounds,
            rate: self.rate,
            sender: self.sender,
        }
    }
}

/// The transport of subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Transport {
    /// Event streams over HTTP/1.1
    Sse,
    /// Event streams over HTTP/2; for `compare`
    Http2,
    /// WebSockets
    Websocket,
    /// Long polls
    Longpoll,
    /// SockJS with `xhr_streaming`; the hub needs `sockjs.enabled`
    Sockjs,
}

impl Target {
    fn options(&self) -> anyhow::Result<target::Options> {
        let mut publisher_token = match (&self.token, &self.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(file)
                    .with_context(|| format!("cannot read {}", file.display()))?;
                Some(byte_order_mark::without(&text).trim().to_owned())
            }
            (None, None) => None,
        };
        let hub = match &self.hub {
            Some(hub) => hub.clone(),
            None => {
                let hub = DevHub::read(&self.dev_data)?.context(Usage(
                    "no hub: name one with --hub URL, or start one here with `tidings dev`",
                ))?;
                publisher_token = publisher_token.or(Some(hub.publisher));
                hub.hub
            }
        };
        Ok(target::Options {
            hub,
            publish_to: self.publish_to.clone(),
            publisher_token,
            subscriber_token: self.subscriber_token.clone(),
            ca: self.ca.clone(),
            pid: self.pid,
            source_addresses: self.source_addresses,
            transport: match self.transport {
                Transport::Sse => target::Transport::EventStream,
                Transport::Http2 => target::Transport::Http2,
                Transport::Websocket => target::Transport::WebSocket,
                Transport::Longpoll => target::Transport::LongPoll,
                Transport::Sockjs => target::Transport::SockJs,
            },
        })
    }
}

/// Publishers of a run with a rate: one that waits for an acknowledgement must not delay the schedule.
const RATE_PUBLISHERS: usize = 8;
