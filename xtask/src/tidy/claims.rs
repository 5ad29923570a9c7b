//! Checks the claims of ARCHITECTURE.md and STYLE.md about the code.
//!
//! This file has the claims that a machine can check. The invariants are read from ARCHITECTURE.md;
//! the other rules are repeated here as searches.

use std::collections::BTreeMap;

use super::{File, Tree};
use crate::rust_text::definitions;

/// The document that lists the invariants.
const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// What a comment line begins with, and what continues a string on the next line.
const DECORATION: &[&str] = &["///", "//!", "//", "#", "*", "\\"];

/// Where an error ends on a terminal, so that no code distinguishes its causes.
const TERMINAL: &[&str] = &[
    "/main.rs",
    "/cli.rs",
    "/cli/",
    "/server.rs",
    "/server/",
    "/tidings-bench/",
];

/// Prefixes that add nothing to a verb or a noun.
const EMPTY_PREFIXES: &[&str] = &["get_", "do_"];

/// The file with the macro of the configuration's tables.
const TABLES: &str = "crates/tidings/src/config/tables.rs";

/// The file in which conformance tests wait.
const PYTHON_WAITS: &str = "conformance/support/waiting.py";

/// The maximum length of a decision record. A longer one records more than one decision.
const DECISION_LINES_MAX: usize = 60;

/// Every mention of an invariant has its number and its name from ARCHITECTURE.md.
pub fn wrong_invariant(tree: &Tree) -> Vec<String> {
    let Some(list) = tree.file(ARCHITECTURE) else {
        return Vec::new();
    };
    let names = invariants(&list.text);
    let mut problems = Vec::new();
    for file in &tree.files {
        for (line, mention) in mentions(&file.text) {
            let number = mention.split(|c: char| !c.is_ascii_digit()).next();
            let name = number.and_then(|number| names.get(number));
            let problem = match name {
                None => format!("there is no invariant {mention}"),
                Some(name) if mention.contains(&format!(", {name}")) => continue,
                Some(name) => {
                    let number = number.unwrap_or_default();
                    format!("write `invariant {number}, {name}`, not `invariant {mention}`")
                }
            };
            problems.push(format!("{}:{line}: {problem}", file.path));
        }
    }
    problems
}

/// Reads `3. **Acknowledged is kept.** An acknowledged update …` as `3` and `acknowledged is kept`.
fn invariants(architecture: &str) -> BTreeMap<&str, String> {
    let list = architecture.split("## Invariants").nth(1).unwrap_or("");
    let items = list.lines().filter_map(|line| {
        let (number, rest) = line.split_once(". **")?;
        let (name, _) = rest.split_once(".**")?;
        Some((number, name.to_lowercase()))
    });
    items.collect()
}

/// Returns the text after each `invariant` that is followed by a number, up to the end of the
/// clause, with its line. Comments and strings may continue on the next line.
fn mentions(text: &str) -> Vec<(usize, String)> {
    let mut words = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let of_line = line.split_whitespace();
        let of_line = of_line.filter(|word| !DECORATION.contains(word));
        words.extend(of_line.map(|word| (number + 1, word)));
    }
    let mut found = Vec::new();
    for (at, (line, word)) in words.iter().enumerate() {
        let after = words.get(at + 1..).unwrap_or_default();
        let is_mention = word
            .trim_start_matches(|c: char| !c.is_alphanumeric())
            .eq_ignore_ascii_case("invariant");
        let has_number = after
            .first()
            .is_some_and(|(_, word)| word.starts_with(|c: char| c.is_ascii_digit()));
        if is_mention && has_number {
            found.push((*line, first_part(after)));
        }
    }
    found
}

/// Joins words up to the end of the clause. The comma after the number does not end it.
fn first_part(words: &[(usize, &str)]) -> String {
    let mut part = String::new();
    for (index, (_, word)) in words.iter().take(6).enumerate() {
        let kept = word.trim_end_matches(|c: char| !c.is_alphanumeric() && c != ',');
        let ends = kept.len() < word.len() || (index > 0 && kept.ends_with(','));
        if index > 0 {
            part.push(' ');
        }
        part.push_str(kept);
        if ends {
            break;
        }
    }
    part
}

/// An error of the product has a type; `anyhow` is for errors that only people read.
pub fn untyped_error(tree: &Tree) -> Vec<String> {
    let product = tree
        .ending("rs")
        .filter(|file| file.path.starts_with("crates/"));
    let inside = product.filter(|file| !TERMINAL.iter().any(|place| file.path.contains(place)));
    let untyped = inside.filter(|file| file.code().contains("anyhow"));
    untyped
        .map(|file| format!("{}: uses anyhow; give its errors a type", file.path))
        .collect()
}

/// A function is named after what it does; a getter needs no verb.
pub fn empty_prefix(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree.ending("rs") {
        let code = file.code();
        let functions = definitions(code)
            .into_iter()
            .filter(|found| found.kind == "fn");
        for found in functions {
            if EMPTY_PREFIXES
                .iter()
                .any(|prefix| found.name.starts_with(prefix))
            {
                let (path, line, name) = (&file.path, found.line, found.name);
                problems.push(format!("{path}:{line}: `{name}` begins with an empty word"));
            }
        }
    }
    problems
}

/// Our own macros are a second language, which only the configuration's tables need.
pub fn own_macro(tree: &Tree) -> Vec<String> {
    let defining = tree
        .ending("rs")
        .filter(|file| file.path != TABLES)
        .filter(|file| file.code().contains("macro_rules!"));
    defining
        .map(|file| format!("{}: defines a macro", file.path))
        .collect()
}

/// A test waits for events, not for time. Each language has one place that polls.
pub fn sleeping_test(tree: &Tree) -> Vec<String> {
    let rust = tree.ending("rs").filter(|file| is_test(file));
    let python = tree
        .ending("py")
        .filter(|file| file.path.starts_with("conformance/"));
    let tests = rust.chain(python.filter(|file| file.path != PYTHON_WAITS));
    let sleeping = tests.filter(|file| calls_sleep(file.code()));
    sleeping
        .map(|file| format!("{}: sleeps; wait for an event with a deadline", file.path))
        .collect()
}

fn calls_sleep(code: &str) -> bool {
    let mut calls = code.match_indices("sleep(");
    calls.any(|(at, _)| {
        let before = code.get(..at).and_then(|before| before.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn is_test(file: &File) -> bool {
    file.stem() == "tests" || file.path.contains("/tests/")
}

/// Two records do not have the same number.
pub fn same_number(tree: &Tree) -> Vec<String> {
    let mut numbers = BTreeMap::new();
    let records = decisions(tree).filter_map(|file| {
        let number = file.stem().get(..4)?.to_owned();
        let before = numbers.insert(number.clone(), &file.path)?;
        Some(format!(
            "{}: {before} has the number {number} too",
            file.path
        ))
    });
    records.collect()
}

fn decisions(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.ending("md")
        .filter(|file| file.path.starts_with("docs/decisions/0"))
}

/// A record holds one decision.
pub fn long_decision(tree: &Tree) -> Vec<String> {
    let records = decisions(tree);
    let long = records.map(|file| (file, file.text.lines().count()));
    long.filter(|(_, lines)| *lines > DECISION_LINES_MAX)
        .map(|(file, lines)| {
            format!(
                "{}: {lines} lines, more than {DECISION_LINES_MAX}",
                file.path
            )
        })
        .collect()
}
