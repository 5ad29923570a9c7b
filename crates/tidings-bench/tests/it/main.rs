//! The program from outside: its exit codes, its report, and what it keeps to itself.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that is not as expected"
)]

use std::process::{Command, Output};

const SECRET: &str = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJhIn0.c2lnbmF0dXJl-_";

#[test]
fn the_yardstick_is_a_report_in_json() {
    let output = run(&["floor", "--sockets", "2", "--rounds", "3", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(report.is_object(), "{report}");
}

#[test]
fn without_a_hub_the_arguments_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().display().to_string();
    let output = run(&["idle", "--dev-data", &data]);
    assert_eq!(output.status.code(), Some(2));
    assert!(errors(&output).contains("--hub URL"), "{}", errors(&output));
}

#[test]
fn a_hub_that_is_not_there_is_a_failure() {
    let output = run(&["idle", "--hub", "http://127.0.0.1:1/.well-known/mercure"]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
}

#[test]
fn no_secret_is_shown() {
    let hub = format!("http://user:{SECRET}@127.0.0.1:1/hub");
    for arguments in [&["idle", "--help"][..], &["idle", SECRET], &["idle"]] {
        let mut command = command(arguments);
        let output = command
            .env("TIDINGS_HUB", &hub)
            .env("TIDINGS_TOKEN", SECRET);
        let output = output.output().unwrap();
        let shown = [output.stdout.as_slice(), &output.stderr].concat();
        let shown = String::from_utf8_lossy(&shown).into_owned();
        assert!(!shown.is_empty(), "{arguments:?}");
        assert!(!shown.contains(SECRET), "{arguments:?}: {shown}");
    }
}

fn run(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings-bench"));
    command.args(arguments).env_clear();
    command
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
