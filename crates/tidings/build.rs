//! Names what the program is built from, and builds it anew when a page is added or removed; what is in
//! a page is watched by the compiler itself.

use std::path::Path;
use std::process::Command;

/// The variable that `-V` and the metric `tidings_build_info` read. Whoever sets it knows better.
const BUILT_FROM: &str = "TIDINGS_BUILT_FROM";

fn main() {
    println!("cargo::rerun-if-changed=../../pages");
    println!("cargo::rerun-if-env-changed={BUILT_FROM}");
    // In other profiles it would compile the crate and its tests again after every commit.
    let release = variable("PROFILE").as_deref() == Some("release");
    if release && variable(BUILT_FROM).is_none() {
        name_the_commit();
    }
}

/// Passes on the commit, if this is a checkout of the project. A source archive has none.
fn name_the_commit() {
    // It is not the commit of another project that has these files somewhere in it.
    if git(&["rev-parse", "--show-prefix"]).as_deref() != Some("crates/tidings/") {
        return;
    }
    let commit = git(&["log", "-1", "--abbrev=10", "--format=%h, %cs"]);
    let (Some(commit), Some(version)) = (commit, variable("CARGO_PKG_VERSION")) else {
        return;
    };
    println!("cargo::rustc-env={BUILT_FROM}={version} ({commit})");
    // These change when another commit is checked out. A file that is not there would always count as
    // changed.
    for name in ["HEAD", "logs/HEAD"] {
        let file = git(&["rev-parse", "--git-path", name]);
        if let Some(file) = file.filter(|file| Path::new(file).exists()) {
            println!("cargo::rerun-if-changed={file}");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells build scripts everything by the environment"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Asks git; nothing if it is not there or knows no answer.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
