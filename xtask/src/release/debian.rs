//! The Debian package: program, unit, manual pages and completions.
//!
//! `dpkg-deb` packs a folder that is laid out here. cargo-deb would do the same from metadata, and is one
//! more program to build for what are twenty lines.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::archive::{self, COMPLETIONS, UNITS};
use super::{Release, install, output, text, write};

/// Makes the package and looks into it.
pub fn make(release: &Release) -> anyhow::Result<()> {
    if !release.runs_here() {
        println!("not made: the manual pages come from running the program");
        return Ok(());
    }
    let staging = release.folder("debian")?;
    let files = archive::folder(release);
    lay_out(release, &staging, &files)?;
    let kib = text(Command::new("du").arg("-sk").arg(&staging))?;
    let kib = kib.split_whitespace().next().unwrap_or("0");
    let architecture = release.debian_architecture();
    // The part after the dash counts packages of one version.
    let version = format!("{}-1", release.version);
    let control = format!(
        "Package: tidings\nVersion: {version}\nArchitecture: {architecture}\nSection: net\n\
         Priority: optional\nInstalled-Size: {kib}\nRecommends: ca-certificates\n\
         Maintainer: {MAINTAINER}\n{DESCRIPTION}"
    );
    write(&staging.join("DEBIAN/control"), control, 0o644)?;
    for name in ["postinst", "postrm"] {
        write(&staging.join("DEBIAN").join(name), RELOAD, 0o755)?;
    }
    let package = format!("tidings_{version}_{architecture}.deb");
    let package = release.dist.join(package);
    let mut build = Command::new("dpkg-deb");
    build
        .args(["--build", "--root-owner-group"])
        .env("SOURCE_DATE_EPOCH", &release.epoch);
    if release.rehearsal {
        build.arg("-z1");
    }
    output(build.arg(&staging).arg(&package))?;
    try_out(release, &package)
}

fn lay_out(release: &Release, staging: &Path, files: &Path) -> anyhow::Result<()> {
    install(
        &files.join("tidings"),
        &staging.join("usr/bin/tidings"),
        0o755,
    )?;
    for unit in UNITS {
        let text = std::fs::read_to_string(files.join("systemd").join(unit))?;
        let text = text.replace("/usr/local/bin/tidings", "/usr/bin/tidings");
        write(&staging.join(SYSTEM_UNITS).join(unit), text, 0o644)?;
    }
    for (_, place) in COMPLETIONS {
        let to = staging.join("usr/share").join(place);
        install(&files.join("share").join(place), &to, 0o644)?;
    }
    for page in std::fs::read_dir(files.join("man1"))? {
        let page = page?;
        let to = staging.join("usr/share/man/man1").join(page.file_name());
        install(&page.path(), &to, 0o644)?;
        output(Command::new("gzip").args(["-9", "-n", "-f"]).arg(&to))?;
    }
    let documents = staging.join("usr/share/doc/tidings");
    let licences = "This program is under either of two licences, at your choice.\n\n";
    let mit = std::fs::read_to_string(release.root.join("LICENSE-MIT"))?;
    let apache = "Or: Apache License, Version 2.0; see /usr/share/common-licenses/Apache-2.0.\n";
    let copyright = format!("{licences}{mit}\n{apache}");
    write(&documents.join("copyright"), copyright, 0o644)?;
    write(&documents.join("README.Debian"), README, 0o644)?;
    let changelog = std::fs::read(release.root.join("CHANGELOG.md"))?;
    write(&documents.join("changelog"), changelog, 0o644)?;
    let changelog = documents.join("changelog.Debian");
    write(&changelog, debian_changelog(release)?, 0o644)?;
    for name in ["changelog", "changelog.Debian"] {
        let file = documents.join(name);
        output(Command::new("gzip").args(["-9", "-n", "-f"]).arg(file))?;
    }
    Ok(())
}

