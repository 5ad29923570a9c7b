//! The hub of one run: its folder, configuration and process, and the load generator beside it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::cluster::EngineKind;

/// The core of the hub and the core of the generator.
const CORES: (&str, &str) = ("0", "1");
const FIRST_PORT: u16 = 20_000;
/// Addresses that this process has used.
static TAKEN: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());
const START_MAX: Duration = Duration::from_secs(30);
/// What an engine keeps that keeps little: the least that a hub accepts.
const WINDOW_BYTES: u64 = 16 * 1024 * 1024;
const ISSUER: &str = "https://bench.example";
/// Signs the tokens for a hub that only this machine can reach, for the minutes of one run.
const KEY: &str = "only for benchmarks, only for benchmarks, only for benchmarks";
/// The same, of the hubs of a cluster for each other.
const PEER_TOKEN: &str = "only-for-benchmarks-only-for-benchmarks";

/// A self-signed certificate for 127.0.0.1, valid for a hundred years, made by `openssl req -x509
/// -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500`. Making one for each run
/// would need a cryptographic library in `cargo xtask`.
const CERTIFICATE: &str = include_str!("localhost.pem");
const TLS_KEY: &str = include_str!("localhost.key.pem");

/// The configuration of a hub.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// The defaults, with connection limits that one machine can reach.
    Usual,
    /// With a minimal ring of recent updates, so that replays read from the store.
    SmallRing,
    /// With TLS and a certificate that only benchmarks use.
    Tls,
    /// For a long run: retention and the maximum age of connections are some minutes, and stalled
    /// readers are closed soon.
    Soak,
    /// For a hub that is killed repeatedly: retention removes nothing.
    Crash,
    /// With presence on.
    Presence,
    /// In a cluster of its own, on an engine beside it.
    Member(EngineKind),
    /// In a cluster with another hub, to which its publishers publish.
    Second(EngineKind),
    /// The same, on an engine that keeps little: a hub that comes later gets the rest from this one.
    Keeper(EngineKind),
    /// For a hub whose processes follow each other: a short drain, and two shards.
    Restart,
}

/// A running hub. Dropping it kills the process and removes its folder.
pub struct Hub {
    binary: PathBuf,
    folder: PathBuf,
    core: Option<&'static str>,
    admin: SocketAddr,
    child: Child,
    url: String,
    publisher: String,
    subscriber: String,
    /// The certificate that clients trust.
    certificate: Option<PathBuf>,
    /// What runs beside it: an engine, or the hub that publishers use.
    engine: Option<Engine>,
    other: Option<Box<Self>>,
}

