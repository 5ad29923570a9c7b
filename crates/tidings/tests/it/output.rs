//! Output without a reader: the log is best effort, and the hub continues when nothing reads it.

use std::fs::{File, Permissions};
use std::io::{BufRead, BufReader, PipeReader, Read, pipe};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::tokens::{settings, token_for_all};
use crate::harness::{Answer, Connection, DEADLINE, EventStream, HUB_PATH, Request, wait_until};

/// What a pipe of Linux holds before a writer waits, in bytes.
const PIPE_BYTES: usize = 64 * 1024;
/// What waits in the hub beyond that, in bytes: one queue, and one on its way out.
const QUEUES_BYTES: usize = 2 * 1024 * 1024;
/// Lines of a log that may wait for the test.
const LINES_MAX: usize = 100_000;

#[test]
fn a_log_whose_reader_is_gone_ends_neither_the_hub_nor_its_drain() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    check_outlives("a closed pipe", Said::by(writer.into(), Stdio::null()));
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let both = writer.try_clone().unwrap();
    check_outlives("both closed", Said::by(writer.into(), both.into()));
    let full = || File::options().write(true).open("/dev/full").unwrap();
    check_outlives("a full disk", Said::by(full().into(), full().into()));
    check_outlives("2>&-", Said::redirected("2>&-"));
    check_outlives(">&- 2>&-", Said::redirected(">&- 2>&-"));
    let (reader, writer) = pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    check_outlives(
        "a pipe that never waits",
        Said::by(writer.into(), Stdio::null()),
    );
    drop(reader);
}

#[test]
fn a_reader_that_leaves_after_the_first_line_does_not_end_the_hub() {
    let (reader, writer) = pipe().unwrap();
    let both = writer.try_clone().unwrap();
    let mut hub = Hub::serve("", Said::by(writer.into(), both.into()));
    let mut reader = BufReader::new(reader);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with('{'), "{line}");
    drop(reader);
    wait_until("the loss is counted", || {
        let answer = Connection::open(hub.address).request(&Request::get("/nothing"));
        assert_eq!(answer.status, 404);
        Some(hub.lost("failed")).filter(|lost| *lost > 0.0)
    });
    check_answers_and_ends(&mut hub, "head -n 1");
}

#[test]
fn a_developers_hub_outlives_whoever_read_its_banner() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let both = writer.try_clone().unwrap();
    let mut hub = Hub::dev(Said::by(writer.into(), both.into()));
    check_answers_and_ends(&mut hub, "dev with closed outputs");
    // One pipe for both, which is full already when the hub starts.
    let (reader, writer) = full_pipe();
    let both = writer.try_clone().unwrap();
    let mut hub = Hub::dev(Said::by(writer.into(), both.into()));
    check_answers_and_ends(&mut hub, "dev with a full pipe");
    drop(reader);
}

#[test]
fn a_pipe_that_nobody_reads_holds_nothing_up_and_what_is_lost_is_counted_and_told() {
    let (reader, writer) = pipe().unwrap();
    let mut hub = Hub::serve("", Said::by(writer.into(), Stdio::null()));
    let mut connection = Connection::open(hub.address);
    let long = format!("/nothing?{}", "x".repeat(4096));
    let enough = 2 * (PIPE_BYTES + QUEUES_BYTES) / long.len();
    for _ in 0..enough {
        assert_eq!(connection.request(&Request::get(&long)).status, 404);
    }
    assert!(hub.lost("full") > 0.0);
    // A reader is back: the queued lines come, then the number of lost ones, and the log continues.
    let lines = follow(reader);
    let told = wait_for_line(&lines, |line| line["message"].as_str() == Some(LOST));
    let lost = hub.lost("full");
    assert_eq!(told["lines"].as_f64(), Some(lost), "{told}");
    let again = Request::get("/nothing?after-the-loss");
    assert_eq!(connection.request(&again).status, 404);
    wait_for_line(&lines, |line| line.to_string().contains("after-the-loss"));
    assert!((hub.lost("full") - lost).abs() < f64::EPSILON);
    drop(connection);
    assert!(hub.stop().success());
    wait_for_line(&lines, |line| line["message"].as_str() == Some("stopping"));
}

