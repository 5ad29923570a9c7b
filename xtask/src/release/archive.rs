//! The archive: the program with its manual pages, completions, unit and licences. Other packages take
//! their files from the folder that it is made of.

use std::path::PathBuf;
use std::process::Command;

use super::{Release, install, output, write};

/// A shell, and where its completions are below `/usr/share`.
pub const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "bash-completion/completions/tidings"),
    ("zsh", "zsh/vendor-completions/_tidings"),
    ("fish", "fish/vendor_completions.d/tidings.fish"),
];

/// Units of systemd.
pub const UNITS: [&str; 2] = ["tidings.service", "tidings.socket"];

/// Licences and the like.
const TEXTS: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Makes the archive.
pub fn make(release: &Release) -> anyhow::Result<()> {
    let name = name(release);
    let folder = folder(release);
    install(&release.program(), &folder.join("tidings"), 0o755)?;
    for text in TEXTS {
        install(&release.root.join(text), &folder.join(text), 0o644)?;
    }
    for unit in UNITS {
        let file = release.root.join("ops/systemd").join(unit);
        install(&file, &folder.join("systemd").join(unit), 0o644)?;
    }
    if release.runs_here() {
        let program = release.program();
        output(Command::new(&program).arg("man").arg(folder.join("man1")))?;
        for (shell, place) in COMPLETIONS {
            let script = output(Command::new(&program).args(["completions", shell]))?;
            write(&folder.join("share").join(place), script.stdout, 0o644)?;
        }
    }
    let archive = release.dist.join(format!("{name}.tar"));
    output(
        release
            .tar()
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(&release.work)
            .arg(&name),
    )?;
    output(Command::new("gzip").args(["-9", "-n", "-f"]).arg(&archive))?;
    Ok(())
}

/// The name of the archive and of the folder in it.
fn name(release: &Release) -> String {
    format!(
        "tidings-{}-{}-linux",
        release.version,
        release.architecture()
    )
}

/// The folder that the archive is made of.
pub fn folder(release: &Release) -> PathBuf {
    release.work.join(name(release))
}
