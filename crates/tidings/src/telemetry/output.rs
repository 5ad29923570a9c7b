//! The standard error and standard output of a running hub: best effort, in order.
//!
//! Each of the two has a thread behind a bounded queue (`lines.rs`), so that a slow, stuck or closed reader, a full
//! disk or a closed terminal never delays the hub. Commands that do one thing and end write directly, and wait for
//! their reader (`cli/print.rs`).
//!
//! A process has one standard error, so it has one writer too: the log, a command's final error and a panic are
//! written in order.

use std::io;
use std::path::Path;
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;

use self::lines::{Lines, Stream};
use self::log_file::LogFile;
use tidings_hub::metrics::{ByReason, reasons_at_zero};

pub(crate) mod lines;
mod log_file;

static ERROR: OnceLock<Lines> = OnceLock::new();
static OUTPUT: OnceLock<Lines> = OnceLock::new();
/// Why lines are lost.
const REASONS: &[&str] = &["failed", "full"];

static ACCESS_FILE: OnceLock<LogFile> = OnceLock::new();
static ACCESS: OnceLock<Lines> = OnceLock::new();
static LOG_DROPPED: LazyLock<ByReason> = LazyLock::new(|| reasons_at_zero(REASONS));

/// How long the process waits at its end until its last lines are read.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Starts the two threads. From then on, [`complain`] and [`announce`] never wait.
///
/// # Errors
///
/// The system has no thread for it.
pub(crate) fn start() -> io::Result<()> {
    if ERROR.get().is_some() {
        return Ok(());
    }
    let error = Lines::start(Stream::Error, LOG_DROPPED.clone(), |lines| {
        tracing::warn!(
            lines,
            "lines of the log are lost: nothing could be written for a while"
        );
    })?;
    let output = Lines::start(Stream::Output, reasons_at_zero(REASONS), |_lines| {})?;
    // A second start at the same time would have the same effect.
    let _same = (ERROR.set(error), OUTPUT.set(output));
    Ok(())
}

/// Returns the writer of the standard error, once it is started.
pub(crate) fn log() -> Option<&'static Lines> {
    ERROR.get()
}

/// Registers the metric of lost log lines.
pub(crate) fn register(registry: &mut Registry) {
    registry.register(
        "log_lines_dropped",
        "Lines of the log lost because nobody took them",
        LOG_DROPPED.clone(),
    );
}

/// Writes a text to the standard output. It is lost if nobody reads it.
pub(crate) fn announce(text: &str) {
    if let Some(output) = OUTPUT.get() {
        output.push(text.as_bytes());
    }
}

/// Queues a line for the standard error. Returns false if there is no queue yet.
pub(crate) fn complain(line: &str) -> bool {
    let Some(error) = ERROR.get() else {
        return false;
    };
    error.push(format!("{line}\n").as_bytes());
    true
}

/// Writes the access log to a file from now on, instead of to the standard error.
///
/// # Errors
///
/// The file cannot be written, or the system has no thread for it.
pub(crate) fn open_access_log(path: &Path) -> io::Result<()> {
    if ACCESS.get().is_some() {
        return Ok(());
    }
    let opened = LogFile::open(path)?;
    let file = ACCESS_FILE.get_or_init(|| opened);
    let lines = Lines::start(Stream::File(file), LOG_DROPPED.clone(), |lines| {
        tracing::warn!(
            lines,
            "lines of the access log were lost: nothing could be written"
        );
    })?;
    // A second start at the same time would have the same effect.
    let _same = ACCESS.set(lines);
    Ok(())
}

/// Opens the file of the access log again, if there is one: another program may have renamed it.
///
/// # Errors
///
/// It cannot be written. Lines go on to the file that is open.
pub(crate) fn reopen_access_log() -> io::Result<()> {
    ACCESS_FILE.get().map_or(Ok(()), LogFile::reopen)
}

/// Writes a line of the access log, which ends with a line break.
pub(crate) fn access(line: &str) {
    if let Some(lines) = ACCESS.get().or_else(|| ERROR.get()) {
        lines.push(line.as_bytes());
    }
}

/// Waits until everything is written, for a bounded time: a reader may never come.
pub(crate) fn flush() {
    let deadline = Instant::now() + FLUSH_MAX;
    for lines in [ERROR.get(), OUTPUT.get(), ACCESS.get()]
        .into_iter()
        .flatten()
    {
        lines.flush(deadline);
    }
}