#[test]
fn a_hub_whose_log_is_stuck_drains_and_ends() {
    let (reader, writer) = full_pipe();
    let both = writer.try_clone().unwrap();
    let mut hub = Hub::serve("", Said::by(writer.into(), both.into()));
    check_answers_and_ends(&mut hub, "a full pipe");
    drop(reader);
    // A start that fails without a reader of the error.
    let (reader, writer) = full_pipe();
    let mut child = command(&["serve", "--config", "/nonexistent"])
        .stderr(writer)
        .spawn()
        .unwrap();
    let status = wait_until("the process ends", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(2));
    drop(reader);
}

#[test]
fn why_a_hub_ends_is_the_last_that_is_read() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for level in ["off", "info"] {
        let (reader, writer) = pipe().unwrap();
        let said = Said::by(writer.into(), Stdio::null());
        let mut hub = Hub::spawn_at(address, &format!("[log]\nlevel = \"{level}\"\n"), said);
        assert_eq!(hub.wait().code(), Some(1));
        let text = std::io::read_to_string(reader).unwrap();
        let last = text.lines().last().unwrap_or_default();
        let wanted = format!("tidings: cannot listen on {address}");
        assert!(last.starts_with(&wanted), "{level}: {text}");
    }
}

#[test]
fn commands_whose_reader_is_gone_end_quietly() {
    let hub = crate::harness::TestHub::dev();
    let data = hub.data();
    let data = data.to_str().unwrap();
    let publish = ["publish", "--dev-data", data, "--topic", "a", "--data", "b"];
    let subscribe = [
        "subscribe",
        "--dev-data",
        data,
        "--topic",
        "*",
        "--earliest",
    ];
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["config", "docs"],
        &["config", "show"],
        &["token", "make", "--dev-data", data, "--publish", "*"],
        &publish,
        &subscribe,
    ] {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let output = command(arguments).stdout(writer).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        assert!(!errors.contains("panicked"), "{arguments:?}: {errors}");
        // Nobody is told anything by an error either.
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let both = writer.try_clone().unwrap();
        let status = command(arguments).stdout(writer).stderr(both).status();
        assert_eq!(status.unwrap().code(), Some(0), "{arguments:?}");
    }
}

/// What the hub says about lost lines.
const LOST: &str = "lines of the log are lost: nothing could be written for a while";

/// A hub must answer, log and drain although nothing reads its output.
#[track_caller]
fn check_outlives(case: &str, said: Said) {
    let mut hub = Hub::serve("", said);
    check_answers_and_ends(&mut hub, case);
}

#[track_caller]
pub fn check_answers_and_ends(hub: &mut Hub, case: &str) {
    // Each request is a line, and there are more than a pipe holds.
    let mut connection = Connection::open(hub.address);
    let long = format!("/nothing?{}", "x".repeat(4096));
    for _ in 0..2 * PIPE_BYTES / long.len() {
        assert_eq!(
            connection.request(&Request::get(&long)).status,
            404,
            "{case}"
        );
    }
    drop(connection);
    let request = Request::get(&format!("{HUB_PATH}?match=a"));
    let mut stream = EventStream::open(Connection::open(hub.address), &request);
    if let Some(token) = &hub.token {
        let publish = Request::post(HUB_PATH)
            .bearer(token)
            .form(&[("topic", "a")]);
        assert_eq!(
            Connection::open(hub.address).request(&publish).status,
            200,
            "{case}"
        );
        stream.event();
    }
    hub.signal(Signal::TERM);
    // The stream must end properly: a broken connection fails here.
    assert_eq!(stream.next_event(), None, "{case}");
    let status = hub.wait();
    assert!(status.success(), "{case}: {status}");
}

/// Where a hub's output goes.
struct Said {
    stderr: Stdio,
    stdout: Stdio,
    /// The shell's redirections.
    redirection: &'static str,
}

impl Said {
    fn by(stderr: Stdio, stdout: Stdio) -> Self {
        Self {
            stderr,
            stdout,
            redirection: "",
        }
    }

    fn redirected(redirection: &'static str) -> Self {
        Self {
            stderr: Stdio::null(),
            stdout: Stdio::null(),
            redirection,
        }
    }
}

/// A hub whose output nobody reads; killed when dropped.
pub struct Hub {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    token: Option<String>,
    _folder: TempDir,
}

impl Hub {
    /// Starts `tidings serve` with a line for each request, and waits until it answers.
    fn serve(more: &str, said: Said) -> Self {
        let toml = format!("{more}[log]\naccess = true\nformat = \"json\"\n");
        let mut hub = Self::spawn_at(free_address(), &toml, said);
        hub.wait_for_answers();
        hub
    }

