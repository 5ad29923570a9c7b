//! Generated documents: their sources, how they are written, and a check that they are up to date.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use crate::{checklist, compatibility};

/// A generated document: its path relative to the root, and the function that generates it.
type Document = (&'static str, fn(&Path) -> anyhow::Result<String>);

const DOCUMENTS: &[Document] = &[
    (checklist::TABLE, checklist_table),
    ("docs/guide/configuration.md", configuration),
    ("docs/reference/metrics.md", metrics),
    (compatibility::TABLE, compatibility_table),
    (compatibility::DEVIATIONS, deviations),
];

/// Writes each generated document.
///
/// # Errors
///
/// If a source is missing or malformed, or the document cannot be written.
pub fn write(root: &Path) -> anyhow::Result<()> {
    for (path, generate) in DOCUMENTS {
        let text = generate(root)?;
        std::fs::write(root.join(path), text).with_context(|| format!("cannot write {path}"))?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Returns a problem for each document that is not up to date.
///
/// # Errors
///
/// If a source is missing or malformed.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut problems = Vec::new();
    for (path, generate) in DOCUMENTS {
        if std::fs::read_to_string(root.join(path)).ok() != Some(generate(root)?) {
            problems.push(format!("{path}: run `cargo xtask codegen`"));
        }
    }
    Ok(problems)
}

fn checklist_table(root: &Path) -> anyhow::Result<String> {
    checklist::table(&source(root, checklist::SOURCE)?).context(checklist::SOURCE)
}

fn deviations(root: &Path) -> anyhow::Result<String> {
    compatibility::deviations(&source(root, checklist::SOURCE)?).context(checklist::SOURCE)
}

fn compatibility_table(root: &Path) -> anyhow::Result<String> {
    compatibility::table(&source(root, compatibility::SOURCE)?).context(compatibility::SOURCE)
}

fn source(root: &Path, path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
}

fn configuration(root: &Path) -> anyhow::Result<String> {
    printed(root, &["config", "docs"])
}

fn metrics(root: &Path) -> anyhow::Result<String> {
    printed(root, &["config", "docs", "--metrics"])
}

/// Builds the hub, and returns its program. The whole workspace is built, as tests do: fewer packages
/// enable fewer features of their dependencies, which would be compiled again.
fn built(root: &Path) -> anyhow::Result<PathBuf> {
    let status = Command::new("cargo")
        .args(["build", "--quiet", "--locked", "--workspace", "--bins"])
        .current_dir(root)
        .status();
    ensure!(
        status.context("cannot run cargo")?.success(),
        "cannot build the hub"
    );
    Ok(root.join("target/debug/tidings"))
}

/// Returns what a command of `tidings` prints, below a line that says that it is generated.
fn printed(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let command = format!("tidings {}", arguments.join(" "));
    let output = Command::new(built(root)?)
        .args(arguments)
        .current_dir(root)
        .output();
    let output = output.with_context(|| format!("cannot run `{command}`"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "`{command}` ended with {}\n{errors}",
        output.status
    );
    let text = String::from_utf8(output.stdout);
    let text = text.with_context(|| format!("`{command}` printed no UTF-8"))?;
    Ok(format!(
        "<!-- by cargo xtask codegen, from `{command}` -->\n\n{text}"
    ))
}
