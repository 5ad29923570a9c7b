//! What commands say on the standard output and the standard error. They wait for their reader, and
//! end quietly when there is none any more. What a running hub says goes through [`crate::telemetry::output`].

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tidings_wire::redact;

use crate::telemetry::output;

/// Nobody reads the output any more. It ends the command quietly.
#[derive(Debug, thiserror::Error)]
#[error("the output is closed")]
pub struct OutputClosed;

/// Writes `text` to the standard output as it is, and flushes.
///
/// # Errors
///
/// [`OutputClosed`] if nobody reads it, or what the system says, such as a full disk.
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

/// Checks that somebody still reads the standard output, for a command that may long have nothing
/// to write. Only the end of a pipe can be seen.
///
/// # Errors
///
/// [`OutputClosed`] if nobody does.
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

/// Writes a line to the standard error without what is secret in it, in a running hub behind what is
/// logged already. There is nobody to tell if that fails.
pub fn error(line: &str) {
    let line = redact::text(line);
    if output::complain(&line) {
        return;
    }
    let mut stderr = io::stderr().lock();
    let _written = stderr.write_all(format!("{line}\n").as_bytes());
}
