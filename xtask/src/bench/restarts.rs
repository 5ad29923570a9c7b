//! `cargo xtask bench restart`: one process takes over from another under load, every second time by
//! another file of the same build, as an upgrade does.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde_json::Value;

use super::hub::{Hub, Settings};
use super::{Size, build, record};

const LOAD: &[&str] = &["--subscribers=1000", "--rate=100", "--pause=1000"];
const SMALL_LOAD: &[&str] = &["--subscribers=30", "--rate=40", "--pause=100"];

/// Figures that go into the results.
const FIGURES: &[(&str, &str, &str)] = &[
    ("restart_acknowledged", "acknowledged", ""),
    ("restart_refused", "refused", ""),
    ("restart_lost", "lost", ""),
    ("restart_duplicates", "duplicates", ""),
    ("restart_publish_max", "publish_max", "ms"),
    ("restart_delivery_max", "delivery_max", "ms"),
    ("restart_away_max", "away_max", "ms"),
];

/// Restarts a hub under load. Returns what went wrong.
///
/// # Errors
///
/// If the hub cannot be built or started, or the results cannot be written.
pub fn restart(root: &Path, size: Size, restarts: usize) -> anyhow::Result<Vec<String>> {
    let binary = build(root, size)?;
    let hub = Hub::start(&binary, Settings::Restart)?;
    let other = hub.data().with_file_name("tidings-next");
    fs::copy(&binary, &other).context("cannot copy the binary")?;
    let load = match size {
        Size::Full => LOAD,
        Size::Small => SMALL_LOAD,
    };
    let report = hub.restarts(load, restarts, &[&other, &binary])?;
    for (_, name, unit) in FIGURES {
        let value = figure(&report, name).unwrap_or_default();
        println!("  {name:24} {value:>14.1} {unit}");
    }
    if size == Size::Full {
        let figures: Vec<_> = FIGURES
            .iter()
            .map(|(row, name, unit)| (*row, *unit, figure(&report, name)))
            .collect();
        record(root, &figures)?;
    }
    let missing = FIGURES
        .iter()
        .filter(|(_, name, _)| figure(&report, name).is_none());
    Ok(missing
        .map(|(row, ..)| format!("{row}: no run reported this figure"))
        .collect())
}

/// Returns a figure of a report.
pub(super) fn figure(report: &Value, name: &str) -> Option<f64> {
    report.get("figures")?.get(name)?.get("value")?.as_f64()
}
