//! A Redis server of a test, and hubs on it.
//!
//! `redis-server` is Debian's; `cargo xtask deps` installs it. Without it the tests fail.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::dialects::all_dialects;
use super::{DEADLINE, TestHub, wait_until};

/// Asks a server for its process id, in one line.
const PROCESS_ID: &str =
    r#"EVAL "return tonumber(redis.call('INFO', 'server'):match('process_id:(%d+)'))" 0"#;

/// A server, killed when it is dropped.
pub struct Redis {
    port: u16,
    arguments: Vec<String>,
    child: Child,
    folder: TempDir,
}

impl Redis {
    /// Starts a server that keeps nothing over its end, with more arguments.
    pub fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        // A free port may be taken before the server has it: then it ends, and another is tried.
        let (port, child) = wait_until("a server starts", || {
            let port = free_port();
            let mut child = spawn(port, &folder, &arguments);
            is_up(&mut child, port).then_some((port, child))
        });
        Self {
            port,
            arguments,
            child,
            folder,
        }
    }

    /// Returns the address for `cluster.url`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Kills it without a word.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// Starts it again on its port.
    pub fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder, &self.arguments);
        assert!(is_up(&mut self.child, self.port), "it does not start again");
    }

    /// Stops it in its tracks.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("signalled");
    }

    /// Sends a command without spaces in its words; returns the first line of the answer.
    pub fn ask(&self, command: &str) -> String {
        let answer = ask(self.port, command);
        answer.expect("an answer")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have been killed by its test.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns a port that nobody has.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn spawn(port: u16, folder: &TempDir, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--daemonize", "no", "--save", "", "--dir"])
        .arg(folder.path())
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("no redis-server: run `cargo xtask deps`")
}

/// Waits until the server answers, or has ended. Another test's server may answer at its port.
fn is_up(child: &mut Child, port: u16) -> bool {
    wait_until("the server answers or ends", || {
        if child.try_wait().expect("its status").is_some() {
            return Some(false);
        }
        // A script is refused while the server loads its data.
        let answer = ask(port, PROCESS_ID).ok()?;
        (answer == format!(":{}", child.id())).then_some(true)
    })
}

#[test]
fn a_redis_at_the_port_of_another_one_is_not_taken_for_it() {
    let there = Redis::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = spawn(there.port, &folder, &[]);
    assert!(!is_up(&mut child, there.port));
}

/// Sends a command in one line. "Redis serialization protocol specification", "Inline commands".
fn ask(port: u16, command: &str) -> std::io::Result<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(format!("{command}\r\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    if line.is_empty() {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// Returns a `tidings.toml` of a hub on this server: every dialect, every door but ZeroMQ.
pub fn member(redis: &Redis, more: &str) -> String {
    let url = redis.url();
    member_of(&format!("engine = \"redis\"\nurl = \"{url}\""), more)
}

/// The same, with what `[cluster]` says of the engine.
pub fn member_of(engine: &str, more: &str) -> String {
    all_dialects(&format!(
        "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
         [sockjs]\nenabled = true\n{more}\n\
         [cluster]\n{engine}\nmax_wait_ms = 20000\n"
    ))
}

impl TestHub {
    /// Starts a hub of a cluster, and waits until it is ready.
    #[track_caller]
    pub fn joined(redis: &Redis, more: &str) -> Self {
        let hub = Self::serve_in(
            Arc::new(tempfile::tempdir().expect("a folder")),
            &member(redis, more),
            &[],
        );
        hub.wait_until_ready();
        hub
    }

    /// Waits until the hub says that it is ready.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        wait_until("the hub is ready", || {
            (self.request_admin("/health/ready").status == 200).then_some(())
        });
    }
}
