//! A hub with an empty history that joins a cluster whose engine has little left: how long it takes to get
//! the rest from the other hub.

use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use serde_json::{Value, json};

use super::Size;
use super::cluster::EngineKind;
use super::hub::{Hub, Settings};

const FETCHED: &str = "tidings_cluster_fetched_updates_total";
const SETTINGS: Settings = Settings::Keeper(EngineKind::Redis);

/// Fills the history of one hub, starts another one, and waits until that is ready. Returns figures in the
/// format of `tidings-bench`.
///
/// # Errors
///
/// If something does not start, or the second hub had nothing to fetch.
pub fn run(binary: &Path, size: Size) -> anyhow::Result<Value> {
    // Enough that the engine does not have the first ones any more.
    let load: &[&str] = match size {
        Size::Full => &["--publishers=64", "--updates=400000"],
        Size::Small => &["--publishers=4", "--updates=600", "--data-bytes=65536"],
    };
    let keeper = Hub::start(binary, SETTINGS)?;
    keeper.bench(&[&["publish"], load].concat())?;
    let begin = Instant::now();
    let later = keeper.later(SETTINGS)?;
    let took = begin.elapsed().as_secs_f64();
    let fetched = later.metric(FETCHED)?;
    ensure!(fetched > 0, "the engine still had everything");
    Ok(json!({"figures": {
        "fetched": {"value": fetched, "unit": ""},
        "ready": {"value": 1e3 * took, "unit": "ms"},
        "updates_per_second": {"value": fetched as f64 / took, "unit": "/s"},
    }}))
}
