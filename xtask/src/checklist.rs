//! The checklist of the Mercure specification: which test covers which line.
//!
//! Reads `conformance/mercure/checklist.toml`, finds lines without a test and tests that do not exist, and
//! writes the table `conformance/mercure/CHECKLIST.md`. The lines themselves are data; no rule is here.

use std::fmt::Write as _;

use anyhow::Context as _;
use toml::{Table, Value};

use crate::tidy::{File, Tree};

/// The path of the checklist, relative to the root.
pub const SOURCE: &str = "conformance/mercure/checklist.toml";

/// The path of its table, relative to the root.
pub const TABLE: &str = "conformance/mercure/CHECKLIST.md";

/// A handwritten table whose last columns name tests in the same way, relative to the root.
const DIALECTS: &str = "docs/reference/dialects.md";

/// The number of lines in the specification's checklist.
const LINES: usize = 92;

/// A line of the checklist, or a difference from another hub.
struct Row {
    name: String,
    columns: Vec<String>,
    tests: Vec<String>,
    later: Option<String>,
}

/// Returns the gaps of the checklist: missing lines, lines without tests, and named tests that do
/// not exist.
pub fn gaps(tree: &Tree) -> Vec<String> {
    let Some(source) = tree.file(SOURCE) else {
        return Vec::new();
    };
    let (lines, differences) = match read(&source.text) {
        Ok(rows) => rows,
        Err(error) => return vec![format!("{SOURCE}: {error:#}")],
    };
    let mut problems = Vec::new();
    let numbers: Vec<String> = (1..=LINES).map(|number| number.to_string()).collect();
    if !lines.iter().map(|row| &row.name).eq(&numbers) {
        problems.push(format!(
            "{SOURCE}: its lines are not 1 to {LINES}, each once and in order"
        ));
    }
    let untested = lines
        .iter()
        .chain(&differences)
        .filter(|row| row.tests.is_empty() && row.later.is_none());
    let untested: Vec<&str> = untested.map(|row| row.name.as_str()).collect();
    if !untested.is_empty() {
        problems.push(format!("{SOURCE}: no test for {}", untested.join(", ")));
    }
    for row in lines.iter().chain(&differences) {
        let missing = row.tests.iter().filter(|test| !exists(tree, test));
        problems
            .extend(missing.map(|test| format!("{SOURCE}: {}: there is no test {test}", row.name)));
    }
    if let Some(dialects) = tree.file(DIALECTS) {
        let missing = named_tests(&dialects.text).filter(|test| !exists(tree, test));
        problems.extend(missing.map(|test| format!("{DIALECTS}: there is no test {test}")));
    }
    problems
}

/// Returns the table as Markdown.
///
/// # Errors
///
/// If the checklist is malformed; the error names the line.
pub fn table(source: &str) -> anyhow::Result<String> {
    let (lines, differences) = read(source)?;
    let mut table = String::from(
        "<!-- by cargo xtask codegen, from checklist.toml -->\n\n# Mercure 1.0: each requirement and its test\n\n",
    );
    writeln!(
        table,
        "| # | section | requirement | shown by |\n|--:|---|---|---|"
    )?;
    lines
        .iter()
        .try_for_each(|row| write_row(&mut table, row))?;
    writeln!(
        table,
        "\n## Where other hubs differ\n\nWhat the reference hub does differently, and what Tidings does.\n"
    )?;
    writeln!(
        table,
        "| | reference hub | Tidings | shown by |\n|---|---|---|---|"
    )?;
    differences
        .iter()
        .try_for_each(|row| write_row(&mut table, row))?;
    Ok(table)
}

fn write_row(table: &mut String, row: &Row) -> std::fmt::Result {
    let tests: Vec<String> = row.tests.iter().map(|test| format!("`{test}`")).collect();
    let shown = match &row.later {
        Some(later) => format!("later: {later}"),
        None => tests.join("<br>"),
    };
    let columns = row.columns.join(" | ");
    writeln!(table, "| {} | {columns} | {shown} |", row.name)
}

/// Reads the lines and the differences.
fn read(source: &str) -> anyhow::Result<(Vec<Row>, Vec<Row>)> {
    let source: Table = source.parse().context("not valid TOML")?;
    let rows = |key: &str| {
        source
            .get(key)
            .and_then(Value::as_array)
            .with_context(|| format!("no [[{key}]]"))
    };
    let lines = rows("line")?
        .iter()
        .map(|value| row(value, "number", &["section", "requirement"]));
    let differences = rows("difference")?
        .iter()
        .map(|value| row(value, "id", &["theirs", "ours"]));
    Ok((
        lines.collect::<anyhow::Result<_>>()?,
        differences.collect::<anyhow::Result<_>>()?,
    ))
}

fn row(value: &Value, name: &str, columns: &[&str]) -> anyhow::Result<Row> {
    let name = value
        .get(name)
        .map(|name| name.to_string().trim_matches('"').to_owned());
    let name = name.context("a line has no name")?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let columns = columns
        .iter()
        .map(|key| text(key).with_context(|| format!("{name} has no {key}")));
    let columns = columns.collect::<anyhow::Result<_>>()?;
    let tests = value
        .get("tests")
        .and_then(Value::as_array)
        .with_context(|| format!("{name} has no tests"))?;
    let tests = tests
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Ok(Row {
        columns,
        tests,
        later: text("later"),
        name,
    })
}

/// Returns the texts between backticks in `text` that are test names: they contain `::`.
fn named_tests(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|quoted| quoted.contains("::"))
}

/// Returns whether the sources contain the test: `it::publish::name` is `fn name` in a file or
/// folder `publish`; `chat.test.mjs::title` is the title in that file.
pub fn exists(tree: &Tree, test: &str) -> bool {
    let (place, name) = test.rsplit_once("::").unwrap_or(("", test));
    if place.ends_with("js") || place.ends_with(".py") {
        let named = |file: &&File| file.path.ends_with(&format!("/{place}"));
        return tree
            .files
            .iter()
            .filter(named)
            .any(|file| file.text.contains(name));
    }
    let noun = place
        .rsplit("::")
        .find(|part| *part != "tests")
        .unwrap_or_default();
    let belongs = |file: &&File| {
        file.path
            .split(['/', '.'])
            .any(|part| part.replace('-', "_") == noun)
    };
    let function = format!("fn {name}(");
    tree.ending("rs")
        .filter(belongs)
        .any(|file| file.code().contains(&function))
}

#[cfg(test)]
mod tests;