impl Hub {
    /// Starts a hub with an empty history on free ports and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn start(binary: &Path, settings: Settings) -> anyhow::Result<Self> {
        Self::start_in(binary, settings, None)
    }

    /// Starts another hub of its cluster, with an empty history, and waits until it has everything.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn later(&self, settings: Settings) -> anyhow::Result<Self> {
        Self::start_in(&self.binary, settings, Some(self))
    }

    fn start_in(binary: &Path, settings: Settings, first: Option<&Self>) -> anyhow::Result<Self> {
        let (address, admin) = (free_address()?, free_address()?);
        let name = format!("tidings-bench-{}-{}", std::process::id(), address.port());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let (scheme, certificate) = match settings {
            Settings::Usual
            | Settings::SmallRing
            | Settings::Soak
            | Settings::Crash
            | Settings::Presence
            | Settings::Member(_)
            | Settings::Second(_)
            | Settings::Keeper(_)
            | Settings::Restart => ("http", None),
            Settings::Tls => ("https", Some(write_certificate(&folder)?)),
        };
        let url = format!("{scheme}://{address}/.well-known/mercure");
        let (other, engine) = match settings {
            Settings::Second(kind) => {
                let other = Self::start(binary, Settings::Member(kind))?;
                (Some(Box::new(other)), None)
            }
            Settings::Keeper(_) if first.is_some() => (None, None),
            Settings::Member(kind) | Settings::Keeper(kind) => {
                (None, Some(Engine::start(binary, kind, &folder)?))
            }
            Settings::Usual
            | Settings::SmallRing
            | Settings::Tls
            | Settings::Soak
            | Settings::Crash
            | Settings::Presence
            | Settings::Restart => (None, None),
        };
        let beside = other.as_deref().or(first);
        let joined = beside.and_then(|hub| hub.engine.as_ref());
        let cluster = engine.as_ref().or(joined).map(|one| one.settings.as_str());
        // Hubs of a cluster have one public URL.
        let public_url = beside.map_or(&url, |hub| &hub.url);
        let file = folder.join("tidings.toml");
        fs::write(
            &file,
            configuration(&folder, public_url, address, admin, settings, cluster),
        )
        .with_context(|| format!("cannot write {}", file.display()))?;
        // A long run is not a measurement, and two threads exercise more of the hub.
        let core = match settings {
            Settings::Usual
            | Settings::SmallRing
            | Settings::Tls
            | Settings::Presence
            | Settings::Member(_)
            | Settings::Second(_)
            | Settings::Keeper(_) => Some(CORES.0),
            Settings::Soak | Settings::Crash | Settings::Restart => None,
        };
        let mut hub = Self {
            publisher: token(binary, public_url, "--publish")?,
            subscriber: token(binary, public_url, "--subscribe")?,
            child: spawn(binary, core, &folder)?,
            binary: binary.to_path_buf(),
            folder,
            core,
            admin,
            url,
            certificate,
            engine,
            other,
        };
        hub.wait_until_ready()?;
        Ok(hub)
    }

    /// Kills the process as a crash would (SIGKILL), and restarts it in the same folder.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn crash(&mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill the hub")?;
        self.child.wait().context("cannot wait for the hub")?;
        self.child = spawn(&self.binary, self.core, &self.folder)?;
        self.wait_until_ready()
    }

    /// Returns the load generator of the same build.
    fn load_generator(&self) -> PathBuf {
        self.binary.with_file_name("tidings-bench")
    }

    /// Runs `tidings-bench` against the hub, on the other core. Returns the report.
    ///
    /// # Errors
    ///
    /// If it refuses to report, or deliveries were wrong.
    pub fn bench(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        println!("tidings-bench {}", arguments.join(" "));
        let mut command = pinned(Some(CORES.1), &self.load_generator());
        command.args(arguments).arg("--json");
        command.args(["--hub", &self.url, "--token", &self.publisher]);
        command.args(["--pid", &self.child.id().to_string()]);
        if arguments
            .first()
            .is_some_and(|run| ["publish", "resume", "match", "presence"].contains(run))
        {
            command.args(["--metrics", &self.metrics()]);
        }
        if arguments.first() == Some(&"presence") {
            command.args(["--subscriber-token", &self.subscriber]);
        }
        if let Some(certificate) = &self.certificate {
            command.arg("--ca").arg(certificate);
        }
        if let Some(other) = &self.other {
            command.args(["--publish-to", &other.url]);
        }
        report_of(command)
    }

    /// Returns the command of a soak: on any core, with tokens for both sides, and with its
    /// progress on the terminal.
    pub fn soak(&self, arguments: &[String]) -> Command {
        println!("tidings-bench soak {}", arguments.join(" "));
        let mut command = Command::new(self.load_generator());
        command.args(["soak", "--json"]).args(arguments);
        command.args(["--hub", &self.url, "--token", &self.publisher]);
        command.args(["--subscriber-token", &self.subscriber]);
        command.stdout(Stdio::piped());
        command
    }

    /// Lets processes of `binaries` in turn take over from it under load. The last one has ended
    /// afterwards. Returns the report.
    ///
    /// # Errors
    ///
    /// If there is no report, or somebody was refused, or deliveries went wrong.
    pub fn restarts(
        &self,
        load: &[&str],
        restarts: usize,
        binaries: &[&Path],
    ) -> anyhow::Result<Value> {
        println!("tidings-bench restart {}", load.join(" "));
        // A script, since the program changes from turn to turn.
        let turn = self.folder.join("turn");
        let names: Vec<String> = binaries
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let script = format!(
            "set -- {}; n=$(cat {turn} 2>/dev/null || echo 0); echo $((n + 1)) > {turn}; \
             shift $((n % $#)); exec $1 serve --config {} --take-over",
            names.join(" "),
            self.folder.join("tidings.toml").display(),
            turn = turn.display(),
        );
        let mut command = Command::new(self.load_generator());
        command.args(["restart", "--json"]).args(load);
        command.arg(format!("--restarts={restarts}"));
        command.args(["--hub", &self.url, "--token", &self.publisher]);
        command.args(["--pid", &self.child.id().to_string()]);
        command.args(["--", "/bin/sh", "-c", &script]);
        report_of(command)
    }

    /// Changes its configuration and has it read again, under load. Returns the report.
    ///
    /// # Errors
    ///
    /// If there is no report, or a reload failed, a stream ended, or deliveries went wrong.
    pub fn reloads(&self, load: &[&str]) -> anyhow::Result<Value> {
        println!("tidings-bench reload {}", load.join(" "));
        let file = self.folder.join("tidings.toml");
        let first = self.folder.join("first.toml");
        fs::copy(&file, &first).context("cannot copy the configuration")?;
        // Each reload changes three keys, and succeeds if the hub has taken over all of them.
        let script = format!(
            "set -e; test $(($1 % 2)) = 0 && chat=true || chat=false; cp {first} {file}.new; \
             printf '[pages]\\nchat = %s\\n[history]\\nretain_updates = %s\\n[cors]\\norigins = [\"https://%s.example\"]\\n' \
             $chat $((1000 + $1)) $1 >> {file}.new; mv {file}.new {file}; \
             test $({tidings} reload --config {file} | grep -c '^applied: ') = 3",
            first = first.display(),
            file = file.display(),
            tidings = self.binary.display(),
        );
        let mut command = Command::new(self.load_generator());
        command.args(["reload", "--json"]).args(load);
        command.args(["--hub", &self.url, "--token", &self.publisher]);
        command.args(["--pid", &self.child.id().to_string()]);
        command.args(["--", "/bin/sh", "-c", &script, "reload"]);
        report_of(command)
    }

    /// Starts subscribers that stay until the hub ends.
    ///
    /// # Errors
    ///
    /// If they cannot be started.
    pub fn crowd(&self, connections: usize, matchers: usize) -> anyhow::Result<Child> {
        let mut command = pinned(Some(CORES.1), &self.load_generator());
        command.args(["presence", "--stay", "--json"]);
        command.arg(format!("--connections={connections}"));
        command.arg(format!("--matchers={matchers}"));
        command.args(["--hub", &self.url, "--metrics", &self.metrics()]);
        command.args(["--subscriber-token", &self.subscriber]);
        let child = command.stdout(Stdio::null()).spawn();
        child.context("cannot run tidings-bench")
    }

    /// Returns the hub's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns the URL of the hub's metrics.
    pub fn metrics(&self) -> String {
        format!("http://{}/metrics", self.admin)
    }

    /// Returns the value of a metric without labels.
    ///
    /// # Errors
    ///
    /// If the hub does not answer, or has no such metric.
    pub fn metric(&self, name: &str) -> anyhow::Result<usize> {
        let page = ask(self.admin, "/metrics").context("the hub's metrics")?;
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = line.with_context(|| format!("the hub has no metric {name}"))?;
        let value = value.trim().parse();
        value.with_context(|| format!("{name} is no number"))
    }

    /// Returns the hub's data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_MAX;
        while !is_ready(self.admin) {
            if let Some(status) = self
                .child
                .try_wait()
                .context("cannot get the status of the hub")?
            {
                bail!("the hub ended with {status}");
            }
            ensure!(Instant::now() < deadline, "the hub did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Runs the generator to its end.
fn report_of(mut command: Command) -> anyhow::Result<Value> {
    let output = command.output().context("cannot run tidings-bench")?;
    let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    ensure!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).context("the report is not JSON")
}

impl Drop for Hub {
    fn drop(&mut self) {
        // The hub may have ended already. Then there is nothing to stop, but the folder is still
        // removed.
        let _killed = self.child.kill();
        let _status = self.child.wait();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// An engine for clusters, which ends with the standard input of its process.
struct Engine {
    /// Lines of a hub's table `[cluster]`.
    settings: String,
    child: Child,
}

impl Engine {
    fn start(binary: &Path, kind: EngineKind, folder: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(binary.with_file_name("tidings-bench"))
            .args(["engine", kind.name(), "--program"])
            .arg(binary)
            .arg("--engine-program")
            .arg(kind.program(&crate::root()?))
            .arg("--folder")
            .arg(folder.join("engine"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start tidings-bench")?;
        let output = child.stdout.take().context("it has an output")?;
        // They end with an empty line.
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        ensure!(
            !lines.is_empty(),
            "the engine did not start; its error is above"
        );
        let settings = lines.join("\n") + "\n";
        Ok(Self { settings, child })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // It stops its servers.
        drop(self.child.stdin.take());
        let _status = self.child.wait();
    }
}

/// Returns whether the hub with this listener for operators serves, with its cluster if it has one.
fn is_ready(admin: SocketAddr) -> bool {
    ask(admin, "/health/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Asks the listener for operators. Returns the whole answer.
fn ask(admin: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(START_MAX))?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Returns the number of cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn spawn(binary: &Path, core: Option<&str>, folder: &Path) -> anyhow::Result<Child> {
    let mut command = pinned(core, binary);
    command.args(["serve", "--config"]);
    command.arg(folder.join("tidings.toml"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    child.context("cannot start the hub")
}

/// Returns a command bound to one core, if there are two.
fn pinned(core: Option<&str>, binary: &Path) -> Command {
    let Some(core) = core.filter(|_| cores() > 1) else {
        return Command::new(binary);
    };
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(binary);
    command
}

/// Finds a free port below the range that the system uses for outgoing connections: a hub that is
/// killed and restarted must find its port free.
fn free_address() -> anyhow::Result<SocketAddr> {
    let first = FIRST_PORT + u16::try_from(std::process::id() % 5000)?;
    let mut candidates = (first..first + 5000).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let free = candidates.find(|address| {
        let untaken = !TAKEN.lock().is_ok_and(|taken| taken.contains(address));
        untaken && TcpListener::bind(address).is_ok()
    });
    let free = free.context("there is no free port")?;
    if let Ok(mut taken) = TAKEN.lock() {
        taken.push(free);
    }
    Ok(free)
}

/// Writes the certificate for this machine and its key.
fn write_certificate(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("certificate.pem");
    let written =
        fs::write(&path, CERTIFICATE).and_then(|()| fs::write(folder.join("key.pem"), TLS_KEY));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn token(binary: &Path, url: &str, right: &str) -> anyhow::Result<String> {
    let output = Command::new(binary)
        .args([
            "token",
            "make",
            "--issuer",
            ISSUER,
            "--key",
            KEY,
            "--audience",
            url,
        ])
        .args([right, "*", "--ttl", "24h"])
        .output()
        .context("cannot run tidings token make")?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn configuration(
    folder: &Path,
    url: &str,
    address: SocketAddr,
    admin: SocketAddr,
    settings: Settings,
    cluster: Option<&str>,
) -> String {
    let data = folder.join("data");
    let (stall_timeout_secs, connection_secs_max) = match settings {
        Settings::Usual
        | Settings::SmallRing
        | Settings::Tls
        | Settings::Presence
        | Settings::Member(_)
        | Settings::Second(_)
        | Settings::Keeper(_)
        | Settings::Restart => (60, 3600),
        Settings::Soak | Settings::Crash => (10, 300),
    };
    let ring = "ring_bytes = 4194304";
    let (listen, more) = match settings {
        Settings::Usual | Settings::Member(_) | Settings::Second(_) | Settings::Keeper(_) => {
            ("", String::new())
        }
        Settings::SmallRing => ("", "[history]\nring_bytes = 65536\n".to_owned()),
        Settings::Presence => ("", "[presence]\nenabled = true\n".to_owned()),
        Settings::Restart => ("", "[server]\nshards = 2\ndrain_secs = 3\n".to_owned()),
        Settings::Soak => {
            let history = format!("[history]\nretain_updates = 60000\n{ring}\n");
            ("", format!("{history}[server]\nshards = 2\n"))
        }
        Settings::Crash => {
            let all = "retain_updates = 0\nretain_bytes = 0";
            ("", format!("[history]\n{all}\n{ring}\n"))
        }
        Settings::Tls => {
            let file = |name| folder.join(name).display().to_string();
            let (certificate, key) = (file("certificate.pem"), file("key.pem"));
            let tls = format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
            ("tls = true\n", tls)
        }
    };
    let cluster = cluster.map(|engine| format!("[cluster]\nnode = \"{address}\"\n{engine}"));
    let mut cluster = cluster.unwrap_or_default();
    if let Settings::Keeper(_) = settings {
        let peers = format!("address = \"http://{admin}\"\npeer_token = \"{PEER_TOKEN}\"\n");
        cluster = format!("{cluster}{peers}window_bytes = {WINDOW_BYTES}\n");
    }
    format!(
        "[[listen]]\naddress = \"{address}\"\n{listen}[admin]\naddress = \"{admin}\"\n\
         [hub]\npublic_url = \"{url}\"\n[data]\ndir = \"{}\"\n\
         [[auth.issuers]]\nissuer = \"{ISSUER}\"\nkey = \"{KEY}\"\n\
         [subscribe]\nanonymous = true\nconnection_secs_max = {connection_secs_max}\n\
         [limits]\nstall_timeout_secs = {stall_timeout_secs}\nconnections_per_address_max = 100000\naccepts_per_second_max = 100000\n\
         [sockjs]\nenabled = true\nsessions_per_address_max = 100000\nsessions_max = 100000\n\
         [log]\nlevel = \"warn\"\n{more}{cluster}",
        data.display(),
    )
}
