//! Licences and sources of the dependencies: the licence must permit redistribution, the source
//! must be the registry.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Licences whose terms the binary fulfils.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Checks every package that cargo would build. Returns the problems.
///
/// # Errors
///
/// If cargo does not describe the packages.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let arguments = ["metadata", "--format-version", "1", "--locked"];
    let output = Command::new("cargo")
        .args(arguments)
        .current_dir(root)
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo metadata ended with {}",
        output.status
    );
    let metadata: Value =
        serde_json::from_slice(&output.stdout).context("cargo metadata printed no JSON")?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("it lists no packages")?;
    println!("{} packages", packages.len());
    Ok(packages.iter().filter_map(problem).collect())
}

fn problem(package: &Value) -> Option<String> {
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let name = format!(
        "{} {}",
        text("name").unwrap_or("?"),
        text("version").unwrap_or("?")
    );
    // A package without a source is one of ours.
    if text("source").is_some_and(|source| !source.starts_with("registry+")) {
        return Some(format!("{name}: does not come from the registry"));
    }
    let Some(licence) = text("license") else {
        return Some(format!("{name}: names no licence"));
    };
    (!allows(licence)).then(|| format!("{name}: {licence} is not on the list"))
}

/// Returns whether allowed licences satisfy an SPDX expression. `AND` binds tighter than `OR`; the
/// old `A/B` means `A OR B`.
fn allows(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest) && rest.is_empty()
}

fn either(rest: &mut &[&str]) -> bool {
    let mut allowed = both(rest);
    while let Some((&"OR", after)) = rest.split_first() {
        *rest = after;
        allowed |= both(rest);
    }
    allowed
}

fn both(rest: &mut &[&str]) -> bool {
    let mut allowed = one(rest);
    while let Some((&"AND", after)) = rest.split_first() {
        *rest = after;
        allowed &= one(rest);
    }
    allowed
}

fn one(rest: &mut &[&str]) -> bool {
    let Some((&first, after)) = rest.split_first() else {
        return false;
    };
    *rest = after;
    if first == "(" {
        let allowed = either(rest);
        *rest = rest.split_first().map_or(&[], |(_, after)| after);
        return allowed;
    }
    if let ["WITH", exception, after @ ..] = *rest {
        *rest = after;
        return ALLOWED.contains(&format!("{first} WITH {exception}").as_str());
    }
    ALLOWED.contains(&first)
}

#[cfg(test)]
mod tests;
