//! A process that is killed, paused and started again.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::BenchError;

/// One hub, or the engine.
#[derive(Debug)]
pub(crate) struct Part {
    command: Vec<String>,
    /// What it is started with the next time, if that is something else.
    next: Option<Vec<String>>,
    /// Where its standard output and its standard error go, one start after the other.
    log: PathBuf,
    child: Option<Child>,
}

impl Part {
    /// Takes a program with its arguments, and starts nothing.
    pub(crate) fn new(command: Vec<String>, log: PathBuf) -> Self {
        Self {
            command,
            next: None,
            log,
            child: None,
        }
    }

    /// Starts it with another command after this time.
    pub(crate) fn then(mut self, next: Vec<String>) -> Self {
        self.next = Some(next);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] or [`BenchError::File`], if it cannot be started.
    pub(crate) fn start(&mut self) -> Result<(), BenchError> {
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
        if let Some(next) = self.next.take() {
            self.command = next;
        }
        Ok(())
    }

    /// Kills it as a crash would, with the processes that it started, and takes note of its end.
    pub(crate) fn kill(&mut self) {
        // Nothing new begins while its time stands still.
        self.pause();
        let started = self.started();
        if let Some(mut child) = self.child.take() {
            // One that has ended needs no signal.
            child.kill().ok();
            for pid in started {
                kill_process(pid, Signal::KILL).ok();
            }
            child.wait().ok();
        }
    }

    /// Stops its time.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets its time go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// Returns whether it ended by itself.
    pub(crate) fn has_failed(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| !matches!(child.try_wait(), Ok(None)))
    }

    /// Signals it, then what it started: PostgreSQL has a process for each connection.
    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            kill_process(pid, signal).ok();
        }
        for pid in self.started() {
            // One that has ended meanwhile needs no signal.
            kill_process(pid, signal).ok();
        }
    }

    fn pid(&self) -> Option<Pid> {
        let id = i32::try_from(self.child.as_ref()?.id()).ok()?;
        Pid::from_raw(id)
    }

    /// Returns the processes that it started, as Linux lists them: proc(5),
    /// `/proc/pid/task/tid/children`.
    fn started(&self) -> Vec<Pid> {
        let list = self.pid().and_then(|pid| {
            let id = pid.as_raw_nonzero();
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()
        });
        let list = list.unwrap_or_default();
        let ids = list.split_whitespace().filter_map(|id| id.parse().ok());
        ids.filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
    }
}
