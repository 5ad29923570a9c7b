//! A hub for one run: its folder, its configuration, its process, and the generator beside it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

/// The core of the hub, and that of the generator.
const CORES: (&str, &str) = ("0", "1");
const START_MAX: Duration = Duration::from_secs(30);
const ISSUER: &str = "https://bench.example";
/// Signs tokens for a hub that only this machine reaches, for the minutes of one run.
const KEY: &str = "only for benchmarks, only for benchmarks, only for benchmarks";

/// Names 127.0.0.1, signed by itself, valid for a hundred years, made by
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500`: making
/// one for each run would bring a cryptographic library into every `cargo xtask`.
const CERTIFICATE: &str = include_str!("localhost.pem");
const TLS_KEY: &str = include_str!("localhost.key.pem");

/// How a hub is configured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// As delivered, with limits on connections that one machine can reach.
    Usual,
    /// With next to no recent updates in memory, so that replays come from the store.
    SmallRing,
    /// Behind TLS, with a certificate that only benchmarks use.
    Tls,
}

/// A running hub. Killed, and its folder removed, when dropped.
pub struct Hub {
    binary: PathBuf,
    folder: PathBuf,
    child: Child,
    url: String,
    metrics: String,
    token: String,
    /// The certificate that peers are to trust.
    certificate: Option<PathBuf>,
}

impl Hub {
    /// Starts a hub with an empty history on free ports and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn start(binary: &Path, settings: Settings) -> anyhow::Result<Self> {
        let folder = std::env::temp_dir().join(format!("tidings-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let (address, admin) = (free_address()?, free_address()?);
        let (scheme, certificate) = match settings {
            Settings::Usual | Settings::SmallRing => ("http", None),
            Settings::Tls => ("https", Some(write_certificate(&folder)?)),
        };
        let url = format!("{scheme}://{address}/.well-known/mercure");
        let file = folder.join("tidings.toml");
        fs::write(
            &file,
            configuration(&folder, &url, address, admin, settings),
        )
        .with_context(|| format!("cannot write {}", file.display()))?;
        let token = token(binary, &url)?;
        let child = pinned(CORES.0, binary)
            .args(["serve", "--config"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start the hub")?;
        let metrics = format!("http://{admin}/metrics");
        let binary = binary.to_path_buf();
        let mut hub = Self {
            binary,
            folder,
            child,
            url,
            metrics,
            token,
            certificate,
        };
        hub.wait_until_ready(admin)?;
        Ok(hub)
    }

    /// Runs `tidings bench` against it, on the other core. Returns the report.
    ///
    /// # Errors
    ///
    /// If it refuses to report, or deliveries went wrong.
    pub fn bench(&self, arguments: &[&str]) -> anyhow::Result<Value> {
        println!("tidings bench {}", arguments.join(" "));
        let mut command = pinned(CORES.1, &self.binary);
        command.arg("bench").args(arguments).arg("--json");
        command.args(["--hub", &self.url, "--token", &self.token]);
        command.args(["--pid", &self.child.id().to_string()]);
        if arguments
            .first()
            .is_some_and(|run| ["publish", "resume", "match"].contains(run))
        {
            command.args(["--metrics", &self.metrics]);
        }
        if let Some(certificate) = &self.certificate {
            command.arg("--ca").arg(certificate);
        }
        let output = command.output().context("cannot run tidings bench")?;
        let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        ensure!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).context("the report is not JSON")
    }

    fn wait_until_ready(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = self.child.try_wait().context("cannot ask for the hub")? {
                bail!("the hub ended with {status}");
            }
            ensure!(Instant::now() < deadline, "the hub did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to stop, and the folder still goes.
        let _killed = self.child.kill();
        let _status = self.child.wait();
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// Returns how many cores there are.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A command bound to one core, where there are two.
fn pinned(core: &str, binary: &Path) -> Command {
    if cores() < 2 {
        return Command::new(binary);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(binary);
    command
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("there is no free port")?;
    listener.local_addr().context("there is no free port")
}

/// Writes the certificate for this machine and its key.
fn write_certificate(folder: &Path) -> anyhow::Result<PathBuf> {
    let path = folder.join("certificate.pem");
    let written =
        fs::write(&path, CERTIFICATE).and_then(|()| fs::write(folder.join("key.pem"), TLS_KEY));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn token(binary: &Path, url: &str) -> anyhow::Result<String> {
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
        .args(["--publish", "*", "--ttl", "1h"])
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
) -> String {
    let data = folder.join("data");
    let (listen, more) = match settings {
        Settings::Usual => ("", String::new()),
        Settings::SmallRing => ("", "[history]\nring_bytes = 65536\n".to_owned()),
        Settings::Tls => {
            let file = |name| folder.join(name).display().to_string();
            let (certificate, key) = (file("certificate.pem"), file("key.pem"));
            let tls = format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n");
            ("tls = true\n", tls)
        }
    };
    format!(
        "[[listen]]\naddress = \"{address}\"\n{listen}[admin]\naddress = \"{admin}\"\n\
         [hub]\npublic_url = \"{url}\"\n[data]\ndir = \"{}\"\n\
         [[auth.issuers]]\nissuer = \"{ISSUER}\"\nkey = \"{KEY}\"\n\
         [subscribe]\nanonymous = true\n\
         [limits]\nconnections_per_address_max = 100000\naccepts_per_second = 100000\n\
         [log]\nlevel = \"warn\"\n{more}",
        data.display(),
    )
}
