//! `cargo xtask bench cluster`: the audit of a cluster. Its hubs and their engine are killed, paused and
//! cut off, and afterwards every acknowledged update must be there once, on each hub.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::Value;

use super::long::{flaws, flaws_table, number};
use super::{Size, build, record};
use crate::deps;

const LOAD: &[&str] = &["--subscribers=60", "--publishers=32", "--rate=200"];
const SMALL_LOAD: &[&str] = &["--subscribers=30", "--publishers=16", "--rate=100"];

/// What orders the updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// One server of Redis.
    Redis,
    /// One server of PostgreSQL.
    Postgresql,
    /// Three servers of NATS.
    Nats,
}

impl EngineKind {
    /// Returns its name as the configuration of a hub has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgresql => "postgresql",
            Self::Nats => "nats",
        }
    }

    /// Returns the server's program, as `cargo xtask deps` installs it.
    pub fn program(self, root: &Path) -> PathBuf {
        match self {
            Self::Redis => "redis-server".into(),
            Self::Postgresql => deps::postgresql("postgres"),
            Self::Nats => deps::of_wheel(root, "nats-server"),
        }
    }
}

/// Figures that go into the results.
const FIGURES: &[(&str, &str, &str)] = &[
    ("audit_acknowledged", "acknowledged", ""),
    ("audit_deliveries", "deliveries", ""),
    ("audit_moves", "moves", ""),
    ("audit_hubs_killed", "hubs_killed", ""),
    ("audit_hubs_paused", "hubs_paused", ""),
    ("audit_hubs_cut_off", "hubs_cut_off", ""),
    ("audit_hubs_held_up", "hubs_held_up", ""),
    ("audit_engine_killed", "engine_killed", ""),
    ("audit_engine_paused", "engine_paused", ""),
    ("audit_publish_p99", "publish_p99", "ms"),
    ("audit_publish_max", "publish_max", "ms"),
];

/// Audits clusters for `secs` seconds, all at the same time: one with each engine. Returns the problems.
///
/// # Errors
///
/// If the programs cannot be built or run, or the results cannot be written.
pub fn audit(
    root: &Path,
    size: Size,
    secs: u64,
    seed: u64,
    engines: &[EngineKind],
) -> anyhow::Result<Vec<String>> {
    let program = build(root, size)?;
    let run = |engine: EngineKind| audit_one(root, &program, size, (secs, seed), engine);
    let outputs: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = engines
            .iter()
            .map(|engine| (*engine, scope.spawn(move || run(*engine))))
            .collect();
        started
            .into_iter()
            .map(|(engine, audit)| (engine, audit.join()))
            .collect()
    });
    let mut problems = Vec::new();
    for (engine, output) in outputs {
        let name = engine.name();
        let output = output.map_err(|_panic| anyhow::anyhow!("the audit of {name} panicked"))?;
        problems.extend(judge(root, size, seed, engine, &output?)?);
    }
    Ok(problems)
}

fn audit_one(
    root: &Path,
    program: &Path,
    size: Size,
    (secs, seed): (u64, u64),
    engine: EngineKind,
) -> anyhow::Result<Output> {
    Command::new(program.with_file_name("tidings-bench"))
        .args(["cluster", "--json", "--program"])
        .arg(program)
        .args(["--engine", engine.name(), "--engine-program"])
        .arg(engine.program(root))
        .args([format!("--secs={secs}"), format!("--seed={seed}")])
        .args(match size {
            Size::Full => LOAD,
            Size::Small => SMALL_LOAD,
        })
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run tidings-bench")
}

fn judge(
    root: &Path,
    size: Size,
    seed: u64,
    engine: EngineKind,
    output: &Output,
) -> anyhow::Result<Option<String>> {
    let name = engine.name();
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("tidings-bench cluster printed no report for {name}; its error is above")
    })?;
    println!("{name}, seed {seed}\n{}", flaws_table(&report));
    if size == Size::Full {
        let figures: Vec<_> = FIGURES
            .iter()
            .map(|(row, figure, unit)| {
                (
                    format!("{row}{}", suffix(engine)),
                    *unit,
                    number(&report, figure),
                )
            })
            .collect();
        let figures: Vec<_> = figures
            .iter()
            .map(|(row, unit, number)| (row.as_str(), *unit, *number))
            .collect();
        record(root, &figures)?;
    }
    let wrong = flaws(&report);
    let failed = wrong > 0.0 || !output.status.success();
    Ok(failed.then(|| format!("{name}: {wrong} flaws, with seed {seed}")))
}

/// The names of figures had no engine while there was one.
const fn suffix(engine: EngineKind) -> &'static str {
    match engine {
        EngineKind::Redis => "",
        EngineKind::Postgresql => "_postgresql",
        EngineKind::Nats => "_nats",
    }
}
