//! What is in a release: the list of components, the checksums and their signature.

use std::collections::BTreeSet;
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
    consistent(&list)?;
    println!("{} components", names.len());
    std::fs::write(release.dist.join(format!("{name}.json")), text)?;
    Ok(())
}

/// Checks what the schema of CycloneDX does not: that each component is listed once with its version, and that
/// each component that a dependency names is listed.
fn consistent(list: &serde_json::Value) -> anyhow::Result<()> {
    let text = |value: &serde_json::Value, name: &str| -> String {
        let text = value.get(name).and_then(|text| text.as_str());
        text.unwrap_or_default().to_owned()
    };
    ensure!(text(list, "bomFormat") == "CycloneDX" && text(list, "specVersion") == "1.5");
    let mut known = BTreeSet::new();
    let components = list.get("components").and_then(|list| list.as_array());
    for component in components.into_iter().flatten() {
        let (name, version) = (text(component, "name"), text(component, "version"));
        ensure!(
            !name.is_empty() && !version.is_empty(),
            "a component lacks its name or version"
        );
        let reference = text(component, "bom-ref");
        ensure!(
            known.insert(reference.clone()),
            "{reference} is listed twice"
        );
    }
    let root = list
        .get("metadata")
        .and_then(|metadata| metadata.get("component"));
    known.extend(root.map(|root| text(root, "bom-ref")));
    let edges = list.get("dependencies").and_then(|list| list.as_array());
    for edge in edges.into_iter().flatten() {
        let to = edge.get("dependsOn").and_then(|list| list.as_array());
        let to = to.into_iter().flatten().filter_map(|to| to.as_str());
        for reference in to.map(str::to_owned).chain([text(edge, "ref")]) {
            ensure!(known.contains(&reference), "{reference} is not listed");
        }
    }
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
    let mut check = Command::new("sha256sum");
    output(
        check
            .args(["--check", "--strict", "SHA256SUMS"])
            .current_dir(&release.dist),
    )?;
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
