//! `cargo xtask release`: what people get without a compiler, in `target/dist`.
//!
//! This file has the version and the order of the steps. Each kind of package has its own file. A step
//! tries what it made, as far as this machine can; `docs/releasing.md` says what it cannot.

mod archive;
mod debian;
mod image;
mod program;
mod sums;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};

use crate::stages::Stages;

/// The target that is built and tried.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Options of the command.
#[derive(clap::Args)]
pub struct Options {
    /// The target that is built for. Others than x86_64 are built and not tried.
    #[arg(long, default_value = TARGET)]
    target: String,
    /// Uses the program of the last release build.
    #[arg(long)]
    built: bool,
    /// Links the libraries of the debug build instead of building for release, to try every step in a
    /// minute. What it makes is not for use.
    #[arg(long, conflicts_with_all = ["sign_key", "target", "built"])]
    rehearsal: bool,
    /// Secret key of minisign to sign the checksums with. Without it, signing is tried with a key
    /// that is thrown away.
    #[arg(long, value_name = "FILE")]
    sign_key: Option<PathBuf>,
}

/// What a release is made of.
struct Release {
    root: PathBuf,
    /// Whether this is a rehearsal, with a debug build.
    rehearsal: bool,
    /// Where everything goes.
    dist: PathBuf,
    /// Where steps put what they need in between.
    work: PathBuf,
    target: String,
    version: String,
    /// The commit, short; with `-dirty` if the checkout has changes.
    commit: String,
    /// The day of the commit.
    date: String,
    /// The time of the commit, for reproducible archives. In seconds since the Unix epoch.
    epoch: String,
}

/// Tries every step, for continuous integration.
pub fn rehearse(stages: &mut Stages, root: &Path) {
    let options = Options {
        target: TARGET.to_owned(),
        built: false,
        rehearsal: true,
        sign_key: None,
    };
    if let Err(error) = run(stages, root, &options) {
        stages.check("release", || Err(error));
    }
}

/// Makes everything, one stage each.
///
/// # Errors
///
/// If the version or the commit cannot be found, or a folder cannot be made.
pub fn run(stages: &mut Stages, root: &Path, options: &Options) -> anyhow::Result<()> {
    let release = Release::of(root, options)?;
    if !options.built {
        stages.check("program", || release.stage(program::build));
    }
    stages.check("program, tried", || release.stage(program::try_out));
    stages.check("manual pages, completions and archive", || {
        release.stage(archive::make)
    });
    stages.check("Debian package", || release.stage(debian::make));
    stages.check("image", || release.stage(image::make));
    stages.check("list of components", || release.stage(sums::components));
    stages.check("checksums and signature", || {
        release.stage(|release| sums::sign(release, options.sign_key.as_deref()))
    });
    Ok(())
}

impl Release {
    fn of(root: &Path, options: &Options) -> anyhow::Result<Self> {
        let manifest = std::fs::read_to_string(root.join("Cargo.toml"))?;
        let manifest: toml::Table = manifest.parse()?;
        let version = manifest
            .get("workspace")
            .and_then(|workspace| workspace.get("package")?.get("version")?.as_str())
            .context("Cargo.toml names no version")?;
        let git = |arguments: &[&str]| text(Command::new("git").args(arguments).current_dir(root));
        let mut commit = git(&["rev-parse", "--short=10", "HEAD"])?;
        if !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() {
            commit.push_str("-dirty");
        }
        let release = Self {
            root: root.to_owned(),
            dist: root.join("target/dist"),
            work: root.join("target/dist-work"),
            rehearsal: options.rehearsal,
            target: options.target.clone(),
            version: version.to_owned(),
            commit,
            date: git(&["log", "-1", "--format=%cs"])?,
            epoch: git(&["log", "-1", "--format=%ct"])?,
        };
        for folder in [&release.dist, &release.work] {
            let _absent = std::fs::remove_dir_all(folder);
            std::fs::create_dir_all(folder)?;
        }
        Ok(release)
    }

    /// Runs a step as a stage; an error is its one problem.
    fn stage(&self, step: impl FnOnce(&Self) -> anyhow::Result<()>) -> anyhow::Result<Vec<String>> {
        step(self).map(|()| Vec::new())
    }

    /// Where the built program is.
    fn program(&self) -> PathBuf {
        if self.rehearsal {
            return self.work.join("program/tidings");
        }
        let folder = self.root.join("target").join(&self.target);
        folder.join("release/tidings")
    }

    /// The part of the target that packages are named after.
    fn architecture(&self) -> &str {
        self.target.split('-').next().unwrap_or_default()
    }

    /// The same in Debian's and Docker's words.
    fn debian_architecture(&self) -> &str {
        match self.architecture() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    }

    /// Whether this machine can run the program.
    fn runs_here(&self) -> bool {
        self.architecture() == std::env::consts::ARCH
    }

    /// Makes an empty folder for a step.
    fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.work.join(name);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Options with which GNU tar makes the same archive of the same files.
    fn tar(&self) -> Command {
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "--numeric-owner", "--owner=0", "--group=0"]);
        tar.arg(format!("--mtime=@{}", self.epoch));
        tar
    }
}

/// Copies a file to where its folder may not exist yet, with these permissions.
fn install(from: &Path, to: &Path, mode: u32) -> anyhow::Result<()> {
    let bytes = std::fs::read(from).with_context(|| from.display().to_string())?;
    write(to, &bytes, mode)
}

/// Writes a file where its folder may not exist yet, with these permissions.
fn write(to: &Path, bytes: impl AsRef<[u8]>, mode: u32) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(to, bytes).with_context(|| to.display().to_string())?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Runs a command to its end.
fn output(command: &mut Command) -> anyhow::Result<Output> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| shown.clone())?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{shown} ended with {}\n{errors}",
        output.status
    );
    Ok(output)
}

/// Runs a command and returns what it printed.
fn text(command: &mut Command) -> anyhow::Result<String> {
    let output = output(command)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
