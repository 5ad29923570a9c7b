//! The results of a matching benchmark.

use std::collections::HashSet;

use crate::clock::{as_f64, as_ms};
use crate::histogram::Histogram;
use crate::load::counts::Delivery;
use crate::report::Report;

use super::BYSTANDER;
use super::crowd::Crowd;

/// Updates published one by one to new topics.
#[derive(Debug, Default)]
pub(super) struct Series {
    pub(super) updates: u64,
    /// From publishing to the bystander's receipt.
    pub(super) latency: Histogram,
    pub(super) cpu_ns: Option<u64>,
}

/// All measurements.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Without subscriptions, before and after.
    pub(super) none: Series,
    /// With all subscriptions.
    pub(super) with: Series,
    /// The bystander's latency while nobody subscribes, while all subscribe, and after all have
    /// left at once.
    pub(super) quiet: Histogram,
    pub(super) joining: Histogram,
    pub(super) leaving: Histogram,
    pub(super) join_ns: u64,
    pub(super) leave_ns: u64,
    /// Resident memory: before, with all subscriptions, and after each wave.
    pub(super) memory: Vec<Option<u64>>,
}

impl Series {
    fn cpu_us(&self) -> Option<f64> {
        Some(as_f64(self.cpu_ns?) / as_f64(self.updates.max(1)) / 1e3)
    }
}

impl Figures {
    pub(super) fn tell(&self, report: &mut Report, subscriptions: usize) {
        report.add("subscriptions", as_f64(subscriptions as u64), "");
        let series = [("none", &self.none), ("with", &self.with)];
        for (name, series) in series {
            for (percentile, share) in [("p50", 0.5), ("p99", 0.99)] {
                let us = as_ms(series.latency.quantile(share)) * 1e3;
                report.add(format!("publish_{name}_{percentile}"), us, "µs");
            }
            if let Some(cpu) = series.cpu_us() {
                report.add(format!("publish_{name}_cpu"), cpu, "µs");
            }
        }
        let median = |series: &Series| as_ms(series.latency.quantile(0.5)) * 1e3;
        let extra = median(&self.with) - median(&self.none);
        report.add("publish_extra_p50", extra, "µs");
        if let (Some(with), Some(none)) = (self.with.cpu_us(), self.none.cpu_us()) {
            report.add("publish_extra_cpu", with - none, "µs");
        }
        report.add("join_total", as_ms(self.join_ns), "ms");
        report.add("leave_total", as_ms(self.leave_ns), "ms");
        for (name, latency) in [
            ("bystander_quiet", &self.quiet),
            ("bystander_joining", &self.joining),
            ("bystander_leaving", &self.leaving),
        ] {
            for (percentile, ms) in latency.percentiles_ms() {
                if ["p50", "p99", "max"].contains(&percentile) {
                    report.add(format!("{name}_{percentile}"), ms, "ms");
                }
            }
        }
        self.tell_memory(report, subscriptions);
    }

    fn tell_memory(&self, report: &mut Report, subscriptions: usize) {
        let memory: Option<Vec<f64>> = (self.memory.iter())
            .map(|bytes| bytes.map(as_f64))
            .collect();
        let Some([before, with, after, waves @ ..]) = memory.as_deref() else {
            return;
        };
        report.add("memory_before", *before, "bytes");
        report.add("memory_with", *with, "bytes");
        report.add("memory_after", *after, "bytes");
        for (wave, bytes) in (2..).zip(waves) {
            report.add(format!("memory_after_wave_{wave}"), *bytes, "bytes");
        }
        let taken = with - before;
        report.add(
            "memory_per_subscription",
            taken / as_f64(subscriptions as u64),
            "bytes",
        );
        report.add("memory_kept", 100.0 * (after - before) / taken, "%");
        // The first wave may leave holes that the second one fills; after that nothing may grow.
        if let ([second, ..], [.., last]) = (waves, waves) {
            report.add("memory_kept_more", 100.0 * (last - second) / taken, "%");
        }
    }
}

/// Deliveries that were wrong.
#[derive(Debug, Default)]
pub(super) struct Flaws {
    pub(super) expected: u64,
    arrived: u64,
    duplicates: u64,
    misrouted: u64,
    seen: HashSet<(usize, u32, u32)>,
}

impl Flaws {
    /// Checks whether a delivery reached the right subscriber.
    pub(super) fn note(&mut self, delivery: &Delivery, crowd: Option<&Crowd>) {
        let Delivery { account, mark, .. } = *delivery;
        let receiver = crowd.and_then(|crowd| crowd.receiver(mark.topic as usize));
        if account != BYSTANDER && receiver != Some(account) {
            self.misrouted += 1;
        } else if self.seen.insert((account, mark.topic, mark.number)) {
            self.arrived += 1;
        } else {
            self.duplicates += 1;
        }
    }

    pub(super) fn tell(&self, report: &mut Report) {
        report.add("deliveries", as_f64(self.arrived), "");
        let lost = self.expected.saturating_sub(self.arrived);
        report.add("lost", as_f64(lost), "");
        report.add("duplicates", as_f64(self.duplicates), "");
        report.add("misrouted", as_f64(self.misrouted), "");
    }
}
