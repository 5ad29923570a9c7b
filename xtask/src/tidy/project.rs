//! Checks of the project's structure: crates, dependencies, fuzz targets.

use toml::{Table, Value};

use super::{File, Tree};

/// The crates of the workspace that a crate may use. A new edge is a decision, and is added here.
const EDGES: &[(&str, &[&str])] = &[
    ("tidings-core", &[]),
    ("tidings-wire", &[]),
    ("tidings-access", &[]),
    ("tidings-auth", &["tidings-core", "tidings-wire"]),
    ("tidings-cluster", &["tidings-core"]),
    ("tidings-history", &["tidings-core", "tidings-cluster"]),
    (
        "tidings-contract",
        &["tidings-core", "tidings-cluster", "tidings-history"],
    ),
    (
        "tidings-postgresql",
        &[
            "tidings-access",
            "tidings-core",
            "tidings-cluster",
            // For its tests: the suite, and whole relays over real servers.
            "tidings-contract",
        ],
    ),
    (
        "tidings-redis",
        &[
            "tidings-access",
            "tidings-core",
            "tidings-cluster",
            // For its tests: the suite, and whole relays over real servers.
            "tidings-contract",
        ],
    ),
    (
        "tidings-nats",
        &[
            "tidings-access",
            "tidings-core",
            "tidings-cluster",
            // For its tests: the suite, and whole relays over real servers.
            "tidings-contract",
        ],
    ),
    (
        "tidings-hub",
        &[
            "tidings-auth",
            "tidings-core",
            "tidings-wire",
            "tidings-history",
            "tidings-cluster",
        ],
    ),
    (
        "tidings",
        &[
            "tidings-access",
            "tidings-auth",
            "tidings-core",
            "tidings-hub",
            "tidings-wire",
            "tidings-history",
            "tidings-cluster",
            "tidings-postgresql",
            "tidings-nats",
            "tidings-redis",
        ],
    ),
    ("tidings-test-server", &["tidings", "tidings-wire"]),
    ("tidings-load", &[]),
    ("tidings-bench", &["tidings-load", "tidings-wire"]),
    (
        "tidings-sim",
        &[
            "tidings-auth",
            "tidings-core",
            "tidings-history",
            "tidings-hub",
            "tidings-cluster",
            // For its tests: the model keeps the contract.
            "tidings-contract",
            "tidings-wire",
        ],
    ),
    ("xtask", &[]),
];

/// The outside crates that a crate must not use. The hub serves other protocols than HTTP, too.
const FOREIGN: &[(&str, &[&str])] = &[("tidings-hub", &["http", "http-body", "hyper"])];

/// Functions that take bytes from a peer.
const DECODERS: &[&str] = &[
    "pub fn decode(",
    "pub fn parse(",
    "pub fn push(",
    "pub fn pairs(",
    "pub fn find(",
];

/// Crates use each other only along the allowed edges.
pub fn forbidden_edge(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, manifest) in crates(tree) {
        let Some((_, allowed)) = EDGES.iter().find(|(from, _)| *from == name) else {
            problems.push(format!(
                "{name}: has no row in the table of edges between crates"
            ));
            continue;
        };
        let used = ["dependencies", "dev-dependencies", "build-dependencies"];
        let used = used
            .iter()
            .filter_map(|kind| manifest.get(*kind)?.as_table())
            .flat_map(Table::keys);
        let forbidden =
            used.filter(|to| to.starts_with("tidings") && !allowed.contains(&to.as_str()));
        problems.extend(forbidden.map(|to| format!("{name}: may not use {to}")));
    }
    problems
}

/// Crates do not use the outside crates that are forbidden to them.
pub fn foreign_dependency(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, manifest) in crates(tree) {
        let row = FOREIGN.iter().find(|(of, _)| *of == name);
        let used = manifest.get("dependencies").and_then(Value::as_table);
        let (Some((_, foreign)), Some(used)) = (row, used) else {
            continue;
        };
        let named = foreign.iter().filter(|to| used.contains_key(**to));
        problems.extend(named.map(|to| format!("{name}: may not depend on {to}")));
    }
    problems
}

