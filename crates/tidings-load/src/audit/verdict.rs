//! What the audit found.

use std::collections::HashMap;

use super::Options;
use super::chaos::Chaos;
use super::publisher::Publishers;
use super::site::{Entry, Line};
use super::subscriber::Subscribers;
use crate::clock::{as_f64, as_ms};
use crate::report::Report;

/// Compares what was acknowledged and received with what the hubs have.
pub(super) fn report(
    options: &Options,
    publishers: &Publishers,
    subscribers: &Subscribers,
    chaos: &Chaos,
    (lines, listed_wrong): (&[Line], usize),
) -> Report {
    let secs = options.duration.as_secs();
    let mut report = Report::new(format!(
        "{} hubs for {secs} s, {} subscribers, {} updates/s, seed {}",
        options.hubs, options.subscribers, options.rate, options.seed
    ));
    let line: &[Entry] = lines.first().map(Vec::as_slice).unwrap_or_default();
    let mut places: HashMap<u32, Vec<&str>> = HashMap::new();
    for entry in line {
        places.entry(entry.number).or_default().push(&entry.id);
    }
    let lost = |(number, _): &&(u32, String)| !places.contains_key(number);
    let misnamed = |(number, id): &&(u32, String)| {
        places
            .get(number)
            .is_some_and(|ids| !ids.contains(&id.as_str()))
    };
    let count = |matching: usize| as_f64(matching as u64);
    let acknowledged = publishers.acknowledged();
    let duplicates: usize = places.values().map(|ids| ids.len() - 1).sum();
    let numbers: Vec<u32> = line.iter().map(|entry| entry.number).collect();
    let missing = subscribers
        .received()
        .filter(|received| *received != numbers);
    let unequal = lines.iter().filter(|other| other.as_slice() != line);
    report.add("published", count(publishers.begun()), "");
    report.add("acknowledged", count(acknowledged.len()), "");
    report.add("retries", as_f64(publishers.retries), "");
    report.add("lost", count(acknowledged.iter().filter(lost).count()), "");
    report.add("duplicates", count(duplicates), "");
    report.add(
        "misnamed",
        count(acknowledged.iter().filter(misnamed).count()),
        "",
    );
    report.add("unequal_hubs", count(unequal.count()), "");
    report.add("listed_wrong", count(listed_wrong), "");
    report.add("missing", count(missing.count()), "");
    report.add("order_errors", as_f64(subscribers.order_errors), "");
    report.add("cursors_lost", as_f64(subscribers.cursors_lost), "");
    report.add("deliveries", as_f64(subscribers.deliveries), "");
    report.add("moves", as_f64(subscribers.moves), "");
    for (name, times) in chaos.figures() {
        report.add(name, as_f64(times), "");
    }
    for (name, waits) in [
        ("publish", &publishers.waits),
        ("delivery", &subscribers.delivery),
    ] {
        report.add(format!("{name}_p50"), as_ms(waits.quantile(0.5)), "ms");
        report.add(format!("{name}_p99"), as_ms(waits.quantile(0.99)), "ms");
        report.add(format!("{name}_max"), as_ms(waits.max()), "ms");
    }
    report
}
