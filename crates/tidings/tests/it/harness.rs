//! Starts hubs and talks to them. Nothing here sleeps: every wait ends with an event, or with a deadline
//! that fails the test.

pub mod dialects;
pub mod events;
pub mod exchange;
pub mod flood;
pub mod inbox;
pub mod key_server;
pub mod nats;
pub mod peer;
pub mod postgresql;
pub mod process;
pub mod redis;
pub mod served;
pub mod serving;
pub mod sockjs;
pub mod tokens;
pub mod tunnel;
pub mod websockets;
pub mod wire;

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use self::events::EventStream;
pub use self::exchange::{Answer, Connection, Request};

/// How long anything may take before a test fails. Generous: the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The program that is tested.
const TIDINGS: &str = env!("CARGO_BIN_EXE_tidings");

/// How long a wait rests between two looks.
const POLL: Duration = Duration::from_millis(5);

/// The hub's path.
pub const HUB_PATH: &str = "/.well-known/mercure";

/// A running hub; killed when dropped.
pub struct TestHub {
    child: Child,
    pub address: SocketAddr,
    /// The operators' listener of `serve`, if there is one.
    pub admin: Option<SocketAddr>,
    /// Its folder, which outlives restarts.
    folder: Arc<TempDir>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// The program, perhaps behind a command that runs it.
    program: Vec<String>,
    log: Arc<Mutex<String>>,
}

impl TestHub {
    /// Starts `tidings dev` on a free port with a new data folder.
    pub fn dev() -> Self {
        Self::dev_with(&[])
    }

    /// Starts `tidings dev` with further arguments.
    pub fn dev_with(arguments: &[&str]) -> Self {
        Self::dev_by(&[], arguments)
    }

    /// Starts `tidings dev` by a command that ends with what to run, such as `nohup`.
    pub fn dev_under(runner: &[&str]) -> Self {
        Self::dev_by(runner, &[])
    }

    fn dev_by(runner: &[&str], arguments: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let data = folder.path().join("data");
        let mut all = vec!["dev".to_owned(), "--listen".into(), "127.0.0.1:0".into()];
        all.extend(["--data".into(), data.display().to_string()]);
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let runner = runner.iter().map(|&word| word.to_owned()).collect();
        Self::start_under(runner, folder, all, Vec::new())
    }

    /// Starts `tidings serve` with this configuration, which may say `FOLDER` for the test's own
    /// folder. A listener on a free loopback port, JSON logs and the data folder are added.
    pub fn serve(toml: &str) -> Self {
        Self::serve_in(Arc::new(tempfile::tempdir().expect("a folder")), toml, &[])
    }

    /// The same in a folder that may hold files already, with variables in the environment.
    pub fn serve_in(folder: Arc<TempDir>, toml: &str, environment: &[(&str, &str)]) -> Self {
        let arguments = serve_arguments(&folder, toml);
        let environment = environment
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self::start(folder, arguments, environment)
    }

    /// Starts `tidings serve` without a file: everything is said by the environment, to which the data
    /// folder and JSON logs are added.
    pub fn serve_by_environment(environment: &[(&str, &str)]) -> Self {
        let folder = Arc::new(tempfile::tempdir().expect("a folder"));
        let data = folder.path().join("data").display().to_string();
        let added = [
            ("TIDINGS_DATA__DIR", data.as_str()),
            ("TIDINGS_LOG__FORMAT", "json"),
        ];
        let environment = environment
            .iter()
            .chain(&added)
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self::start(folder, vec!["serve".to_owned()], environment)
    }

    /// The same, run by a command that ends with what to run, such as `nice`.
    pub fn serve_under(runner: &[&str], folder: Arc<TempDir>, toml: &str) -> Self {
        let arguments = serve_arguments(&folder, toml);
        let runner = runner.iter().map(|&word| word.to_owned()).collect();
        Self::start_under(runner, folder, arguments, Vec::new())
    }