/// One set of lints for all crates.
pub fn lints_not_inherited(tree: &Tree) -> Vec<String> {
    let inherits = |manifest: &Table| manifest.get("lints")?.get("workspace")?.as_bool();
    let without = crates(tree).filter(|(_, manifest)| inherits(manifest) != Some(true));
    without
        .map(|(name, _)| format!("{name}: its Cargo.toml lacks `[lints] workspace = true`"))
        .collect()
}

/// Every dependency has a line with its reasons.
pub fn dependency_without_reason(tree: &Tree) -> Vec<String> {
    let reasons = tree
        .file("docs/decisions/dependencies.md")
        .map_or("", |file| file.text.as_str());
    let mut silent = outside_dependencies(tree);
    silent.retain(|name| !reasons.contains(&format!("**{name}**")));
    silent
        .iter()
        .map(|name| format!("Cargo.toml: {name} has no line in docs/decisions/dependencies.md"))
        .collect()
}

/// Every dependency is used by a crate.
pub fn unused_dependency(tree: &Tree) -> Vec<String> {
    let manifests = tree
        .ending("toml")
        .filter(|file| file.path.ends_with("/Cargo.toml"));
    let lines = manifests.flat_map(|file| file.text.lines());
    let used: Vec<&str> = lines
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .collect();
    let mut unused = outside_dependencies(tree);
    unused.retain(|name| !used.contains(&name.as_str()));
    unused
        .iter()
        .map(|name| format!("Cargo.toml: no crate uses {name}"))
        .collect()
}

/// Every decoder is fuzzed, by a target named after the module: `a/b.rs` as `a_b`.
pub fn decoder_without_fuzz_target(tree: &Tree) -> Vec<String> {
    let mut problems = Vec::new();
    for file in tree
        .ending("rs")
        .filter(|file| file.path.starts_with("crates/tidings-wire/src/"))
    {
        let code = file.code();
        let decodes =
            file.stem() != "tests" && DECODERS.iter().any(|decoder| code.contains(decoder));
        let module = file
            .path
            .trim_start_matches("crates/tidings-wire/src/")
            .trim_end_matches(".rs")
            .replace('/', "_");
        if decodes && !tree.holds(&format!("fuzz/fuzz_targets/{module}.rs")) {
            problems.push(format!(
                "{}: decodes, but has no fuzz/fuzz_targets/{module}.rs",
                file.path
            ));
        }
    }
    problems
}

/// Returns the names of the workspace's outside dependencies.
fn outside_dependencies(tree: &Tree) -> Vec<String> {
    let workspace = tree
        .file("Cargo.toml")
        .and_then(manifest)
        .unwrap_or_default();
    let table = workspace
        .get("workspace")
        .and_then(|table| table.get("dependencies"));
    let listed = table.and_then(Value::as_table);
    let names = listed.into_iter().flat_map(Table::keys);
    names
        .filter(|name| !name.starts_with("tidings"))
        .cloned()
        .collect()
}

/// Returns the crates and their manifests.
fn crates(tree: &Tree) -> impl Iterator<Item = (String, Table)> {
    let ours = |file: &&File| file.path == "xtask/Cargo.toml" || file.path.starts_with("crates/");
    let manifests = tree
        .ending("toml")
        .filter(|file| file.path.ends_with("/Cargo.toml"))
        .filter(ours);
    manifests.filter_map(|file| {
        let manifest = manifest(file)?;
        Some((
            manifest.get("package")?.get("name")?.as_str()?.to_owned(),
            manifest,
        ))
    })
}

/// Returns a manifest as a table. Cargo itself reports one that is not TOML.
fn manifest(file: &File) -> Option<Table> {
    file.text.parse().ok()
}
