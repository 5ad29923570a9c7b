//! Output of commands on standard output and standard error. Commands wait for their reader and
//! exit quietly when it is gone. A running hub writes through [`crate::telemetry::output`] instead.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tidings_wire::redact;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::telemetry::output;

/// The output's reader is gone. The command exits quietly.
#[derive(Debug, thiserror::Error)]
#[error("the output is closed")]
pub struct OutputClosed;

/// Writes `text` to standard output unchanged, and flushes.
///
/// # Errors
///
/// [`OutputClosed`] if the reader is gone, or the system's error, such as a full disk.
pub fn output(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("cannot write the output")),
    }
}

/// Writes a value to standard output as one line of JSON.
///
/// # Errors
///
/// Like [`output()`].
pub fn json(value: &serde_json::Value) -> anyhow::Result<()> {
    output(&format!("{value}\n"))
}

/// Returns Unix milliseconds as a time in UTC, such as `2026-11-29T15:00:00.250Z`: all are of one length.
pub fn time_of_ms(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000).ok();
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = time.and_then(|time| time.format(&Rfc3339).ok());
    let text = text.as_deref().and_then(|text| text.strip_suffix('Z'));
    // Only what is thousands of years away has no such text.
    text.map_or_else(
        || format!("{ms} ms"),
        |text| format!("{text}.{:03}Z", ms % 1000),
    )
}

/// Checks that standard output still has a reader, for a command that may have nothing to write for
/// long. Only a closed pipe can be detected.
///
/// # Errors
///
/// [`OutputClosed`] if the reader is gone.
pub fn check_open() -> Result<(), OutputClosed> {
    let stdout = io::stdout();
    let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let seen = poll(&mut polled, Some(&at_once)).is_ok();
    let closed = polled
        .iter()
        .any(|one| one.revents().contains(PollFlags::ERR));
    if seen && closed {
        Err(OutputClosed)
    } else {
        Ok(())
    }
}

/// Writes a line to standard error without secrets; in a running hub, after the lines that are
/// already logged. A failure cannot be reported to anybody.
pub fn error(line: &str) {
    let line = redact::text(line);
    if output::complain(&line) {
        return;
    }
    let mut stderr = io::stderr().lock();
    let _written = stderr.write_all(format!("{line}\n").as_bytes());
}
