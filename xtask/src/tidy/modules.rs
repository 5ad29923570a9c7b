//! Checks the dependencies between the rooms of the program, as `project` does for crates.
//!
//! This file has the table of rooms and arrows, and finds the names that a file uses. A room is a
//! module at the root of `crates/tidings`. Each room may use only rooms after it in the table, so
//! there is no circle.

use std::collections::BTreeSet;

use super::{File, Tree};

/// The folder of the rooms.
const SOURCES: &str = "crates/tidings/src/";

/// A room: its name, its purpose, and the rooms that it may use.
struct Layer {
    name: &'static str,
    is: &'static str,
    uses: &'static [&'static str],
}

const fn layer(name: &'static str, is: &'static str, uses: &'static [&'static str]) -> Layer {
    Layer { name, is, uses }
}

/// The rooms. A new arrow is a decision, and is added here. An arrow that is no longer needed is
/// removed, so that it does not come back unnoticed.
const LAYERS: &[Layer] = &[
    layer(
        "cli",
        "the commands",
        &[
            "binding",
            "broker",
            "certificate",
            "cluster",
            "config",
            "control",
            "notify",
            "open_files",
            "server",
            "signals",
            "telemetry",
            "text_file",
        ],
    ),
    layer(
        "server",
        "starts and stops the parts of a hub",
        &[
            "allocator",
            "binding",
            "broker",
            "certificate",
            "cluster",
            "config",
            "control",
            "front",
            "http",
            "inbox",
            "notify",
            "open_files",
            "signals",
            "telemetry",
        ],
    ),
    layer(
        "control",
        "the control socket, and the hand-over to the next process",
        &["binding"],
    ),
    layer("documents", "what fuzzers read documents by", &["config"]),
    layer("signals", "signals of the system", &[]),
    layer("notify", "what a service manager is told", &[]),
    layer(
        "open_files",
        "limits of file descriptors",
        &["config", "front"],
    ),
    layer(
        "front",
        "sockets, until there is a request",
        &["binding", "certificate", "http"],
    ),
    layer(
        "http",
        "the doors: what requests are answered",
        &["certificate", "config", "telemetry"],
    ),
    layer(
        "config",
        "the configuration, from all its sources",
        &["broker", "certificate", "cluster", "telemetry", "text_file"],
    ),
    layer(
        "broker",
        "ZeroMQ: brokers, and the hub's own sockets",
        &["binding"],
    ),
    layer(
        "inbox",
        "publishes what applications insert by SQL",
        &["cluster"],
    ),
    layer(
        "cluster",
        "joins the hub to its cluster, and reads its state",
        &[],
    ),
    layer(
        "certificate",
        "the certificate of the TLS listeners: from files, or by ACME",
        &[],
    ),
    layer("telemetry", "metrics, traces, access log, log lines", &[]),
    layer("allocator", "gives memory back", &[]),
    layer("binding", "ports that are taken", &[]),
    layer("text_file", "files of text", &[]),
];

/// Returns the rooms and their arrows in readable form.
pub fn drawing() -> String {
    LAYERS
        .iter()
        .map(|layer| {
            format!(
                "{:<11} {}\n            -> {}\n",
                layer.name,
                layer.is,
                layer.uses.join(" ")
            )
        })
        .collect()
}

/// Each room of the table uses only rooms after it.
pub fn circle_of_layers(_tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, layer) in LAYERS.iter().enumerate() {
        let later = LAYERS.get(number + 1..).unwrap_or_default();
        for to in layer.uses {
            if !later.iter().any(|other| other.name == *to) {
                problems.push(format!(
                    "{} -> {to}: only a room further down may be used",
                    layer.name
                ));
            }
        }
    }
    problems
}

/// Rooms use each other only along the arrows, and each arrow is used.
pub fn forbidden_arrow(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for file in tree.ending("rs") {
        let Some(from) = layer_of(file) else {
            continue;
        };
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == from) else {
            problems.push(format!(
                "{}: the room {from} has no row in the table of rooms",
                file.path
            ));
            continue;
        };
        for to in used_layers(file.code()) {
            if to != from && !layer.uses.contains(&to.as_str()) {
                problems.push(format!("{}: {from} may not use {to}", file.path));
            }
            used.insert((from.to_owned(), to));
        }
    }
    // A small tree, as in a test, does not use every arrow.
    if tree.file("crates/tidings/src/lib.rs").is_some() {
        let arrows = LAYERS
            .iter()
            .flat_map(|layer| layer.uses.iter().map(move |to| (layer.name, *to)));
        let unused =
            arrows.filter(|(from, to)| !used.contains(&((*from).to_owned(), (*to).to_owned())));
        problems.extend(unused.map(|(from, to)| {
            format!("{from} -> {to}: no file needs this arrow; remove it from the table")
        }));
    }
    problems
}

/// Returns the room of a file. Files that only gather rooms have none, nor do tests.
fn layer_of(file: &File) -> Option<&str> {
    let path = file.path.strip_prefix(SOURCES)?;
    let layer = path.split('/').next()?.trim_end_matches(".rs");
    let is_test = path.ends_with("tests.rs") || path.contains("/tests/");
    (!is_test && !["bin", "lib", "main"].contains(&layer)).then_some(layer)
}

/// Returns the rooms that code names with a path from the crate's root.
fn used_layers(code: &str) -> BTreeSet<String> {
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

/// Returns the first name of each path in a `use` list, up to its closing brace.
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

/// Returns the module name at the beginning of `text`. It is lower case, unlike types and
/// constants.
fn leading_name(text: &str) -> Option<String> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let name: String = text.chars().take_while(|c| is_name(*c)).collect();
    (!name.is_empty()).then_some(name)
}
