//! A process that is killed, paused and started again.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::BenchError;

/// One hub, or the engine.
#[derive(Debug)]
pub(super) struct Part {
    command: Vec<String>,
    /// Where its standard output and its standard error go, one start after the other.
    log: PathBuf,
    child: Option<Child>,
}

impl Part {
    /// Takes a program with its arguments, and starts nothing.
    pub(super) fn new(command: Vec<String>, log: PathBuf) -> Self {
        Self {
            command,
            log,
            child: None,
        }
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] or [`BenchError::File`], if it cannot be started.
    pub(super) fn start(&mut self) -> Result<(), BenchError> {
        let file = |source| BenchError::File {
            path: self.log.clone(),
            source,
        };
        let log = OpenOptions::new().append(true).create(true).open(&self.log);
        let log = log.map_err(file)?;
        let errors = log.try_clone().map_err(file)?;
        let (program, arguments) = self.command.split_first().ok_or(BenchError::Option {
            option: "--program",
            reason: "is empty",
        })?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn();
        let child = child.map_err(|source| BenchError::System {
            call: "starting a part of the cluster",
            source,
        })?;
        self.child = Some(child);
        Ok(())
    }

    /// Kills it as a crash would, and takes note of its end.
    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that has ended needs no signal.
            child.kill().ok();
            child.wait().ok();
        }
    }

    /// Stops its time.
    pub(super) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets its time go on.
    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Returns whether it ended by itself.
    pub(super) fn has_failed(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| !matches!(child.try_wait(), Ok(None)))
    }

    fn signal(&self, signal: Signal) {
        let id = self
            .child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            kill_process(pid, signal).ok();
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}
