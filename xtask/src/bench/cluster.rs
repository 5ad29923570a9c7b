//! `cargo xtask bench cluster`: the audit of a cluster. Its hubs and their engine are killed, paused and
//! cut off, and afterwards every acknowledged update must be there once, on each hub.

use std::path::Path;
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use super::long::{flaws, flaws_table, number};
use super::{Size, build, record};

const LOAD: &[&str] = &["--subscribers=60", "--publishers=32", "--rate=200"];
const SMALL_LOAD: &[&str] = &["--subscribers=30", "--publishers=16", "--rate=100"];

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

/// Audits a cluster for `secs` seconds. Returns the problems.
///
/// # Errors
///
/// If the programs cannot be built or run, or the results cannot be written.
pub fn audit(root: &Path, size: Size, secs: u64, seed: u64) -> anyhow::Result<Vec<String>> {
    let program = build(root, size)?;
    let output = Command::new(program.with_file_name("tidings-bench"))
        .args(["cluster", "--json", "--program"])
        .arg(&program)
        .args([format!("--secs={secs}"), format!("--seed={seed}")])
        .args(match size {
            Size::Full => LOAD,
            Size::Small => SMALL_LOAD,
        })
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run tidings-bench")?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .context("tidings-bench cluster printed no report; its error is above")?;
    println!("seed {seed}\n{}", flaws_table(&report));
    if size == Size::Full {
        let figures: Vec<_> = FIGURES
            .iter()
            .map(|(row, name, unit)| (*row, *unit, number(&report, name)))
            .collect();
        record(root, &figures)?;
    }
    let wrong = flaws(&report);
    Ok(match wrong > 0.0 || !output.status.success() {
        true => vec![format!("{wrong} flaws, with seed {seed}")],
        false => Vec::new(),
    })
}
