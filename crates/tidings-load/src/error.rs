//! Why a benchmark yields no figures. Half of these mean that the generator, not the hub, was the
//! bottleneck: figures from such a run would describe the wrong program.

use std::io;
use std::path::PathBuf;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The hub's URL cannot be used.
    #[error("{url} is not the URL of a hub: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The hub's host has no address.
    #[error("{host} has no address")]
    Address {
        /// The host and port.
        host: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// An option makes no sense.
    #[error("{option}: {reason}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
    /// The certificates to trust cannot be used.
    #[error("cannot use the certificates of {}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls_pki_types::pem::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be used with these settings")]
    Tls(#[from] rustls::Error),
    /// The limit of open files of this process is too low for the connections asked for.
    #[error(
        "{needed} connections need more than the {limit} files that this process may open (the \
         generator's limit, `ulimit -n`)"
    )]
    OpenFiles {
        /// Files needed.
        needed: u64,
        /// The hard limit.
        limit: u64,
    },
    /// A connection could not be made.
    #[error("connection {number} could not be made")]
    Connect {
        /// How many there were before it.
        number: usize,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A connection broke or ended during the run.
    #[error("a connection ended during the run")]
    Connection(#[source] io::Error),
    /// The hub refused something.
    #[error("the hub answered {status} to a {request}: {detail}")]
    Refused {
        /// Subscription or publication.
        request: &'static str,
        /// The answer's first line.
        status: String,
        /// The beginning of its body.
        detail: String,
    },
    /// Nothing happened for as long as the run waits.
    #[error("nothing arrived for {secs} s while waiting for {what}: {have} of {want} were there")]
    Stuck {
        /// What was awaited.
        what: &'static str,
        /// How many were there.
        have: u64,
        /// How many were awaited.
        want: u64,
        /// How long nothing came.
        secs: u64,
    },
    /// The generator's own core was full.
    #[error(
        "the generator was the limit: its thread was busy {busy_percent:.0} % of the run (90 % are \
         too many); lower --rate, --subscribers or give it a faster core"
    )]
    Saturated {
        /// Share of one core.
        busy_percent: f64,
    },
    /// Updates went out later than they were due.
    #[error(
        "the schedule slipped: the last update went out {late_ms:.0} ms late in a run of \
         {planned_ms:.0} ms; the load asked for was not offered. Lower --rate or raise --publishers"
    )]
    Slipped {
        /// How late.
        late_ms: f64,
        /// How long the schedule was.
        planned_ms: f64,
    },
    /// Figures about the server's process cannot be read.
    #[error("cannot read {path}; is --pid right?")]
    Process {
        /// Where they should be.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The server's metrics cannot be read.
    #[error("cannot read the metrics at {url}")]
    Metrics {
        /// Where they should be.
        url: String,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A call to the system failed.
    #[error("{call} failed")]
    System {
        /// Which.
        call: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl BenchError {
    /// Names the system call that failed.
    pub(crate) fn system(call: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System {
            call,
            source: errno.into(),
        }
    }
}