    fn start(
        folder: Arc<TempDir>,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Self {
        Self::start_under(Vec::new(), folder, arguments, environment)
    }

    fn start_under(
        mut runner: Vec<String>,
        folder: Arc<TempDir>,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Self {
        runner.push(TIDINGS.to_owned());
        Self::start_program(runner, folder, arguments, environment)
    }

    fn start_program(
        program: Vec<String>,
        folder: Arc<TempDir>,
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
    ) -> Self {
        let mut child = command_of(&program, &arguments, &environment)
            .spawn()
            .expect("the binary starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stdout = follow(child.stdout.take().expect("piped"), &log);
        let stderr = follow(child.stderr.take().expect("piped"), &log);
        let address = wait_for_address(&mut child, &log);
        drop((stdout, stderr));
        let admin = find_listener(&log.lock().expect("the log"), true);
        Self {
            child,
            address,
            admin,
            folder,
            arguments,
            environment,
            program,
            log,
        }
    }

    /// Returns the folder that all lives of this hub share.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what the hub printed and logged so far.
    pub fn log(&self) -> String {
        self.log.lock().expect("the log").clone()
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("the process is killed");
        self.child.wait().expect("the process ended");
    }

    /// Asks the process to stop (SIGTERM) and returns whether it ended well.
    pub fn stop(&mut self) -> bool {
        self.terminate();
        self.wait_for_exit().success()
    }

    /// Asks the process to stop (SIGTERM).
    pub fn terminate(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).expect("a process id");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("signalled");
    }

    /// Lets later lives of this hub listen where it listens now.
    pub fn keep_address(&mut self) {
        let address = self.address.to_string();
        for argument in self
            .arguments
            .iter_mut()
            .filter(|argument| *argument == "127.0.0.1:0")
        {
            argument.clone_from(&address);
        }
        let path = self.folder().join("tidings.toml");
        if let Ok(text) = std::fs::read_to_string(&path) {
            let free = "[[listen]]\naddress = \"127.0.0.1:0\"";
            let kept = free.replace("127.0.0.1:0", &address);
            std::fs::write(path, text.replace(free, &kept)).expect("tidings.toml is written");
        }
    }

    /// Waits for the process to end by itself.
    pub fn wait_for_exit(&mut self) -> std::process::ExitStatus {
        wait_until("the process ends", || {
            self.child.try_wait().expect("its status")
        })
    }

    /// Starts it again in the same folder; the port changes. The old process must have ended.
    pub fn restart(&mut self) {
        let next = Self::start_program(
            self.program.clone(),
            Arc::clone(&self.folder),
            self.arguments.clone(),
            self.environment.clone(),
        );
        *self = next;
    }

    /// Returns the arguments of this process.
    pub fn arguments(&self) -> Vec<String> {
        self.arguments.clone()
    }

    /// Starts another process in the same folder while this one runs.
    pub fn successor(&self, program: Option<PathBuf>, arguments: Vec<String>) -> Self {
        let program = match program {
            Some(path) => vec![path.display().to_string()],
            None => self.program.clone(),
        };
        let folder = Arc::clone(&self.folder);
        Self::start_program(program, folder, arguments, self.environment.clone())
    }

    /// Returns the ready-made token that may publish anything (dev only).
    pub fn publisher_token(&self) -> String {
        self.dev_json("publisher")
    }

    /// Returns the ready-made token that may read anything (dev only).
    pub fn subscriber_token(&self) -> String {
        self.dev_json("subscriber")
    }

    fn dev_json(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.data().join("dev.json")).expect("dev.json");
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        json[name].as_str().expect("a text").to_owned()
    }

    /// Makes a token by `POST /dev/token` (dev only); `wish` is its JSON.
    pub fn make_token(&self, wish: &str) -> String {
        let answer = self.request(
            Request::post("/dev/token")
                .header("Content-Type", "application/json")
                .body(wish),
        );
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// Sends one request on its own connection.
    pub fn request(&self, request: Request) -> Answer {
        Connection::open(self.address).request(&request)
    }

    /// Asks the operators' listener of `serve`.
    pub fn request_admin(&self, path: &str) -> Answer {
        let admin = self.admin.expect("an operators' listener");
        Connection::open(admin).request(&Request::get(path))
    }

    /// Publishes with the ready-made token (dev only).
    pub fn publish(&self, form: &[(&str, &str)]) -> Answer {
        self.publish_as(&self.publisher_token(), form)
    }

    /// Publishes with `token`.
    pub fn publish_as(&self, token: &str, form: &[(&str, &str)]) -> Answer {
        self.request(Request::post(HUB_PATH).bearer(token).form(form))
    }

    /// Publishes and returns the id; anything but 200 fails the test.
    #[track_caller]
    pub fn published(&self, form: &[(&str, &str)]) -> String {
        let answer = self.publish(form);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }

    /// Subscribes anonymously; `query` comes after the `?`. Returns once the head has arrived.
    #[track_caller]
    pub fn subscribe(&self, query: &str) -> EventStream {
        self.subscribe_by(Request::get(&format!("{HUB_PATH}?{query}")))
    }

    /// Subscribes with this request; anything but 200 fails the test.
    #[track_caller]
    pub fn subscribe_by(&self, request: Request) -> EventStream {
        EventStream::open(Connection::open(self.address), &request)
    }

    /// Returns the value of a metric, summed over its labels (dev, or the admin address).
    pub fn metric(&self, name: &str) -> f64 {
        self.sum_of_metric(|line| line.split(['{', ' ']).next() == Some(name))
    }

    /// Returns the value of a metric for one reason.
    pub fn metric_for(&self, name: &str, value: &str) -> f64 {
        let wanted = ["reason", "result"].map(|label| format!("{name}{{{label}=\"{value}\"}}"));
        self.sum_of_metric(|line| {
            wanted
                .iter()
                .any(|wanted| line.split(' ').next() == Some(wanted))
        })
    }

    /// Returns the bytes that are held for peers, for one kind of use.
    pub fn held(&self, kind: &str) -> f64 {
        let wanted = format!("tidings_peer_memory_bytes{{kind=\"{kind}\"}}");
        self.sum_of_metric(|line| line.split(' ').next() == Some(&wanted))
    }

    fn sum_of_metric(&self, wanted: impl Fn(&str) -> bool) -> f64 {
        let address = self.admin.unwrap_or(self.address);
        let text = Connection::open(address)
            .request(&Request::get("/metrics"))
            .text();
        let lines = text
            .lines()
            .filter(|line| !line.starts_with('#') && wanted(line));
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a metric has a value.
    #[track_caller]
    pub fn wait_for_metric(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let start = Instant::now();
        loop {
            let value = self.metric(name);
            if wanted(value) {
                return;
            }
            assert!(
                start.elapsed() < DEADLINE,
                "{name} is {value}\n{}",
                self.log()
            );
            std::thread::park_timeout(POLL);
        }
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Writes the configuration of a served hub and returns the arguments that use it.
fn serve_arguments(folder: &TempDir, toml: &str) -> Vec<String> {
    let data = folder.path().join("data");
    let mut text = toml.replace("FOLDER", &folder.path().display().to_string());
    if !toml.contains("[[listen]]") {
        text.push_str("\n[[listen]]\naddress = \"127.0.0.1:0\"\n");
    }
    if !toml.contains("[data]") {
        text.push_str(&format!(
            "\n[data]\ndir = {:?}\n",
            data.display().to_string()
        ));
    }
    if !toml.contains("[log]") {
        text.push_str("\n[log]\nlevel = \"info\"\nformat = \"json\"\n");
    }
    let path = folder.path().join("tidings.toml");
    std::fs::write(&path, text).expect("tidings.toml is written");
    vec![
        "serve".into(),
        "--config".into(),
        path.display().to_string(),
    ]
}

/// Returns the command that runs the binary with these arguments and a clean environment.
pub fn command(arguments: &[String], environment: &[(String, String)]) -> Command {
    command_of(&[TIDINGS.to_owned()], arguments, environment)
}

fn command_of(
    program: &[String],
    arguments: &[String],
    environment: &[(String, String)],
) -> Command {
    let (first, rest) = program.split_first().expect("a program");
    let mut command = Command::new(first);
    command
        .args(rest)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command line to its end; returns exit code, standard output and standard error.
pub fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    run_under(&[], arguments, environment)
}

/// The same, by a command that ends with what to run, such as `nice`.
pub fn run_under(
    runner: &[&str],
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> (i32, String, String) {
    let mut program: Vec<String> = runner.iter().map(|&word| word.to_owned()).collect();
    program.push(TIDINGS.to_owned());
    let arguments: Vec<String> = arguments
        .iter()
        .map(|&argument| argument.to_owned())
        .collect();
    let environment: Vec<_> = environment
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let output = command_of(&program, &arguments, &environment)
        .output()
        .expect("the binary runs");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Prints a figure, for those who read a test's output.
pub fn note(text: &str) {
    #[expect(
        clippy::print_stdout,
        reason = "the output of tests is where figures are looked for"
    )]
    {
        println!("{text}");
    }
}

/// Asks until there is an answer; fails the test at the deadline.
#[track_caller]
pub fn wait_until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(
            start.elapsed() < DEADLINE,
            "it did not happen in time: {what}"
        );
        std::thread::park_timeout(POLL);
    }
}

fn follow(
    stream: impl Read + Send + 'static,
    log: &Arc<Mutex<String>>,
) -> std::thread::JoinHandle<()> {
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            let mut log = log.lock().expect("the log");
            log.push_str(&line);
            log.push('\n');
        }
    })
}

