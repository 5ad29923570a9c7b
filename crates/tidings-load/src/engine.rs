//! The servers that order the updates: how they are set up, and what a hub is told about them.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::BenchError;
use crate::clock::{nanos, now_ns};
use crate::part::Part;

/// What orders the updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineKind {
    /// One server of Redis or Valkey, with an append-only file.
    Redis,
    /// One server of PostgreSQL.
    Postgresql,
    /// Three servers of NATS, with the cluster's stream on all of them.
    Nats,
}

/// Between two attempts at a server that has just started.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The servers of NATS. One of them may be gone.
const NATS_SERVERS: usize = 3;
/// Whom PostgreSQL runs as if the audit runs as root, which it refuses: `nobody` of most systems.
const NOBODY: u32 = 65534;

impl EngineKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Redis, Self::Postgresql, Self::Nats];

    /// Returns the name as the configuration of a hub has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Postgresql => "postgresql",
            Self::Nats => "nats",
        }
    }

    /// Returns the file name of the server's program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Postgresql => "postgres",
            Self::Nats => "nats-server",
        }
    }

    /// Returns what a hub is told of servers at these ports: lines of its table `[cluster]`.
    #[must_use]
    pub fn settings(self, ports: &[u16]) -> String {
        let more = match self {
            Self::Redis => "",
            Self::Postgresql => "username = \"postgres\"\n",
            Self::Nats => "acknowledge = \"replicated\"\n",
        };
        let (engine, url) = (self.name(), self.url(ports));
        format!("engine = \"{engine}\"\nurl = \"{url}\"\n{more}")
    }

    fn url(self, ports: &[u16]) -> String {
        let (scheme, database) = match self {
            Self::Redis => ("redis", ""),
            Self::Postgresql => ("postgresql", "/postgres"),
            Self::Nats => ("nats", ""),
        };
        let servers: Vec<String> = ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        format!("{scheme}://{}{database}", servers.join(","))
    }
}

/// What an engine is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which.
    pub kind: EngineKind,
    /// The server's program: `redis-server`, `valkey-server`, `postgres` (with `initdb` beside it) or
    /// `nats-server`.
    pub program: PathBuf,
    /// An empty folder for data and logs.
    pub folder: PathBuf,
}

/// The servers of an engine. Dropping it kills them.
#[derive(Debug)]
pub struct Engine {
    kind: EngineKind,
    pub(crate) servers: Vec<Part>,
    ports: Vec<u16>,
}

impl Engine {
    /// Starts the servers on free ports, empty.
    ///
    /// # Errors
    ///
    /// [`BenchError`], if a file cannot be written or a program cannot be run.
    pub fn start(options: &Options) -> Result<Self, BenchError> {
        let servers = match options.kind {
            EngineKind::Redis => vec![redis(options)?],
            EngineKind::Postgresql => vec![postgresql(options)?],
            EngineKind::Nats => nats(options)?,
        };
        let (mut servers, ports): (Vec<Part>, Vec<u16>) = servers.into_iter().unzip();
        servers.iter_mut().try_for_each(Part::start)?;
        Ok(Self {
            kind: options.kind,
            servers,
            ports,
        })
    }

