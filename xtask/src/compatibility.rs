//! The migration tables for users of another Mercure hub, generated from data: settings and
//! behaviours, and that hub's deviations from the specification.
//!
//! Reads `conformance/mercure/compatibility.toml` and the differences in `checklist.toml`. It also
//! checks that each test exists. The rows themselves are data.

use std::fmt::Write as _;

use anyhow::Context as _;
use toml::{Table, Value};

use crate::checklist;
use crate::tidy::Tree;

/// The path of the rows, relative to the root.
pub const SOURCE: &str = "conformance/mercure/compatibility.toml";

/// The path of the table, relative to the root.
pub const TABLE: &str = "docs/reference/compatibility.md";

/// The path of the answers to the deviations, relative to the root.
pub const DEVIATIONS: &str = "docs/reference/deviations.md";

/// The number of known deviations of the other hub.
const DEVIATIONS_COUNT: usize = 25;

/// The possible verdicts about us, in the order of the table's explanation.
const VERDICTS: [&str; 4] = ["same", "better", "differs", "absent"];

/// A row of the table.
struct Row {
    area: String,
    theirs: String,
    verdict: String,
    ours: String,
    tests: Vec<String>,
}

/// Returns the problems of the rows: unknown verdicts, missing tests, and tests that do not exist.
pub fn gaps(tree: &Tree) -> Vec<String> {
    let Some(source) = tree.file(SOURCE) else {
        return Vec::new();
    };
    let rows = match read(&source.text) {
        Ok(rows) => rows,
        Err(error) => return vec![format!("{SOURCE}: {error:#}")],
    };
    let mut problems = Vec::new();
    for row in &rows {
        if !VERDICTS.contains(&row.verdict.as_str()) {
            problems.push(format!(
                "{SOURCE}: {}: no such verdict {}",
                row.theirs, row.verdict
            ));
        }
        // There is no test for what is absent.
        if row.tests.is_empty() && row.verdict != "absent" {
            problems.push(format!("{SOURCE}: no test for {}", row.theirs));
        }
        let missing = row
            .tests
            .iter()
            .filter(|test| !checklist::exists(tree, test));
        problems.extend(missing.map(|test| format!("{SOURCE}: there is no test {test}")));
    }
    problems
}

/// Returns the table as Markdown.
///
/// # Errors
///
/// If a row is malformed.
pub fn table(source: &str) -> anyhow::Result<String> {
    let rows = read(source)?;
    let mut text = format!(
        "<!-- by cargo xtask codegen, from {SOURCE} -->\n\n# Compatibility with other Mercure hubs\n\n\
         What applications and operators of another hub use, and what it becomes here.\n\
         *Same*: nothing changes. *Better*: it works, with an improvement. *Differs*: check it before \
         you migrate. *Absent*: do without it, or keep a proxy in front.\n"
    );
    for area in rows.chunk_by(|a, b| a.area == b.area) {
        let Some(first) = area.first() else { continue };
        writeln!(text, "\n## {}\n", first.area)?;
        writeln!(text, "| there | here | | shown by |\n|---|---|---|---|")?;
        for row in area {
            let tests: Vec<String> = row.tests.iter().map(|test| format!("`{test}`")).collect();
            let (theirs, verdict, ours) = (&row.theirs, &row.verdict, &row.ours);
            writeln!(
                text,
                "| {theirs} | {verdict} | {ours} | {} |",
                tests.join("<br>")
            )?;
        }
    }
    Ok(text)
}

/// Returns the answers to the deviations as Markdown, from the checklist's differences.
///
/// # Errors
///
/// If the checklist is malformed, or does not contain each deviation once.
pub fn deviations(checklist: &str) -> anyhow::Result<String> {
    let checklist: Table = checklist.parse().context("not valid TOML")?;
    let differences = checklist.get("difference").and_then(Value::as_array);
    let differences = differences.context("no [[difference]]")?;
    let mut text = format!(
        "<!-- by cargo xtask codegen, from {} -->\n\n# Where the reference hub deviates\n\n\
         Where the hub in Go deviates from the specification or from the RFCs that it cites, what \
         Tidings does instead, and the tests that show it.\n\n\
         | | there | here | shown by |\n|---|---|---|---|\n",
        checklist::SOURCE
    );
    let mut numbers: Vec<usize> = Vec::new();
    for row in differences {
        let field = |name: &str| row.get(name).and_then(Value::as_str);
        let id = field("id").context("a difference has no id")?;
        if let Some(number) = id.strip_prefix('D').and_then(|number| number.parse().ok()) {
            numbers.push(number);
        }
        let theirs = field("theirs").with_context(|| format!("{id} has no theirs"))?;
        let ours = field("ours").with_context(|| format!("{id} has no ours"))?;
        let shown = match field("later") {
            Some(later) => format!("later: {later}"),
            None => {
                let tests: Vec<String> = texts(row, "tests")
                    .iter()
                    .map(|test| format!("`{test}`"))
                    .collect();
                tests.join("<br>")
            }
        };
        writeln!(text, "| {id} | {theirs} | {ours} | {shown} |")?;
    }
    anyhow::ensure!(
        numbers.iter().copied().eq(1..=DEVIATIONS_COUNT),
        "its differences are not D1 to D{DEVIATIONS_COUNT}, each once and in order"
    );
    Ok(text)
}

fn read(source: &str) -> anyhow::Result<Vec<Row>> {
    let source: Table = source.parse().context("not valid TOML")?;
    let rows = source.get("row").and_then(Value::as_array);
    let rows = rows.context("no [[row]]")?;
    rows.iter().map(row).collect()
}

fn row(value: &Value) -> anyhow::Result<Row> {
    let text = |name: &str| {
        let text = value.get(name).and_then(Value::as_str).map(str::to_owned);
        text.with_context(|| format!("a row has no {name}: {value}"))
    };
    Ok(Row {
        area: text("area")?,
        theirs: text("theirs")?,
        verdict: text("verdict")?,
        ours: text("ours")?,
        tests: texts(value, "tests"),
    })
}

fn texts(value: &Value, name: &str) -> Vec<String> {
    let entries = value.get(name).and_then(Value::as_array);
    let entries = entries.into_iter().flatten().filter_map(Value::as_str);
    entries.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
