//! Checks of how the modules of the program hang together, as `project` does it for crates.
//!
//! Lives here: the table of arrows between the modules of `crates/tidings`, and the reading of the names
//! that a file uses.

use std::collections::BTreeSet;

use super::{File, Tree};

/// Where the modules lie.
const SOURCES: &str = "crates/tidings/src/";

/// Which modules a module may use. A new arrow is a decision: it gets its word here. An arrow that
/// nothing needs any longer loses it, so that it does not come back unseen.
const ARROWS: &[(&str, &[&str])] = &[
    ("account", &[]),
    ("answers", &[]),
    ("binding", &[]),
    (
        "broker",
        &[
            "binding", "ingest", "metrics", "posted", "router", "shard", "tasks",
        ],
    ),
    (
        "cli",
        &[
            "binding",
            "broker",
            "clock",
            "config",
            "http",
            "ingest",
            "metrics",
            "open_files",
            "output",
            "presence",
            "server",
            "signals",
            "tasks",
            "tls",
        ],
    ),
    ("clock", &[]),
    ("config", &["account", "broker", "presence"]),
    (
        "http",
        &[
            "account", "clock", "config", "ingest", "metrics", "posted", "presence", "session",
            "shard", "tasks",
        ],
    ),
    ("ingest", &["answers"]),
    (
        "lab",
        &[
            "account", "answers", "config", "http", "ingest", "metrics", "posted", "presence",
            "router", "server", "session", "shard", "tasks",
        ],
    ),
    ("metrics", &["account", "output"]),
    ("open_files", &["config", "shard"]),
    ("output", &["metrics"]),
    ("posted", &[]),
    ("presence", &["ingest", "metrics"]),
    ("router", &["metrics", "posted"]),
    (
        "server",
        &[
            "account",
            "answers",
            "binding",
            "broker",
            "clock",
            "config",
            "ingest",
            "metrics",
            "open_files",
            "output",
            "presence",
            "router",
            "shard",
            "signals",
            "tasks",
            "tls",
        ],
    ),
    (
        "session",
        &[
            "account", "config", "http", "ingest", "metrics", "posted", "router", "shard", "tasks",
        ],
    ),
    (
        "shard",
        &[
            "account", "answers", "config", "http", "ingest", "metrics", "posted", "presence",
            "router", "session", "tasks",
        ],
    ),
    ("signals", &[]),
    ("tasks", &[]),
    ("tls", &["config", "metrics"]),
];

/// Modules use each other only along the arrows, and each arrow is used.
pub fn forbidden_arrow(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for file in tree.ending("rs") {
        let Some(from) = module_of(file) else {
            continue;
        };
        let Some((_, allowed)) = ARROWS.iter().find(|(module, _)| *module == from) else {
            problems.push(format!(
                "{}: the module {from} has no row in the table of arrows",
                file.path
            ));
            continue;
        };
        for to in used_modules(file.code()) {
            if to != from && !allowed.contains(&to.as_str()) {
                problems.push(format!("{}: {from} may not use {to}", file.path));
            }
            used.insert((from.to_owned(), to));
        }
    }
    // A tree of a few files, as in a test, uses few arrows.
    if tree.file("crates/tidings/src/lib.rs").is_some() {
        let arrows = ARROWS
            .iter()
            .flat_map(|(from, to)| to.iter().map(move |to| (*from, *to)));
        let unused =
            arrows.filter(|(from, to)| !used.contains(&((*from).to_owned(), (*to).to_owned())));
        problems.extend(
            unused.map(|(from, to)| format!("{from} -> {to}: no file needs this arrow any longer")),
        );
    }
    problems
}

/// Returns the module that a file is part of; none for those that only gather modules, and for tests.
fn module_of(file: &File) -> Option<&str> {
    let path = file.path.strip_prefix(SOURCES)?;
    let module = path.split('/').next()?.trim_end_matches(".rs");
    let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
    (!is_test && !["lib", "main"].contains(&module)).then_some(module)
}

/// Returns the modules that code names from the root of its crate.
fn used_modules(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code.get(..at).and_then(|text| text.chars().next_back());
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
            continue;
        }
        let after = code.get(at + "crate::".len()..).unwrap_or_default();
        match after.strip_prefix('{') {
            Some(list) => used.extend(first_names(list)),
            None => used.extend(leading_name(after)),
        }
    }
    used
}

/// Returns the first name of each path in a list of `use`, up to the brace that closes it.
fn first_names(list: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut depth = 0;
    let mut begins = true;
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            _ if c.is_whitespace() => {}
            _ if begins => {
                names.extend(list.get(at..).and_then(leading_name));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

/// Returns the module's name that `text` begins with: lower case, which types and constants are not.
fn leading_name(text: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let name: String = text.chars().take_while(|c| is_name(*c)).collect();
    (!name.is_empty()).then_some(name)
}
