//! The Rust tests: all of them, or those whose name contains a text. In the second case only the
//! targets with such tests are built.

use std::collections::BTreeSet;
use std::path::Path;

use crate::deps;
use crate::rust_text::definitions;
use crate::stages::{Stages, Step};
use crate::tidy::{File, Tree};

/// A target of cargo that contains tests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    package: String,
    /// `--lib`, `--bins`, or `--test` with a name.
    kind: Vec<&'static str>,
}

/// Runs every test of the workspace; `slow` includes the slow ones.
pub fn all(stages: &mut Stages, slow: bool) {
    let step = runner(&["--workspace", "--no-fail-fast"], None, slow);
    stages.run("rust tests", &step.must_count());
}

/// Runs the tests whose name contains `filter`, or all tests without one.
///
/// # Errors
///
/// If the sources are not readable.
pub fn run(
    stages: &mut Stages,
    root: &Path,
    filter: Option<&str>,
    slow: bool,
) -> anyhow::Result<()> {
    let Some(filter) = filter else {
        all(stages, slow);
        return Ok(());
    };
    let targets = targets(&Tree::read(root)?, filter);
    // Tests whose names come from a macro are not found; then every target is built.
    if targets.is_empty() {
        let step = runner(&["--workspace", "--no-fail-fast"], Some(filter), slow);
        stages.run("rust tests", &step.must_count().only_chosen());
    }
    for Target { package, kind } in targets {
        let mut arguments = vec!["-p", package.as_str()];
        arguments.extend(&kind);
        let name = format!("rust tests of {package}, {}", kind.join(" "));
        let step = runner(&arguments, Some(filter), slow);
        stages.run(&name, &step.must_count().only_chosen());
    }
    Ok(())
}

/// Returns a run by nextest if it is installed, otherwise by cargo.
fn runner(chosen: &[&str], filter: Option<&str>, slow: bool) -> Step {
    if deps::is_installed("cargo-nextest") {
        let step = Step::cargo(&["nextest", "run", "--locked"]).args(chosen);
        let step = step.args(slow.then_some(["--run-ignored", "all"]).iter().flatten());
        return step.args(filter);
    }
    let step = Step::cargo(&["test", "--locked"]).args(chosen);
    let every = ["--lib", "--bins", "--tests"];
    let step = step.args(
        chosen
            .contains(&"--workspace")
            .then_some(every)
            .iter()
            .flatten(),
    );
    let step = step.args(filter);
    step.args(slow.then_some(["--", "--include-ignored"]).iter().flatten())
}

/// Returns the targets with a test whose name, `module::path::name`, contains `filter`.
fn targets(tree: &Tree, filter: &str) -> BTreeSet<Target> {
    let files = tree
        .ending("rs")
        .filter_map(|file| Some((file, Place::of(file)?)));
    let holding = files.filter(|(file, place)| has_test(file, &place.module, filter));
    holding.map(|(_, place)| place.target).collect()
}

fn has_test(file: &File, module: &str, filter: &str) -> bool {
    let code = file.code();
    let functions = definitions(code).into_iter();
    let mut functions = functions.filter(|found| found.kind == "fn");
    code.contains("#[test]")
        && functions.any(|found| format!("{module}{}", found.name).contains(filter))
}

/// The target that a file belongs to, and the module path of its tests.
struct Place {
    target: Target,
    module: String,
}

impl Place {
    fn of(file: &File) -> Option<Self> {
        let inside = file.path.strip_prefix("crates/").unwrap_or(&file.path);
        let (package, path) = inside.split_once('/')?;
        let (folder, path) = path.split_once('/')?;
        let module = path.trim_end_matches(".rs");
        let (kind, module) = match (folder, module.split_once('/')) {
            ("src", _) if package == "xtask" || module == "main" => (vec!["--bins"], module),
            ("src", _) => (vec!["--lib"], module),
            ("tests", Some(("it", module))) => (vec!["--test", "it"], module),
            _ => return None,
        };
        let mut names: Vec<&str> = module.split('/').collect();
        if matches!(names.as_slice(), ["lib" | "main"]) {
            names.clear();
        }
        // Tests inside the file are in its module `tests`.
        if folder == "src" && names.last() != Some(&"tests") {
            names.push("tests");
        }
        Some(Self {
            target: Target {
                package: package.to_owned(),
                kind,
            },
            module: names.iter().map(|name| format!("{name}::")).collect(),
        })
    }
}

#[cfg(test)]
mod tests;
