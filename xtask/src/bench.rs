//! `cargo xtask bench`: a hub on one core, `tidings-bench` on another, and the figures beside their
//! targets.
//!
//! This file has the runs, the targets, starting the hub, the table and `bench/results.jsonl`. The
//! measuring is in `tidings-load`. A missed target is printed but is not an error: machines differ,
//! and only the trend matters. A run that fails is an error.

pub mod cluster;
mod fetches;
mod ghosts;
mod hub;
pub mod long;
mod plot;
pub mod reloads;
pub mod restarts;
mod rows;
mod runs;
mod series;

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use hub::Hub;
use rows::{ROWS, Row, verdict};
use runs::{RUNS, Run};

/// The size of the runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// The sizes for which the targets are defined, with a release build. About five minutes.
    Full,
    /// Sizes so small that only completeness is tested, with a debug build. A few seconds.
    Small,
}

/// Seconds of each long run in its small form.
const SMALL_SECS: u64 = 8;

/// The runs with presence: the normal one, and the one with a crash.
const PRESENCE: &str = "presence";
const GHOSTS: &str = "presence_crash";
/// The run with a hub that comes to a cluster later.
const FETCHES: &str = "cluster_fetches";

/// Returns the valid names for `only`.
pub fn run_names() -> Vec<&'static str> {
    let runs = RUNS.iter().map(|run| run.name);
    runs.chain([FETCHES]).collect()
}

/// Runs everything, or only the runs named in `only`. Returns the problems; missed targets are only
/// printed.
///
/// # Errors
///
/// If the hub cannot be built or started, or the results cannot be written.
pub fn run(root: &Path, size: Size, only: &[String]) -> anyhow::Result<Vec<String>> {
    let binary = build(root, size)?;
    let mut problems = Vec::new();
    let mut reports: Vec<(&str, Value)> = Vec::new();
    let arguments = |run: &Run| match size {
        Size::Full => run.full,
        Size::Small => run.small,
    };
    let left_out = |name: &str| {
        let mut runs = RUNS.iter();
        runs.any(|run| run.name == name && arguments(run).is_empty())
    };
    let wanted =
        |name: &str| (only.is_empty() || only.iter().any(|one| one == name)) && !left_out(name);
    for run in RUNS.iter().filter(|run| wanted(run.name)) {
        let hub = Hub::start(&binary, run.settings)?;
        let arguments = arguments(run);
        match hub.bench(arguments) {
            Ok(report) => reports.push((run.name, report)),
            Err(error) => problems.push(format!("{}: {error:#}", run.name)),
        }
    }
    type Special = fn(&Path, Size) -> anyhow::Result<Value>;
    let special: [(&str, &str, Special); 2] = [
        (PRESENCE, GHOSTS, ghosts::run),
        (FETCHES, FETCHES, fetches::run),
    ];
    for (_, name, run) in special.iter().filter(|(asked, ..)| wanted(asked)) {
        match run(&binary, size) {
            Ok(report) => reports.push((name, report)),
            Err(error) => problems.push(format!("{name}: {error:#}")),
        }
    }
    let wanted = |name: &str| wanted(if name == GHOSTS { PRESENCE } else { name });
    let measured: Vec<(&Row, Option<f64>)> = (ROWS.iter())
        .filter(|row| row.runs().all(wanted))
        .map(|row| (row, row.value(&reports)))
        .collect();
    println!("{}", table(&measured, size));
    for (row, value) in &measured {
        if value.is_none() {
            problems.push(format!("{}: no run reported this figure", row.name));
        }
    }
    match size {
        Size::Full => {
            let figures: Vec<_> = (measured.iter())
                .map(|(row, value)| (row.name, row.unit, *value))
                .collect();
            record(root, &figures)?;
        }
        Size::Small if !only.is_empty() => {}
        Size::Small => {
            problems.extend(long::soak(root, size, SMALL_SECS, 1)?);
            problems.extend(long::crash(root, size, SMALL_SECS, 1)?);
            problems.extend(restarts::restart(root, size, 2)?);
            problems.extend(reloads::reload(root, size, reloads::SMALL)?);
        }
    }
    Ok(problems)
}

fn build(root: &Path, size: Size) -> anyhow::Result<std::path::PathBuf> {
    let (arguments, folder): (&[&str], _) = match size {
        Size::Full => (
            &["build", "-ptidings", "-ptidings-bench", "--release"],
            "release",
        ),
        // The whole workspace, as in continuous integration: fewer packages enable fewer features of
        // their dependencies, which would be compiled again.
        Size::Small => (&["build", "--workspace", "--bins", "--locked"], "debug"),
    };
    let status = Command::new("cargo")
        .args(arguments)
        .current_dir(root)
        .status();
    let status = status.context("cannot run cargo")?;
    ensure!(status.success(), "cannot build the hub");
    Ok(root.join("target").join(folder).join("tidings"))
}

fn table(measured: &[(&Row, Option<f64>)], size: Size) -> String {
    let mut table = format!(
        "{:>6}  {:34} {:>14}  {}\n",
        "target", "figure", "measured", "wanted"
    );
    for (row, value) in measured {
        let value_text = value.map_or("-".to_owned(), |value| rows::number(value, row.unit));
        let wanted = match size {
            Size::Full => verdict(row, *value),
            Size::Small => String::new(),
        };
        let line = format!(
            "{:>6}  {:34} {value_text:>14}  {wanted}",
            row.target, row.name
        );
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// Appends a line for each figure to the results.
fn record(root: &Path, figures: &[(&str, &str, Option<f64>)]) -> anyhow::Result<()> {
    let commit = commit(root)?;
    let date = output(root, "date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"])?;
    let machine = machine();
    let folder = root.join("bench");
    fs::create_dir_all(&folder).context("cannot create the folder bench")?;
    let path = folder.join("results.jsonl");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    for (name, unit, value) in figures {
        if let Some(value) = value {
            let line = json!({
                "commit": commit, "date": date, "machine": machine,
                "name": name, "value": value, "unit": unit,
            });
            writeln!(file, "{line}").context("cannot write the results")?;
        }
    }
    Ok(())
}

/// Returns the short name of the commit, with a plus sign if the working tree differs from it.
fn commit(root: &Path) -> anyhow::Result<String> {
    let commit = output(root, "git", &["rev-parse", "--short", "HEAD"])?;
    let changes = output(
        root,
        "git",
        &["status", "--porcelain", "--untracked-files=no"],
    )?;
    Ok(if changes.is_empty() {
        commit
    } else {
        format!("{commit}+")
    })
}

fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown", |(_, model)| model);
    format!("{model}, {} cores", hub::cores())
}

fn output(root: &Path, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output();
    let output = output.with_context(|| format!("cannot run {program}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
