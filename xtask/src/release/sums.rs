//! What is in a release: the list of components, the checksums and their signature.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::{Release, output, text};

/// Writes the list of components (SBOM) in CycloneDX.
pub fn components(release: &Release) -> anyhow::Result<()> {
    let name = format!("tidings-{}.cdx", release.version);
    output(
        Command::new("cargo")
            .args(["cyclonedx", "--format", "json", "--spec-version", "1.5"])
            .args(["--target", &release.target, "--override-filename", &name])
            .args(["--manifest-path", "crates/tidings/Cargo.toml"])
            .current_dir(&release.root)
            .env("SOURCE_DATE_EPOCH", &release.epoch),
    )
    .context("cargo install cargo-cyclonedx installs it")?;
    let made = release
        .root
        .join("crates/tidings")
        .join(format!("{name}.json"));
    let text = std::fs::read_to_string(&made)?;
    // It writes one for each package of the workspace.
    for package in std::fs::read_dir(release.root.join("crates"))? {
        let other = package?.path().join(format!("{name}.json"));
        let _absent = std::fs::remove_file(other);
    }
    let _absent = std::fs::remove_file(release.root.join("xtask").join(format!("{name}.json")));
    let list: serde_json::Value = serde_json::from_str(&text)?;
    let components = list.get("components").and_then(|list| list.as_array());
    let names: Vec<&str> = components
        .into_iter()
        .flatten()
        .filter_map(|component| component.get("name")?.as_str())
        .collect();
    for needed in ["rustls", "rusqlite", "hyper", "tidings-hub"] {
        ensure!(
            names.contains(&needed),
            "{needed} is not among the components"
        );
    }
    println!("{} components", names.len());
    std::fs::write(release.dist.join(format!("{name}.json")), text)?;
    Ok(())
}

/// Writes the checksums of everything in the folder, and signs them.
pub fn sign(release: &Release, key: Option<&Path>) -> anyhow::Result<()> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&release.dist)? {
        names.push(entry?.file_name());
    }
    names.sort();
    let mut command = Command::new("sha256sum");
    let sums = text(command.args(&names).current_dir(&release.dist))?;
    println!("{sums}");
    let file = release.dist.join("SHA256SUMS");
    std::fs::write(&file, format!("{sums}\n"))?;
    let comment = format!("tidings {} {}", release.version, release.commit);
    if let Some(key) = key {
        let mut command = Command::new("minisign");
        command.args(["-S", "-t", &comment, "-s"]).arg(key);
        // It may ask for the key's password.
        let status = command.arg("-m").arg(&file).status()?;
        ensure!(status.success(), "minisign ended with {status}");
        return Ok(());
    }
    let folder = release.folder("signature")?;
    let (public, secret) = (folder.join("key.pub"), folder.join("key"));
    let signature = folder.join("SHA256SUMS.minisig");
    let mut command = Command::new("minisign");
    command.args(["-G", "-W", "-p"]).arg(&public);
    output(command.arg("-s").arg(&secret))?;
    let mut command = Command::new("minisign");
    command.args(["-S", "-t", &comment, "-s"]).arg(&secret);
    output(command.arg("-x").arg(&signature).arg("-m").arg(&file))?;
    let mut command = Command::new("minisign");
    command.args(["-V", "-p"]).arg(&public);
    output(command.arg("-x").arg(&signature).arg("-m").arg(&file))?;
    println!("signing works; nothing is signed, because no --sign-key was given");
    Ok(())
}
