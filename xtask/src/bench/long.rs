//! The long runs: `cargo xtask bench soak`, a hub under mixed load whose memory must stay flat, and
//! `cargo xtask bench crash`, a hub that is killed repeatedly and must lose nothing.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use super::hub::{Hub, Settings};
use super::plot;
use super::series::Samples;
use super::{Size, build, record};

/// The samples of a run, which are kept in the repository.
const SAMPLES: &str = "bench/soak.jsonl";
const PLOT: &str = "docs/soak.svg";
/// Figures of the samples: name, whether it must be flat, the factor to its unit, and the unit.
const FIGURES: &[(&str, Flat, f64, &str)] = &[
    ("resident_bytes", Flat::Must, 1.0 / 1048576.0, "MiB"),
    ("data_bytes", Flat::Must, 1.0 / 1048576.0, "MiB"),
    ("open_files", Flat::Must, 1.0, ""),
    ("subscribers", Flat::May, 1.0, ""),
];
/// How long a hub runs before it is killed, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 100..4000;
/// The time before the end of the load in which the hub is not killed.
const PEACE: Duration = Duration::from_secs(2);

/// Uses about a sixth of a core for the hub, with updates so large that slow readers fall behind.
const SOAK_LOAD: &[&str] = &[
    "--subscribers=300",
    "--rate=150",
    "--burst=500",
    "--data-bytes=1000",
];
/// More updates and fewer subscribers: what counts is what is in flight when the hub is killed.
const CRASH_LOAD: &[&str] = &[
    "--subscribers=150",
    "--publishers=32",
    "--rate=400",
    "--burst=300",
    "--burst-every=3",
    "--storm-every=20",
];
const SMALL_LOAD: &[&str] = &[
    "--subscribers=40",
    "--topics=4",
    "--publishers=4",
    "--rate=50",
    "--burst=50",
    "--burst-every=2",
    "--storm-every=3",
    "--sample-every=1",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flat {
    Must,
    May,
}

/// Soaks a hub for `secs` seconds. Returns the problems.
///
/// # Errors
///
/// If the hub cannot be built or started, or the results cannot be written.
pub fn soak(root: &Path, size: Size, secs: u64, seed: u64) -> anyhow::Result<Vec<String>> {
    let hub = Hub::start(&build(root, size)?, Settings::Soak)?;
    let samples = match size {
        Size::Full => root.join(SAMPLES),
        Size::Small => hub.data().with_file_name("soak.jsonl"),
    };
    let mut arguments = vec![format!("--secs={secs}"), format!("--seed={seed}")];
    arguments.extend([
        "--keeps=60".to_owned(),
        format!("--samples={}", samples.display()),
    ]);
    arguments.extend(load(size, SOAK_LOAD));
    let outside = [
        format!("--pid={}", hub.pid()),
        format!("--metrics={}", hub.metrics()),
        format!("--data={}", hub.data().display()),
    ];
    let child = hub.soak(&arguments).args(outside).spawn();
    let (report, mut problems) = read_report(child.context("cannot run tidings-bench")?)?;
    let samples = Samples::read(&samples)?;
    let (table, unsteady) = steadiness(&samples);
    println!("{}\n{table}", flaws_table(&report));
    if size == Size::Full {
        problems.extend(unsteady);
        draw(root)?;
        let minutes = samples.series("ms").points.last().map(|point| point.0);
        let figure = |name| number(&report, name);
        let mean = |name| samples.series(name).steadiness().map(|steady| steady.mean);
        let rise = |name: &str| {
            samples
                .series(name)
                .steadiness()
                .map(|steady| 100.0 * steady.rise)
        };
        record(
            root,
            &[
                ("soak_minutes", "", minutes),
                ("soak_acknowledged", "", figure("acknowledged")),
                ("soak_deliveries", "", figure("deliveries")),
                ("soak_flaws", "", Some(flaws(&report))),
                ("soak_memory", "bytes", mean("resident_bytes")),
                ("soak_memory_rise", "%", rise("resident_bytes")),
                ("soak_history_rise", "%", rise("data_bytes")),
                ("soak_cpu", "%", figure("server_busy")),
            ],
        )?;
    }
    Ok(problems)
}

/// Draws the samples of the last soak again.
///
/// # Errors
///
/// If there are no samples, or the picture cannot be written.
pub fn draw(root: &Path) -> anyhow::Result<()> {
    let samples = Samples::read(&root.join(SAMPLES))?;
    let minutes = samples
        .series("ms")
        .points
        .last()
        .map_or(0.0, |point| point.0);
    let subscribers = samples.series("subscribers").steadiness();
    let title = format!(
        "tidings under mixed load: {minutes:.0} minutes, {:.0} subscribers, {:.1} million deliveries",
        subscribers.map_or(0.0, |subscribers| subscribers.max),
        samples.series("delivered").last() / 1e6,
    );
    let path = root.join(PLOT);
    fs::write(&path, plot::draw(&samples, &title))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Repeatedly kills a hub under load for `secs` seconds. Returns the problems.
///
/// # Errors
///
/// If the hub cannot be built or started, or the results cannot be written.
pub fn crash(root: &Path, size: Size, secs: u64, seed: u64) -> anyhow::Result<Vec<String>> {
    let mut hub = Hub::start(&build(root, size)?, Settings::Crash)?;
    let mut arguments = vec![format!("--secs={secs}"), format!("--seed={seed}")];
    arguments.push("--restarts".to_owned());
    arguments.extend(load(size, CRASH_LOAD));
    let child = hub.soak(&arguments).spawn();
    let mut child = child.context("cannot run tidings-bench")?;
    let end = Instant::now() + Duration::from_secs(secs).saturating_sub(PEACE);
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut crashes = 0.0;
    loop {
        let life = Duration::from_millis(rng.u64(LIFE_MS));
        if Instant::now() + life > end || child.try_wait()?.is_some() {
            break;
        }
        std::thread::sleep(life);
        let crashed = hub.crash();
        if crashed.is_err() {
            // The generator must not wait for a hub that does not come back.
            let _killed = child.kill();
        }
        crashed?;
        crashes += 1.0;
    }
    let (report, mut problems) = read_report(child)?;
    println!("crashes {crashes}, seed {seed}\n{}", flaws_table(&report));
    if crashes == 0.0 {
        problems.push("the hub was never killed".to_owned());
    }
    if size == Size::Full {
        record(
            root,
            &[
                ("crash_rounds", "", Some(crashes)),
                ("crash_acknowledged", "", number(&report, "acknowledged")),
                ("crash_unanswered", "", number(&report, "unanswered")),
                ("crash_deliveries", "", number(&report, "deliveries")),
                ("crash_resumed", "", number(&report, "resumed")),
                ("crash_flaws", "", Some(flaws(&report))),
            ],
        )?;
    }
    Ok(problems)
}

fn load(size: Size, full: &[&str]) -> Vec<String> {
    let options = match size {
        Size::Full => full,
        Size::Small => SMALL_LOAD,
    };
    options.iter().map(|option| (*option).to_owned()).collect()
}

/// Waits for the generator and reads its report, which it prints even if deliveries were wrong.
fn read_report(child: Child) -> anyhow::Result<(Value, Vec<String>)> {
    let output = child
        .wait_with_output()
        .context("cannot wait for tidings-bench")?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .context("tidings-bench soak printed no report; its error is above")?;
    ensure!(report.get("figures").is_some(), "the report has no figures");
    let problems = match output.status.success() {
        true => Vec::new(),
        false => vec![format!(
            "{} deliveries or updates are wrong",
            flaws(&report)
        )],
    };
    Ok((report, problems))
}

/// Returns the number of wrong deliveries in a report. A report that does not say counts as one.
pub(super) fn flaws(report: &Value) -> f64 {
    report.get("flaws").and_then(Value::as_f64).unwrap_or(1.0)
}

pub(super) fn number(report: &Value, name: &str) -> Option<f64> {
    report.get("figures")?.get(name)?.get("value")?.as_f64()
}

pub(super) fn flaws_table(report: &Value) -> String {
    let title = report
        .get("title")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut table = format!("{title}\n");
    for (name, figure) in report
        .get("figures")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let value = figure
            .get("value")
            .and_then(Value::as_f64)
            .unwrap_or_default();
        let unit = figure
            .get("unit")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let value = if value.fract() == 0.0 {
            format!("{value:.0}")
        } else {
            format!("{value:.3}")
        };
        table.push_str(format!("  {name:24} {value:>14} {unit}").trim_end());
        table.push('\n');
    }
    table
}

/// Returns a table of the last two thirds of the samples, and the problems in it.
fn steadiness(samples: &Samples) -> (String, Vec<String>) {
    let mut table = format!(
        "  {:24} {:>10} {:>10} {:>10} {:>8}  over the last two thirds\n",
        "figure", "min", "mean", "max", "rise"
    );
    let mut problems = Vec::new();
    for (name, flat, factor, unit) in FIGURES {
        let Some(steady) = samples.series(name).times(*factor).steadiness() else {
            problems.push(format!("{name}: the samples lack this figure"));
            continue;
        };
        let rise = format!("{:+.1} %", 100.0 * steady.rise);
        let (min, mean, max) = (steady.min, steady.mean, steady.max);
        let line = format!("  {name:24} {min:>10.1} {mean:>10.1} {max:>10.1} {rise:>8}  {unit}");
        table.push_str(line.trim_end());
        table.push('\n');
        if *flat == Flat::Must && !steady.is_flat() {
            problems.push(format!("{name} is not flat: it rose by {rise}"));
        }
    }
    (table, problems)
}