    /// The same, with a terminal or file for both outputs.
    pub fn serve_on(file: File) -> Self {
        let both = file.try_clone().unwrap();
        Self::serve("", Said::by(file.into(), both.into()))
    }

    /// Starts one and does not wait for it.
    pub fn spawn() -> Self {
        let said = Said::by(Stdio::null(), Stdio::null());
        Self::spawn_at(free_address(), "", said)
    }

    fn spawn_at(address: SocketAddr, more: &str, said: Said) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let admin = free_address();
        let data = folder.path().join("data");
        let toml = settings(&format!(
            "{more}[[listen]]\naddress = \"{address}\"\n[admin]\naddress = \"{admin}\"\n\
             [data]\ndir = {data:?}\n[server]\ndrain_secs = 1\n[subscribe]\nanonymous = true\n"
        ));
        let path = folder.path().join("tidings.toml");
        std::fs::write(&path, toml).unwrap();
        // Nobody else may read the secret in it, or there is a warning.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let arguments = ["serve", "--config", path.to_str().unwrap()];
        Self {
            child: spawn(&arguments, said),
            address,
            admin,
            token: Some(token_for_all()),
            _folder: folder,
        }
    }

    fn dev(said: Said) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = free_address();
        let data = folder.path().join("data");
        let listen = address.to_string();
        let arguments = ["dev", "--listen", &listen, "--data", data.to_str().unwrap()];
        let mut hub = Self {
            child: spawn(&arguments, said),
            address,
            admin: address,
            token: None,
            _folder: folder,
        };
        hub.wait_for_answers();
        hub
    }

    pub fn wait_for_answers(&mut self) {
        let address = self.address;
        wait_until("the hub answers", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the hub ended with {status}");
            }
            TcpStream::connect(address).ok()
        });
    }

    /// Returns how many lines of the log are counted as lost. None if the hub cannot be asked.
    fn lost(&self, reason: &str) -> f64 {
        let wanted = format!("tidings_log_lines_dropped_total{{reason=\"{reason}\"}} ");
        let Ok(socket) = TcpStream::connect(self.admin) else {
            return 0.0;
        };
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        let answer: Answer =
            Connection::over(self.admin, socket).request(&Request::get("/metrics"));
        let text = answer.text();
        let line = text.lines().find_map(|line| line.strip_prefix(&wanted));
        line.map_or(0.0, |number| number.parse().unwrap())
    }

    /// Says whether the process has a handler for a signal.
    pub fn takes(&self, signal: Signal) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let mut lines = status.lines();
        let mask = lines.find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        let mask = u64::from_str_radix(mask.trim(), 16).unwrap();
        mask >> (signal.as_raw() - 1) & 1 == 1
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        wait_until("the process ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn spawn(arguments: &[&str], said: Said) -> Child {
    let mut command = if said.redirection.is_empty() {
        command(arguments)
    } else {
        let mut shell = Command::new("sh");
        let script = format!("exec \"$@\" {}", said.redirection);
        shell.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tidings")]);
        shell.args(arguments).env_clear();
        shell
    };
    let child = command
        .stdin(Stdio::null())
        .stdout(said.stdout)
        .stderr(said.stderr)
        .spawn();
    child.expect("the binary starts")
}

fn command(arguments: &[&str]) -> Command {
    let arguments: Vec<String> = arguments.iter().map(|&one| one.to_owned()).collect();
    crate::harness::command(&arguments, &[])
}

/// Returns an address that was free a moment ago. Nobody can be asked for the port of a hub that says
/// nothing.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Returns a pipe that takes nothing more.
fn full_pipe() -> (PipeReader, std::io::PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let bytes = [b'.'; 4096];
    while rustix::io::write(&writer, &bytes).is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// Reads a log line by line beside the test.
fn follow(reader: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = sync_channel(LINES_MAX);
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Waits for a line of a JSON log. Every line must be whole.
#[track_caller]
fn wait_for_line(
    lines: &Receiver<String>,
    wanted: impl Fn(&serde_json::Value) -> bool,
) -> serde_json::Value {
    loop {
        let line = lines.recv_timeout(DEADLINE).expect("a line in time");
        let line: serde_json::Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        if wanted(&line) {
            return line;
        }
    }
}
