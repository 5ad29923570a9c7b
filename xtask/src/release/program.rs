//! The program: one static file without symbols.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};

use super::{Release, install, text};

/// Builds the program.
pub fn build(release: &Release) -> anyhow::Result<()> {
    let Release {
        version,
        commit,
        date,
        ..
    } = release;
    let mut command = if release.rehearsal {
        quickly()
    } else {
        well(&release.target)
    };
    let status = command
        .current_dir(&release.root)
        .env(
            "TIDINGS_BUILT_FROM",
            format!("{version} ({commit}, {date})"),
        )
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "cargo ended with {status}");
    if release.rehearsal {
        let made = release.root.join("target/debug/tidings");
        install(&made, &release.program(), 0o755)?;
    }
    Ok(())
}

/// Returns the command that builds what people get.
fn well(target: &str) -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["build", "--release", "--locked", "--package", "tidings"])
        .args(["--bin", "tidings", "--target", target])
        // glibc itself is linked in. With a target named, the flag does not reach build scripts.
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
    command
}

/// Returns the command that links a static program from libraries that the tests have compiled.
fn quickly() -> Command {
    let mut command = Command::new("cargo");
    command
        .args(["rustc", "--locked", "--package", "tidings"])
        // The simulator enables this feature for the whole workspace. Without it, everything that
        // uses tokio is compiled again.
        .args(["--bin", "tidings", "--features", "tokio/test-util"])
        .args(["--", "-C", "target-feature=+crt-static"])
        .args(["-C", "strip=symbols"]);
    command
}

/// Checks that the program needs no library, names its commit, and serves.
pub fn try_out(release: &Release) -> anyhow::Result<()> {
    let program = release.program();
    let bytes = std::fs::metadata(&program)
        .with_context(|| program.display().to_string())?
        .len();
    println!("{}: {bytes} bytes", program.display());
    let headers = text(Command::new("readelf").args(["-lW"]).arg(&program))?;
    ensure!(!headers.contains("INTERP"), "the program asks for a loader");
    if !release.runs_here() {
        println!("not tried: this machine cannot run {}", release.target);
        return Ok(());
    }
    let said = text(Command::new(&program).arg("-V"))?;
    println!("{said}");
    ensure!(
        said.starts_with(&format!("tidings {} (", release.version)),
        "it says that it is {said:?}"
    );
    publishes(release, &program)
}

/// Starts a hub and publishes by a host name, which a static program must be able to look up.
fn publishes(release: &Release, program: &Path) -> anyhow::Result<()> {
    let data = release.folder("tried")?;
    let hub = Command::new(program)
        .args(["dev", "--listen", "127.0.0.1:0", "--data"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut hub = Ended(hub);
    let stdout = hub.0.stdout.take().context("no output")?;
    let mut lines = BufReader::new(stdout).lines();
    let ready =
        |line: &std::io::Result<String>| line.as_ref().is_ok_and(|line| line.contains("  Hub "));
    lines.find(ready).context("the hub did not start")??;
    let published = text(
        Command::new(program)
            .args(["publish", "https://example.com/books/1", "tried"])
            .arg("--dev-data")
            .arg(&data),
    )?;
    ensure!(published.starts_with("urn:uuid:"), "{published}");
    let file = data.join("history.db");
    let stored = text(
        Command::new(program)
            .args(["history", "export", "--file"])
            .arg(&file),
    )?;
    ensure!(stored.contains("\"data\":\"tried\""), "{stored}");
    println!("started a hub, published, and read its history");
    Ok(())
}

/// A process that ends with its value.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
