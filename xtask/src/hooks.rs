//! The pre-commit hook: `cargo xtask check` before each commit.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The hook checks the working tree: both staged and unstaged changes.
const PRE_COMMIT: &str = "#!/bin/sh\n# by cargo xtask hooks\nexec cargo xtask check\n";

/// Writes the hook.
///
/// # Errors
///
/// If git does not report the hook folder, or there is another hook.
pub fn install(root: &Path) -> anyhow::Result<()> {
    let arguments = ["rev-parse", "--git-path", "hooks"];
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    ensure!(
        output.status.success(),
        "git rev-parse ended with {}",
        output.status
    );
    let folder = root.join(String::from_utf8(output.stdout)?.trim());
    let path = folder.join("pre-commit");
    if let Ok(existing) = std::fs::read_to_string(&path) {
        ensure!(
            existing.contains("by cargo xtask hooks"),
            "{} is another hook; remove it first",
            path.display()
        );
    }
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
    std::fs::write(&path, PRE_COMMIT)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, executable).context("cannot make the hook executable")?;
    println!("wrote {}", path.display());
    Ok(())
}
