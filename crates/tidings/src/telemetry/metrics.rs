//! The metrics of the process itself, under the names that every Prometheus client library uses, and of the
//! build. Those of the hub are in `tidings-hub`.

pub(crate) mod reference;

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::output;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
    /// The version with the commit and its date. Empty unless it is a release build of a checkout.
    built_from: &'static str,
}

/// Registers what is counted outside the hub.
pub(crate) fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Process));
    let own = registry.sub_registry_with_prefix("tidings");
    let build = Build {
        version: env!("CARGO_PKG_VERSION"),
        built_from: option_env!("TIDINGS_BUILT_FROM").unwrap_or_default(),
    };
    own.register("build", "The running program", Info::new(build));
    output::register(own);
}

/// Reads the figures of this process from the system, each time that the metrics are read.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        // What the system does not tell is left out.
        if let Some(stat) = Stat::read() {
            let cpu = ConstCounter::new(stat.cpu_secs);
            let help = "CPU time of the process, user and system.";
            seconds(&mut encoder, "process_cpu", help, &cpu)?;
            let resident = ConstGauge::new(stat.resident_bytes);
            let help = "Memory of the process in RAM.";
            bytes(&mut encoder, "process_resident_memory", help, &resident)?;
            if let Some(start) = stat.start_secs {
                let start = ConstGauge::new(start);
                let help = "When the process started, since the Unix epoch.";
                seconds(&mut encoder, "process_start_time", help, &start)?;
            }
        }
        if let Some(open) = open_files() {
            let help = "File descriptors that are open.";
            plain(&mut encoder, "process_open_fds", help, open)?;
        }
        if let Some(max) = getrlimit(Resource::Nofile).current {
            let help = "File descriptors that may be open.";
            plain(&mut encoder, "process_max_fds", help, max)?;
        }
        Ok(())
    }
}

fn seconds(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    let unit = Some(&Unit::Seconds);
    metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
}

fn bytes(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    let unit = Some(&Unit::Bytes);
    metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
}

fn plain(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> Result<(), fmt::Error> {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

/// What `/proc` tells of this process; proc(5).
struct Stat {
    cpu_secs: f64,
    resident_bytes: u64,
    start_secs: Option<f64>,
}

impl Stat {
    fn read() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        let system = fs::read_to_string("/proc/stat").ok();
        Self::parse(&own, system.as_deref())
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric is a float")]
    fn parse(own: &str, system: Option<&str>) -> Option<Self> {
        // The name of the program, in parentheses, may hold anything. The state comes after it: field 3.
        let (_, fields) = own.rsplit_once(") ")?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let secs = |ticks: u64| ticks as f64 / clock_ticks_per_second() as f64;
        let boot = system.and_then(|system| {
            let line = system
                .lines()
                .find_map(|line| line.strip_prefix("btime "))?;
            line.trim().parse::<u64>().ok()
        });
        let started = secs(field(22)?);
        Some(Self {
            cpu_secs: secs(field(14)? + field(15)?),
            resident_bytes: field(24)?.saturating_mul(page_size() as u64),
            start_secs: boot.map(|boot| boot as f64 + started),
        })
    }
}

/// Returns how many files are open. Since Linux 6.2 the folder's size tells; counting a hundred thousand
/// entries would hold up the shard.
fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    let size = fs::metadata(FOLDER).ok()?.len();
    if size > 0 {
        return Some(size);
    }
    let open = fs::read_dir(FOLDER).ok()?.count();
    // Without the one that reads the folder.
    Some(open.saturating_sub(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_move_the_fields() {
        let numbers: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        let own = format!("1 (a) b (c)) S {}", numbers.join(" "));
        let stat = Stat::parse(&own, Some("cpu 1 2\nbtime 1000\n")).unwrap();
        let ticks = clock_ticks_per_second() as f64;
        assert_eq!(stat.cpu_secs, 29.0 / ticks);
        assert_eq!(stat.resident_bytes, 24 * page_size() as u64);
        assert_eq!(stat.start_secs, Some(1000.0 + 22.0 / ticks));
    }

    #[test]
    fn a_truncated_stat_is_none() {
        assert!(Stat::parse("1 (a) S 4 5 6", None).is_none());
        assert!(Stat::parse("", None).is_none());
    }
}
