//! A hub under a service manager: what it tells it, and the units in `ops/systemd`.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rustix::process::Signal;

use crate::harness::tokens::settings;
use crate::harness::{DEADLINE, TestHub};

const SERVED: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
                      [server]\ndrain_secs = 0\n";

#[test]
fn systemd_is_told_of_every_turn() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let environment = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
    ];
    let mut hub = TestHub::serve_in(folder, &settings(SERVED), &environment);
    let ready = told(&socket, "READY=1");
    assert!(ready.contains("STATUS=0 connections, 0 streams"), "{ready}");
    told(&socket, "WATCHDOG=1");
    let stream = hub.subscribe("match=a");
    loop {
        let status = told(&socket, "WATCHDOG=1");
        if status.contains("STATUS=1 connections, 1 streams") {
            break;
        }
    }
    hub.signal(Signal::HUP);
    let reloading = told(&socket, "RELOADING=1");
    let usec = reloading
        .lines()
        .find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(
        usec.is_some_and(|usec| usec.parse::<u64>().unwrap() > 0),
        "{reloading}"
    );
    told(&socket, "READY=1");
    drop(stream);
    hub.terminate();
    let stopping = told(&socket, "STOPPING=1");
    assert!(stopping.contains("STATUS=draining"), "{stopping}");
    assert!(hub.wait_for_exit().success());
}

#[test]
fn a_hub_does_without_a_systemd_that_is_not_there() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let path = folder.path().join("nobody").display().to_string();
    let hub = TestHub::serve_in(folder, &settings(SERVED), &[("NOTIFY_SOCKET", &path)]);
    let log = hub.log();
    assert!(log.contains("cannot reach the service manager"), "{log}");
}

/// The program of the unit is not installed where the tests run, so another takes its place.
#[test]
fn the_units_are_valid_and_hardened() {
    let folder = tempfile::tempdir().unwrap();
    let units = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../ops/systemd");
    let mut paths = Vec::new();
    for name in ["tidings.service", "tidings.socket"] {
        let text = std::fs::read_to_string(units.join(name)).unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text.replace("/usr/local/bin/tidings", "/bin/true")).unwrap();
        paths.push(path);
    }
    let run = |arguments: &[&str], paths: &[PathBuf]| {
        let mut command = Command::new("systemd-analyze");
        let output = command.args(arguments).args(paths).output();
        let output = output.expect("no systemd-analyze: run `cargo xtask deps`");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(said).unwrap())
    };
    let (valid, said) = run(&["verify"], &paths);
    assert!(valid && said.is_empty(), "{said}");
    // An exposure of 2.0, which it counts in tenths.
    let arguments = ["security", "--offline=true", "--threshold=20"];
    let (safe, said) = run(&arguments, &paths[..1]);
    assert!(safe, "{said}");
}

/// Waits for a datagram with this line, and returns it.
#[track_caller]
fn told(socket: &UnixDatagram, line: &str) -> String {
    let mut bytes = [0; 4096];
    loop {
        let count = socket.recv(&mut bytes).expect("a datagram in time");
        let text = String::from_utf8(bytes[..count].to_vec()).unwrap();
        if text.lines().any(|told| told == line) {
            return text;
        }
    }
}
