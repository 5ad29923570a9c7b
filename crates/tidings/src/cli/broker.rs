//! `tidings broker`: forwards ZeroMQ messages, without a hub and without a configuration file.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tidings_wire::zmtp::SocketType;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};

use super::{Usage, log};
use crate::binding::inherited::{Inherited, Kept};
use crate::broker::data_source::DataSource;
use crate::broker::options::{Limits, Options, PlainBroker, Security};
use crate::broker::{self, Bound};
use crate::config::LogOptions;
use crate::config::check::zeromq::{node, source};
use crate::config::log_filter::LogFilter;
use crate::config::tables::Table;
use crate::config::tables::zeromq::ZeroMqTable;
use crate::signals::{Hangup, Signals};
use crate::telemetry::output;
use crate::{binding, open_files};
use tidings_hub::metrics::zeromq::Counters;
use tidings_hub::tasks;

/// Forward ZeroMQ messages unchanged, for example from PULL to PUB
///
/// A data source binds (zmq-bind://PULL@127.0.0.1:5000) or connects (zmq://SUB@host:6000). Separate
/// several addresses of one socket with ;. Each option may be repeated.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Data source of type PULL that receives messages
    #[arg(long, value_name = "SOURCE")]
    pull: Vec<String>,

    /// Data source of type SUB or XSUB that receives messages; it subscribes to everything
    #[arg(long, value_name = "SOURCE")]
    sub: Vec<String>,

    /// Data source of type REP that receives messages; each is answered with `ok`
    #[arg(long, value_name = "SOURCE")]
    rep: Vec<String>,

    /// Data source of type PUB or XPUB that sends messages to all subscribers
    #[arg(long = "pub", value_name = "SOURCE")]
    publish: Vec<String>,

    /// Data source of type PUSH that sends each message to one peer in turn
    #[arg(long, value_name = "SOURCE")]
    push: Vec<String>,

    /// Maximum number of messages queued for one peer; a subscriber further behind loses newer ones
    #[arg(long, value_name = "MESSAGES", default_value_t = ZeroMqTable::defaults().high_water_mark)]
    high_water_mark: usize,

    /// Maximum number of bytes queued for one peer
    #[arg(long, value_name = "BYTES", default_value_t = ZeroMqTable::defaults().high_water_bytes)]
    high_water_bytes: usize,

    /// Maximum message size in bytes, all parts together
    #[arg(long, value_name = "BYTES", default_value_t = ZeroMqTable::defaults().message_bytes_max)]
    message_bytes_max: usize,

    /// Seconds within which a peer must complete its handshake
    #[arg(long, value_name = "SECONDS", default_value_t = ZeroMqTable::defaults().handshake.as_secs())]
    handshake_timeout_secs: u64,

    /// Allow binding addresses that other machines can reach; messages are not encrypted
    #[arg(long)]
    allow_plaintext: bool,

    /// User name that peers must present (PLAIN mechanism)
    #[arg(long, value_name = "NAME", requires = "password")]
    username: Option<String>,

    /// Password that peers must present; also from TIDINGS_BROKER_PASSWORD
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "TIDINGS_BROKER_PASSWORD",
        hide_env_values = true
    )]
    password: Option<String>,

    /// Address that serves metrics over plain HTTP
    #[arg(long, value_name = "IP:PORT")]
    metrics: Option<SocketAddr>,

    /// Log level: error, warn, info, debug, trace or off
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = LogFilter::parse)]
    log: LogFilter,
}

/// Hides the password.
impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arguments").finish_non_exhaustive()
    }
}

/// Runs the command until a signal stops it.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let options = options(arguments)?;
    log::start(&LogOptions {
        filter: arguments.log.clone(),
        ..LogOptions::defaults()
    })?;
    open_files::raise();
    let mut registry = Registry::with_prefix("tidings");
    let counters = Arc::new(Counters::new(&mut registry));
    output::register(&mut registry);
    let control = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())?;
    let metrics = match arguments.metrics {
        None => None,
        Some(address) => {
            let bind = |address| control.block_on(TcpListener::bind(address));
            Some(binding::open(address, bind)?)
        }
    };
    let mut signals = {
        let _inside = control.enter();
        Signals::listen(Hangup::Stops).context("cannot listen for signals")?
    };
    let bound = broker::bind(options, &mut Inherited::default(), &mut Kept::default())?;
    let banner = banner(&bound, metrics.as_ref());
    let handle = bound.start(counters, None)?;
    output::announce(&banner);
    control.block_on(async {
        if let Some(listener) = metrics {
            tasks::spawn(serve_metrics(listener, Arc::new(registry)));
        }
        signals.stop().await;
    });
    if handle.stop().is_err() {
        bail!("the broker ended in a panic");
    }
    Ok(())
}

