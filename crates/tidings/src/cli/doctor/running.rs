//! The hub that runs: its limit of open files, and whether its configuration is that of its file.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::socket_peercred;

use super::{Finding, PATIENCE};
use crate::config::Config;
use crate::control::message::{KeyChange, Reloaded, Request, read_line, write_line};
use crate::control::socket;

const CHECK: &str = "running hub";

/// The hub that runs in a data folder, if one does.
pub(super) struct Running(io::Result<Option<UnixStream>>);

impl Running {
    /// Looks for the hub of a configuration.
    pub(super) fn find(config: &Config) -> Self {
        Self(socket::connect(&config.data_dir))
    }

    /// Returns whether there is surely none.
    pub(super) fn is_none(&self) -> bool {
        matches!(self.0, Ok(None))
    }

    /// Returns how many files the hub may have open, if one runs. A service's limit is not that of a shell.
    pub(super) fn open_files_max(&self) -> Option<u64> {
        let stream = self.0.as_ref().ok()?.as_ref()?;
        let pid = socket_peercred(stream).ok()?.pid.as_raw_nonzero();
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
        let line = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max open files"))?;
        // Soft, then hard; the hub raises the first to the second.
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// Compares the configuration of the hub with its file.
    pub(super) fn check(self) -> Vec<Finding> {
        let stream = match self.0 {
            Ok(Some(stream)) => stream,
            Ok(None) => return vec![Finding::ok(CHECK, "none runs with this data folder")],
            Err(error) => {
                return vec![Finding::warning(
                    CHECK,
                    format!("its control socket cannot be used: {error}"),
                    "its configuration cannot be compared with the file",
                    "run this command as the user that runs the hub",
                )];
            }
        };
        match ask(stream) {
            Ok(compared) => compare(compared),
            Err(error) => vec![Finding::warning(
                CHECK,
                format!("it did not compare its configuration with the file: {error}"),
                "it may be of an older version, or busy",
                "ask again, or restart it with this version",
            )],
        }
    }
}

fn ask(mut stream: UnixStream) -> io::Result<Reloaded> {
    stream.set_read_timeout(Some(PATIENCE))?;
    write_line(&mut stream, &Request::Compare)?;
    read_line(&mut stream)
}

fn compare(compared: Reloaded) -> Vec<Finding> {
    let Reloaded {
        applied,
        needs_restart,
        errors,
    } = compared;
    let restart = "restart the hub, or start the next one with --take-over";
    let differ = |changes: Vec<KeyChange>, change: &'static str| {
        let changes = changes.into_iter();
        changes.map(move |one| difference(one, change))
    };
    let mut findings: Vec<Finding> = differ(applied, "tidings reload").collect();
    findings.extend(differ(needs_restart, restart));
    findings.extend(errors.into_iter().map(|error| {
        let why = "the next start or reload fails";
        let change = super::line_of(&error);
        Finding::problem(CHECK, error.as_str(), why, change)
    }));
    if findings.is_empty() {
        findings.push(Finding::ok(CHECK, "it does what its file says"));
    }
    findings
}

fn difference(one: KeyChange, change: &str) -> Finding {
    let value = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
    let KeyChange { key, old, new } = one;
    let (old, new) = (value(old), value(new));
    Finding::warning(
        CHECK,
        format!("{key} is {old} and its file says {new}"),
        "the hub does not do what its file says",
        change,
    )
}
