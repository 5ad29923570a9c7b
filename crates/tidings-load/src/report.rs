//! The report of a run: named figures with units, as a table or as JSON.

use serde_json::{Map, Value, json};

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Its name, in lower case with underscores. Names stay the same in all versions.
    pub name: String,
    /// Its value.
    pub value: f64,
    /// Its unit; empty for counts and ratios.
    pub unit: &'static str,
}

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was run, including its sizes.
    pub title: String,
    /// In the order of presentation.
    pub figures: Vec<Figure>,
}

/// The names of the figures that must be zero: lost, repeated and wrong deliveries.
const FLAWS: [&str; 10] = [
    "refused",
    "lost",
    "missing",
    "duplicates",
    "order_errors",
    "misrouted",
    "misnamed",
    "cursors_lost",
    "unequal_hubs",
    "listed_wrong",
];

impl Report {
    /// Makes an empty report.
    pub(crate) fn new(title: String) -> Self {
        Self {
            title,
            figures: Vec::new(),
        }
    }

    /// Adds a figure.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure {
            name: name.into(),
            value,
            unit,
        });
    }

    /// Adds the percentiles of a histogram in milliseconds, named `NAME_p50` and so on.
    pub(crate) fn add_percentiles(&mut self, name: &str, percentiles: [(&'static str, f64); 5]) {
        for (percentile, ms) in percentiles {
            self.add(format!("{name}_{percentile}"), ms, "ms");
        }
    }

    /// Returns the figure with that name.
    pub fn value(&self, name: &str) -> Option<f64> {
        self.figures
            .iter()
            .find(|figure| figure.name == name)
            .map(|figure| figure.value)
    }

    /// Returns the figures that must be zero but are not.
    pub fn flaws(&self) -> impl Iterator<Item = &Figure> {
        let is_flaw = |figure: &&Figure| FLAWS.contains(&figure.name.as_str());
        self.figures
            .iter()
            .filter(is_flaw)
            .filter(|figure| figure.value > 0.0)
    }

    /// Returns the figures as an aligned table, one per line.
    pub fn to_table(&self) -> String {
        let width = self
            .figures
            .iter()
            .map(|figure| figure.name.len())
            .max()
            .unwrap_or_default();
        let mut table = format!("{}\n", self.title);
        for Figure { name, value, unit } in &self.figures {
            let number = number(*value);
            table.push_str(format!("  {name:width$}  {number:>14} {unit}").trim_end());
            table.push('\n');
        }
        table
    }

    /// Returns the figures as one JSON object, with the sum of all flaws.
    pub fn to_json(&self) -> Value {
        let figures: Map<String, Value> = (self.figures.iter())
            .map(|figure| {
                (
                    figure.name.clone(),
                    json!({"value": figure.value, "unit": figure.unit}),
                )
            })
            .collect();
        let flaws: f64 = self.flaws().map(|figure| figure.value).sum();
        json!({"title": self.title, "figures": figures, "flaws": flaws})
    }
}

/// Formats a number with three or four significant digits, and groups the digits of large ones.
fn number(value: f64) -> String {
    if value.fract() != 0.0 && value.abs() < 1000.0 {
        return format!("{value:.3}");
    }
    let digits = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    if value < 0.0 {
        format!("-{grouped}")
    } else {
        grouped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_large_numbers_are_grouped() {
        let mut report = Report::new("sse".to_owned());
        report.add("deliveries", 1_234_567.0, "");
        report.add("p50", 1.5, "ms");
        let expected = "sse\n  deliveries       1 234 567\n  p50                  1.500 ms\n";
        assert_eq!(report.to_table(), expected);
    }

    #[test]
    fn only_wrong_deliveries_are_flaws() {
        let mut report = Report::new("soak".to_owned());
        for (name, value) in [
            ("deliveries", 9.0),
            ("lost", 2.0),
            ("missing", 0.0),
            ("misnamed", 1.0),
        ] {
            report.add(name, value, "");
        }
        let names: Vec<&str> = report.flaws().map(|flaw| flaw.name.as_str()).collect();
        assert_eq!(names, ["lost", "misnamed"]);
        assert_eq!(report.to_json()["flaws"], 3.0);
    }
}
