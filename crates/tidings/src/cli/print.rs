//! The only place that writes to the standard output and the standard error.

use std::io::{self, Write};

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

/// Writes a line to the standard error. There is nobody to tell if that fails.
pub fn error(line: &str) {
    let mut stderr = io::stderr().lock();
    let _written = stderr.write_all(format!("{line}\n").as_bytes());
}
