//! `tidings bench`: it starts `tidings-bench`, from its own folder or from `PATH`.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

#[test]
fn bench_becomes_the_program_beside_it() {
    let (home, path) = (home(), folder());
    symlink("/bin/echo", home.path().join("tidings-bench")).unwrap();
    symlink("/bin/false", path.path().join("tidings-bench")).unwrap();
    let expected = (Some(0), "idle --subscribers 3 --json\n".to_owned());
    assert_eq!(bench(home.path(), path.path()), expected);
}

#[test]
fn bench_becomes_the_program_in_the_path() {
    let (home, path) = (home(), folder());
    symlink("/bin/echo", path.path().join("tidings-bench")).unwrap();
    let expected = (Some(0), "idle --subscribers 3 --json\n".to_owned());
    assert_eq!(bench(home.path(), path.path()), expected);
}

#[test]
fn without_the_program_bench_says_how_to_get_it() {
    let (code, said) = bench(home().path(), folder().path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cargo build --release"), "{said}");
}

/// Returns a folder with the program alone in it.
fn home() -> TempDir {
    let home = folder();
    let (program, here) = (env!("CARGO_BIN_EXE_tidings"), home.path().join("tidings"));
    std::fs::hard_link(program, &here)
        .or_else(|_elsewhere| std::fs::copy(program, &here).map(drop))
        .unwrap();
    home
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Returns the exit code and all that is said.
fn bench(home: &Path, path: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(home.join("tidings"));
    command.args(["bench", "idle", "--subscribers", "3", "--json"]);
    let output = command.env_clear().env("PATH", path).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}