/// Waits for the line that names the address: the banner of `dev`, or a `listening` line of `serve`
/// followed by `ready`.
fn wait_for_address(child: &mut Child, log: &Mutex<String>) -> SocketAddr {
    let start = Instant::now();
    loop {
        let text = log.lock().expect("the log").clone();
        if let Some(address) = find_address(&text) {
            return address;
        }
        if let Some(status) = child.try_wait().expect("its status") {
            panic!("the hub ended with {status} before it was ready:\n{text}");
        }
        if start.elapsed() >= DEADLINE {
            // It must not outlive the test.
            drop(child.kill());
            drop(child.wait());
            panic!("the hub was not ready in time:\n{text}");
        }
        std::thread::park_timeout(POLL);
    }
}

fn find_address(text: &str) -> Option<SocketAddr> {
    if text.contains("Stop it with") {
        let (_, rest) = text.split_once("http://localhost:")?;
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        return Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)));
    }
    text.lines()
        .filter_map(json_line)
        .find(|line| line["message"] == "ready")?;
    find_listener(text, false)
}

/// Finds the address of the first listener that is, or is not, the operators' one.
fn find_listener(text: &str, admin: bool) -> Option<SocketAddr> {
    text.lines()
        .filter_map(json_line)
        .find(|line| line["message"] == "listening" && line["admin"] == admin)
        .and_then(|line| line["address"].as_str()?.parse().ok())
}

/// Reads a line of the log, as JSON or as `key=value` pairs.
fn json_line(line: &str) -> Option<serde_json::Value> {
    let json = serde_json::from_str(line).ok();
    json.or_else(|| line.starts_with("time=").then(|| logfmt_line(line)))
}

fn logfmt_line(line: &str) -> serde_json::Value {
    let mut fields = serde_json::Map::new();
    // No value of the lines that the harness looks for has a space in it.
    for pair in line.split(' ') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let name = if name == "msg" { "message" } else { name };
        let value = match value.trim_matches('"') {
            "true" => true.into(),
            "false" => false.into(),
            text => text.into(),
        };
        fields.insert(name.to_owned(), value);
    }
    fields.into()
}
