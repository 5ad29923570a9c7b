//! The cost of a crash for a hub with presence: all subscriptions are active when it is killed, and
//! its next start publishes their end.

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::Size;
use super::hub::{Hub, Settings};

/// The maximum duration of each step.
const PATIENCE: Duration = Duration::from_secs(60);
/// The interval at which the hub's progress is checked.
const ASK_EVERY: Duration = Duration::from_millis(20);
const SAID: &str = "tidings_presence_events_total";

/// Opens all subscriptions, kills the hub, restarts it, and waits until it has published every end.
/// Returns figures in the format of `tidings-bench`.
///
/// # Errors
///
/// If something does not start, or makes no progress.
pub fn run(binary: &Path, size: Size) -> anyhow::Result<Value> {
    let (connections, matchers) = match size {
        Size::Full => (1000, 100),
        Size::Small => (4, 20),
    };
    let count = connections * matchers;
    let mut hub = Hub::start(binary, Settings::Presence)?;
    let mut crowd = hub.crowd(connections, matchers)?;
    let killed = kill(&mut hub, &mut crowd, count);
    // It ends together with the hub. If it did not, it is not needed any more.
    let _killed = crowd.kill();
    let _status = crowd.wait();
    killed
}

fn kill(hub: &mut Hub, crowd: &mut Child, count: usize) -> anyhow::Result<Value> {
    wait_until_said(hub, count, || match crowd.try_wait()? {
        Some(status) => bail!("the subscribers ended with {status}"),
        None => Ok(()),
    })?;
    let begin = Instant::now();
    hub.crash()?;
    let ready = begin.elapsed();
    wait_until_said(hub, count, || Ok(()))?;
    let told = begin.elapsed();
    let peak = status_bytes(hub.pid(), "VmHWM:")?;
    let ms = |time: Duration| json!({"value": 1e3 * time.as_secs_f64(), "unit": "ms"});
    Ok(json!({"figures": {
        "subscriptions": {"value": count, "unit": ""},
        "restart_ready": ms(ready),
        "restart_told": ms(told),
        "restart_memory_max": {"value": peak, "unit": "bytes"},
    }}))
}

/// Waits until the hub has published `count` presence events.
fn wait_until_said(
    hub: &Hub,
    count: usize,
    mut look: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = hub.metric(SAID)?;
        if said == count {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "{said} presence events instead of {count}"
        );
        look()?;
        std::thread::sleep(ASK_EVERY);
    }
}

/// Returns a figure about a process's memory; `/proc/PID/status`.
fn status_bytes(pid: u32, name: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(1024 * kib.with_context(|| format!("no {name} of the hub"))?)
}