/// Returns the changelog of the package itself, which only names the version that it packs.
fn debian_changelog(release: &Release) -> anyhow::Result<String> {
    let time = format!("--date=@{}", release.epoch);
    let time = text(Command::new("date").args(["--utc", "--rfc-email", &time]))?;
    let version = &release.version;
    Ok(format!(
        "tidings ({version}-1) unstable; urgency=medium\n\n  * Version {version}; see changelog.gz.\n\n \
         -- {MAINTAINER}  {time}\n"
    ))
}

/// Unpacks the package as dpkg would, runs the program, and has the unit and a page checked.
fn try_out(release: &Release, package: &Path) -> anyhow::Result<()> {
    let folder = release.folder("debian-tried")?;
    output(Command::new("dpkg-deb").arg("-x").arg(package).arg(&folder))?;
    let said = text(Command::new(folder.join("usr/bin/tidings")).arg("-V"))?;
    ensure!(said.contains(&release.version), "{said}");
    let fields = text(Command::new("dpkg-deb").arg("--field").arg(package))?;
    println!("{fields}");
    let page = folder.join("usr/share/man/man1/tidings-publish.1.gz");
    let shown = text(Command::new("zcat").arg(&page))?;
    ensure!(shown.contains("tidings-publish"), "{shown}");
    obeys_policy(package)?;
    // It looks for the program where the unit has it.
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(format!("--root={}", folder.display()))
        .args(UNITS)
        .output();
    match verify {
        Ok(verify) => {
            let said = String::from_utf8_lossy(&verify.stderr);
            let ours = |line: &&str| UNITS.iter().any(|unit| line.contains(unit));
            ensure!(!said.lines().any(|line| ours(&line)), "{said}");
            println!("systemd-analyze verify: nothing about the units");
        }
        Err(error) => println!("systemd-analyze not run: {error}"),
    }
    Ok(())
}

/// Has lintian compare the package with Debian's policy.
fn obeys_policy(package: &Path) -> anyhow::Result<()> {
    let checked = Command::new("lintian")
        .args(["--fail-on", "error,warning", "--suppress-tags"])
        .arg(NOT_OURS.join(","))
        .arg(package)
        .output()
        .context("cannot run lintian")?;
    let found = String::from_utf8_lossy(&checked.stdout);
    ensure!(checked.status.success(), "lintian: {found}");
    println!("lintian: no errors, no warnings");
    Ok(())
}

/// Who answers for the package. Set it before a release; see docs/releasing.md.
const MAINTAINER: &str = "The Tidings contributors <contributors@tidings.invalid>";

/// What Debian's policy requires of packages in its archive, and why this one differs.
const NOT_OURS: [&str; 3] = [
    // One program for every distribution, and for an image without libraries.
    "statically-linked-binary",
    // The same: a static program that can be loaded at any address looks like a library.
    "shared-library-lacks-prerequisites",
    // There is no bug of Debian that asks for it.
    "initial-upload-closes-no-bugs",
];

const DESCRIPTION: &str = "\
Description: real-time push for web applications
 An application publishes an update with one HTTP POST. Every subscribed browser
 receives it at once over Server-Sent Events, a WebSocket or long polling, and
 one that was away receives what it missed. Implements the Mercure protocol.
";

const RELOAD: &str = "\
#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || true
fi
";

/// Where Debian has units.
const SYSTEM_UNITS: &str = "lib/systemd/system";

const README: &str = "\
The service is not started: it needs a configuration first. As root:

  install -d /etc/tidings
  tidings init --output /etc/tidings/tidings.toml --key-file /etc/tidings/secret \\
    --data /var/lib/tidings
  sed -i 's|^key_file = .*|key_file = \"/run/credentials/tidings.service/secret\"|' \\
    /etc/tidings/tidings.toml
  chmod 0644 /etc/tidings/tidings.toml
  systemctl enable --now tidings

The secret stays readable by root alone: systemd gives it to the service as a credential.
";
