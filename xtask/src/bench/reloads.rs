//! `cargo xtask bench reload`: a hub with many event streams reads a changed configuration again and
//! again. No stream may end, and an update after each reload must reach all of them.

use std::path::Path;

use super::hub::{Hub, Settings};
use super::restarts::figure;
use super::{Size, build, record};

/// For a quick run.
pub const SMALL: Load = Load {
    reloads: 6,
    streams: 30,
};

/// Figures that go into the results.
const FIGURES: &[(&str, &str, &str)] = &[
    ("reload_streams", "streams", ""),
    ("reload_deliveries", "deliveries", ""),
    ("reload_lost", "lost", ""),
    ("reload_p50", "reload_p50", "ms"),
    ("reload_max", "reload_max", "ms"),
    ("reload_memory_before", "memory_before", "bytes"),
    ("reload_memory_after", "memory_after", "bytes"),
];

/// How many reloads, with how many streams.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub reloads: usize,
    pub streams: usize,
}

/// Reloads a hub under load. Returns what went wrong; a stream that ends is an error.
///
/// # Errors
///
/// If the hub cannot be built or started, a reload fails, or the results cannot be written.
pub fn reload(root: &Path, size: Size, load: Load) -> anyhow::Result<Vec<String>> {
    let hub = Hub::start(&build(root, size)?, Settings::Restart)?;
    let Load { reloads, streams } = load;
    let report = hub.reloads(&[
        &format!("--subscribers={streams}"),
        &format!("--reloads={reloads}"),
    ])?;
    let figures: Vec<_> = FIGURES
        .iter()
        .map(|(row, name, unit)| (*row, *unit, figure(&report, name)))
        .collect();
    for (row, unit, value) in &figures {
        println!("  {row:24} {:>14.1} {unit}", value.unwrap_or_default());
    }
    if size == Size::Full {
        record(root, &figures)?;
    }
    let missing = figures.iter().filter(|(_, _, value)| value.is_none());
    Ok(missing
        .map(|(row, ..)| format!("{row}: no run reported this figure"))
        .collect())
}
