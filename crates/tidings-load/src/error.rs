//! Why a benchmark yields no figures. Half of these mean that the generator, not the hub, was the
//! bottleneck: figures from such a run would describe the wrong program.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The hub's URL is not usable.
    #[error("{url} is not the URL of a hub: {reason}")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The hub's host has no address.
    #[error("{host} has no address")]
    Address {
        /// The host and port.
        host: String,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// An option has an invalid value.
    #[error("{option}: {reason}")]
    Option {
        /// The name of the option.
        option: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The trusted certificates cannot be read.
    #[error("cannot use the certificates of {}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// TLS cannot be configured.
    #[error("TLS cannot be used with these settings")]
    Tls(#[from] rustls::Error),
    /// The process may not open enough files for the requested connections.
    #[error(
        "{needed} connections need more than the {limit} files that this process may open (the \
         generator's limit, `ulimit -n`)"
    )]
    OpenFiles {
        /// Files needed.
        needed: u64,
        /// The hard limit of the process.
        limit: u64,
    },
    /// A program that sets something up failed.
    #[error("{command}: {status}: {error}")]
    Command {
        /// Its words.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to its standard error.
        error: String,
    },
    /// A connection could not be made.
    #[error("connection {number} could not be made")]
    Connect {
        /// The number of connections before it.
        number: usize,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// A connection failed or ended during the run.
    #[error("a connection ended during the run")]
    Connection(#[source] io::Error),
    /// The hub refused a request.
    #[error("the hub answered {status} to a {request}: {detail}")]
    Refused {
        /// The kind of request: a subscription or a publication.
        request: &'static str,
        /// The status line of the response.
        status: String,
        /// The beginning of the response body.
        detail: String,
    },
    /// Nothing happened for the maximum waiting time.
    #[error("nothing arrived for {secs} s while waiting for {what}: {have} of {want} were there")]
    Stuck {
        /// What the run was waiting for.
        what: &'static str,
        /// How many were there.
        have: u64,
        /// How many were expected.
        want: u64,
        /// How long nothing arrived.
        secs: u64,
    },
    /// The generator's own core was fully used.
    #[error(
        "the generator was the limit: its thread was busy {busy_percent:.0} % of the run (90 % are \
         too many); lower --rate, --subscribers or give it a faster core"
    )]
    Saturated {
        /// The generator's share of one core.
        busy_percent: f64,
    },
    /// Updates were sent later than they were due.
    #[error(
        "the schedule slipped: the last update went out {late_ms:.0} ms late in a run of \
         {planned_ms:.0} ms; the load asked for was not offered. Lower --rate or raise --publishers"
    )]
    Slipped {
        /// How late the last update was.
        late_ms: f64,
        /// How long the schedule was.
        planned_ms: f64,
    },
    /// Figures about the server's process are not readable.
    #[error("cannot read {path}; is --pid right?")]
    Process {
        /// The file that should contain them.
        path: String,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The server's metrics are not readable.
    #[error("cannot read the metrics at {url}")]
    Metrics {
        /// Their URL.
        url: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A reload failed.
    #[error("reload {number} failed: its command ended with {status}")]
    Reload {
        /// Its number, from 0.
        number: usize,
        /// How the command ended.
        status: ExitStatus,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// A system call failed.
    #[error("{call} failed")]
    System {
        /// The name of the call.
        call: &'static str,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

impl BenchError {
    /// Returns a function that adds the name of the failed system call.
    pub(crate) fn system(call: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System {
            call,
            source: errno.into(),
        }
    }
}
