//! What the build script passes on to `tidings -V`.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

#[test]
fn a_release_build_of_a_checkout_names_its_commit() {
    let script = Script::compiled();
    let checkout = script.checkout();
    let said = script.said(&checkout, "release", None);
    let commit = git(&checkout, &["rev-parse", "--short=10", "HEAD"]);
    let day = git(&checkout, &["log", "-1", "--format=%cs"]);
    let expected = format!("cargo::rustc-env=TIDINGS_BUILT_FROM=1.2.3 ({commit}, {day})");
    assert!(said.lines().any(|line| line == expected), "{said}");
    // What it watches is there; cargo would run it at each build otherwise.
    let watched = said.lines().filter_map(|line| {
        let path = line.strip_prefix("cargo::rerun-if-changed=")?;
        (!path.ends_with("pages")).then(|| checkout.join(path))
    });
    let watched: Vec<_> = watched.collect();
    assert!(
        watched.len() == 2 && watched.iter().all(|file| file.exists()),
        "{watched:?}"
    );
}

#[test]
fn no_commit_is_named_where_it_would_be_wrong_or_cost_time() {
    let script = Script::compiled();
    let checkout = script.checkout();
    // Each commit would compile the crate again.
    check_silent(&script.said(&checkout, "debug", None));
    // `cargo xtask release` and the image name it themselves.
    check_silent(&script.said(&checkout, "release", Some("1.2.3 (x)")));
    // A copy in the repository of another project.
    let copy = checkout.join("vendor");
    std::fs::create_dir(&copy).unwrap();
    check_silent(&script.said(&copy, "release", None));
    // A source archive.
    let archive = tempfile::tempdir().unwrap();
    check_silent(&script.said(archive.path(), "release", None));
}

#[track_caller]
fn check_silent(said: &str) {
    assert!(!said.contains("cargo::rustc-env"), "{said}");
}

/// The build script as a program.
struct Script {
    folder: TempDir,
}

impl Script {
    fn compiled() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let status = Command::new("rustc")
            .args(["--edition", "2024", "-o"])
            .arg(folder.path().join("script"))
            .arg(source)
            .status();
        assert!(status.unwrap().success());
        Self { folder }
    }

    /// Makes a repository with one commit; returns where the crate is in it.
    fn checkout(&self) -> std::path::PathBuf {
        let folder = self.folder.path().join("checkout/crates/tidings");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("build.rs"), "").unwrap();
        let root = self.folder.path().join("checkout");
        git(&root, &["init", "--quiet"]);
        git(&root, &["add", "."]);
        let author = [
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.com",
            "-c",
            "commit.gpgsign=false",
        ];
        git(
            &root,
            &[&author[..], &["commit", "--quiet", "-m", "x"]].concat(),
        );
        folder
    }

    /// Runs it in a folder and returns what it tells cargo.
    fn said(&self, folder: &Path, profile: &str, built_from: Option<&str>) -> String {
        let output = Command::new(self.folder.path().join("script"))
            .current_dir(folder)
            .env_remove("TIDINGS_BUILT_FROM")
            .env("PROFILE", profile)
            .env("CARGO_PKG_VERSION", "1.2.3")
            .envs(built_from.map(|value| ("TIDINGS_BUILT_FROM", value)))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}
