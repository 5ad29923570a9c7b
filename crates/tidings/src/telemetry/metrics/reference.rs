//! The reference of all metrics, generated from what a hub without peers shows.
//!
//! `tidings config docs --metrics` prints it; `docs/reference/metrics.md` is this text, which a test compares.

use std::collections::{BTreeMap, BTreeSet};

use tidings_hub::metrics::Metrics;

use super::register;

/// One family of metrics.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    unit: Option<String>,
    help: String,
    labels: BTreeSet<String>,
}

/// Returns the reference as Markdown.
pub(crate) fn table() -> String {
    let mut text = INTRODUCTION.to_owned();
    for (name, family) in read(&Metrics::new(register).render()) {
        let shown = match family.kind.as_str() {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.clone(),
        };
        let unit = family.unit.as_deref();
        let unit = unit.or_else(|| {
            ["bytes", "seconds"]
                .into_iter()
                .find(|unit| name.ends_with(unit))
        });
        let labels: Vec<String> = family
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        text.push_str(&format!(
            "| `{shown}` | {} | {} | {} | {} |\n",
            family.kind,
            unit.unwrap_or_default(),
            labels.join(", "),
            family.help
        ));
    }
    text
}

/// Reads the OpenMetrics text format, as far as this program writes it.
fn read(text: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some((name, help)) = described(line, "# HELP ") {
            name.clone_into(&mut current);
            help.clone_into(&mut families.entry(current.clone()).or_default().help);
            continue;
        }
        let Some(family) = families.get_mut(&current) else {
            continue;
        };
        if let Some((_, kind)) = described(line, "# TYPE ") {
            kind.clone_into(&mut family.kind);
        } else if let Some((_, unit)) = described(line, "# UNIT ") {
            family.unit = Some(unit.to_owned());
        } else if let Some((_, labels)) = line.split_once('{') {
            // No label of ours has a comma or an equals sign in its value.
            let labels = labels.split(',').filter_map(|label| label.split_once('='));
            let names = labels.map(|(name, _)| name.to_owned());
            family.labels.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

/// Returns the name and the text of a line that begins with `mark`.
fn described<'a>(line: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    line.strip_prefix(mark)?.split_once(' ')
}

const INTRODUCTION: &str = "\
# Metrics

`/metrics` at `admin.address` shows these metrics in the OpenMetrics text format; so does `tidings dev` at its only address.
Names, units and labels are stable.
Every series exists from the start, at 0, so that a rate shows the first event too.
No label has a value that a peer chooses, such as a topic or a subject.

Histograms have the same buckets, from 0.1 ms to 60 s; a family `X` has the series `X_bucket`, `X_sum` and `X_count`.
Live updates are counted once for each shard, not for each subscriber.

[The guide](../guide/alerts.md) explains which of them to watch.

| name | type | unit | labels | meaning |
|---|---|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_says_what_it_is() {
        let families = read(&Metrics::new(register).render());
        assert!(families.len() > 50, "{}", families.len());
        for (name, family) in families {
            assert!(family.help.ends_with('.'), "{name}: {:?}", family.help);
            assert!(!family.kind.is_empty(), "{name}");
            let own = name.starts_with("tidings_") || name.starts_with("process_");
            assert!(own, "{name}");
        }
    }

    #[test]
    fn the_page_is_up_to_date() {
        let page = include_str!("../../../../../docs/reference/metrics.md");
        let (_, page) = page.split_once("\n\n").unwrap();
        assert!(page == table(), "run cargo xtask codegen");
    }
}