fn options(arguments: &Arguments) -> anyhow::Result<Options> {
    let read = |option: &'static str, texts: &[String], allowed: &'static [SocketType]| {
        let read = |text: &String| -> anyhow::Result<DataSource> {
            let public = arguments.allow_plaintext;
            source(text, allowed, public, "--allow-plaintext")
                .map_err(|error| WrongSource { option, error }.into())
        };
        texts.iter().map(read).collect::<anyhow::Result<Vec<_>>>()
    };
    let inputs = [
        read("--pull", &arguments.pull, &[SocketType::Pull])?,
        read(
            "--sub",
            &arguments.sub,
            &[SocketType::Sub, SocketType::XSub],
        )?,
        read("--rep", &arguments.rep, &[SocketType::Rep])?,
    ]
    .concat();
    let outputs = [
        read(
            "--pub",
            &arguments.publish,
            &[SocketType::Pub, SocketType::XPub],
        )?,
        read("--push", &arguments.push, &[SocketType::Push])?,
    ]
    .concat();
    if inputs.is_empty() || outputs.is_empty() {
        let advice = "a broker needs a way in and a way out, such as \
                      --pull zmq-bind://PULL@127.0.0.1:5000 --pub zmq-bind://PUB@127.0.0.1:6000";
        bail!(Usage(advice));
    }
    let security = match (&arguments.username, &arguments.password) {
        (Some(username), Some(password)) => Security::Plain {
            username: username.as_str().into(),
            password: password.as_str().into(),
        },
        _ => Security::Null,
    };
    Ok(Options {
        brokers: vec![PlainBroker { inputs, outputs }],
        inputs: Vec::new(),
        outputs: Vec::new(),
        security,
        limits: Limits {
            queue_messages_max: arguments.high_water_mark.max(1),
            queue_bytes_max: arguments.high_water_bytes.max(1),
            message_bytes_max: arguments.message_bytes_max.max(1),
            handshake: Duration::from_secs(arguments.handshake_timeout_secs.max(1)),
            ..ZeroMqTable::defaults().limits()
        },
        node: node()?,
    })
}

fn banner(bound: &Bound, metrics: Option<&TcpListener>) -> String {
    let mut text = "Tidings passes ZeroMQ messages on.\n\n".to_owned();
    for (direction, source) in bound.sources() {
        text.push_str(&format!("  {direction:8} {source}\n"));
    }
    if let Some(address) = metrics.and_then(|listener| listener.local_addr().ok()) {
        text.push_str(&format!("  metrics  http://{address}/metrics\n"));
    }
    text.push_str("\nStop it with Ctrl-C.\n");
    text
}

async fn serve_metrics(listener: TcpListener, registry: Arc<Registry>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let registry = Arc::clone(&registry);
        tasks::spawn(async move {
            let answer = service_fn(move |_request: Request<Incoming>| {
                let registry = Arc::clone(&registry);
                async move {
                    let mut body = String::new();
                    // Writing to a String cannot fail.
                    text::encode(&mut body, &registry).ok();
                    let answer = Response::builder()
                        .header(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0")
                        .body(Full::new(Bytes::from(body)));
                    Ok::<_, Infallible>(answer.unwrap_or_default())
                }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_MAX)
                .serve_connection(TokioIo::new(stream), answer);
            drop(tokio::time::timeout(CONNECTION_MAX, connection).await);
        });
    }
}

/// An unusable data source, with its option.
#[derive(Debug, thiserror::Error)]
#[error("{option}: {error}")]
pub struct WrongSource {
    option: &'static str,
    error: crate::config::check::zeromq::SourceError,
}

/// Pause after accepting a metrics connection failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time limits for a metrics request to arrive, and for the whole connection.
const HEAD_MAX: Duration = Duration::from_secs(5);
const CONNECTION_MAX: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
Examples:
  tidings broker --pull zmq-bind://PULL@127.0.0.1:5000 \\
    --pub zmq-bind://PUB@127.0.0.1:6000
  tidings broker --allow-plaintext \\
    --sub 'zmq://SUB@one:6000;two:6000' --pub 'zmq-bind://XPUB@*:7000'";