    /// Returns where the servers listen.
    #[must_use]
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Makes what a hub with this configuration needs before it starts: the tables of PostgreSQL, as soon as the
    /// server takes connections.
    ///
    /// # Errors
    ///
    /// [`BenchError`], if the hub's program cannot do it `within` that time.
    pub fn prepare(
        &mut self,
        hub: &Path,
        config: &Path,
        within: Duration,
    ) -> Result<(), BenchError> {
        if self.kind != EngineKind::Postgresql {
            return Ok(());
        }
        let words = ["cluster", "schema", "--apply", "--config"].map(str::to_owned);
        let mut command = vec![hub.display().to_string()];
        command.extend(words);
        command.push(config.display().to_string());
        let end = now_ns() + nanos(within);
        loop {
            match run(&command) {
                Ok(()) => return Ok(()),
                Err(error) if now_ns() > end || self.has_failed() => return Err(error),
                Err(_not_yet) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Returns whether a server ended by itself.
    pub(crate) fn has_failed(&mut self) -> bool {
        self.servers.iter_mut().any(Part::has_failed)
    }
}

fn redis(options: &Options) -> Result<(Part, u16), BenchError> {
    let folder = make(&options.folder.join("engine"))?;
    let port = free_port()?;
    let mut command = vec![options.program.display().to_string()];
    command.extend(["--bind", "127.0.0.1", "--port"].map(str::to_owned));
    command.extend([
        port.to_string(),
        "--dir".to_owned(),
        folder.display().to_string(),
    ]);
    command.extend(["--appendonly", "yes", "--save", ""].map(str::to_owned));
    Ok((Part::new(command, options.folder.join("engine.log")), port))
}

fn postgresql(options: &Options) -> Result<(Part, u16), BenchError> {
    let folder = make(&options.folder.join("engine"))?;
    let port = free_port()?;
    let as_user = as_user(&folder)?;
    let initdb = options.program.with_file_name("initdb");
    let mut begin = as_user.clone();
    begin.extend([initdb.display().to_string(), "--pgdata".to_owned()]);
    begin.push(folder.display().to_string());
    begin.extend(["--auth=trust", "--username=postgres", "--no-sync"].map(str::to_owned));
    run(&begin)?;
    let mut command = as_user;
    command.extend([options.program.display().to_string(), "-D".to_owned()]);
    command.push(folder.display().to_string());
    command.extend(["-p".to_owned(), port.to_string(), "-h".to_owned()]);
    command.extend(["127.0.0.1", "-k", ""].map(str::to_owned));
    Ok((Part::new(command, options.folder.join("engine.log")), port))
}

/// Gives the folder to somebody who is not root, if this is root. Returns the words in front of a command of
/// theirs.
fn as_user(folder: &Path) -> Result<Vec<String>, BenchError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(Vec::new());
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).map_err(file(folder))?;
    let words = ["setpriv", "--clear-groups"].map(str::to_owned);
    let ids = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
    Ok(words.into_iter().chain(ids).collect())
}

fn nats(options: &Options) -> Result<Vec<(Part, u16)>, BenchError> {
    let mut ports = Vec::new();
    for _ in 0..NATS_SERVERS {
        ports.push((free_port()?, free_port()?));
    }
    let routes: Vec<String> = ports
        .iter()
        .map(|(_, route)| format!("\"nats://127.0.0.1:{route}\""))
        .collect();
    let routes = routes.join(", ");
    let server = |(number, (port, route)): (usize, &(u16, u16))| {
        let name = format!("engine{number}");
        let folder = make(&options.folder.join(&name))?;
        let config = folder.join("nats.conf");
        // The wires would be left aside if the servers named each other to clients.
        let text = format!(
            "server_name: {name}\nlisten: \"127.0.0.1:{port}\"\nmax_payload: 2MB\n\
             jetstream {{ store_dir: \"{}\", sync_interval: always }}\n\
             cluster {{ name: audit, listen: \"127.0.0.1:{route}\", no_advertise: true, routes: [{routes}] }}\n",
            folder.join("data").display()
        );
        fs::write(&config, text).map_err(file(&config))?;
        let program = options.program.display().to_string();
        let command = vec![program, "-c".to_owned(), config.display().to_string()];
        let log = options.folder.join(format!("{name}.log"));
        Ok((Part::new(command, log), *port))
    };
    ports.iter().enumerate().map(server).collect()
}

/// Runs a command, and waits for its end.
///
/// # Errors
///
/// [`BenchError`], if it cannot be run, or fails.
fn run(command: &[String]) -> Result<(), BenchError> {
    let (program, arguments) = command.split_first().ok_or(BenchError::Option {
        option: "--program",
        reason: "is empty",
    })?;
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|source| BenchError::System {
        call: "running a program",
        source,
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(BenchError::Command {
        command: command.join(" "),
        status: output.status,
        error: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

/// Returns a port that nobody uses at the moment.
///
/// # Errors
///
/// [`BenchError`], if the system has none.
pub(crate) fn free_port() -> Result<u16, BenchError> {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    let port = listener.map_err(|source| BenchError::System {
        call: "looking for a free port",
        source,
    });
    Ok(port?.port())
}

/// Makes a folder.
///
/// # Errors
///
/// [`BenchError`] names it.
pub(crate) fn make(folder: &Path) -> Result<PathBuf, BenchError> {
    fs::create_dir_all(folder).map_err(file(folder))?;
    Ok(folder.to_owned())
}

/// Names the file of an error.
pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> BenchError {
    let path = path.to_owned();
    move |source| BenchError::File { path, source }
}
