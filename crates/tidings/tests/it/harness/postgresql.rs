//! A PostgreSQL server of a test.
//!
//! It is Debian's; `cargo xtask deps` installs it. It does not run as root: a test that is root starts it
//! as the user `postgres`.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::redis::free_port;
use super::wait_until;

/// A server whose administrator is `postgres` and who asks nobody for a password, stopped when it is
/// dropped.
pub struct Postgresql {
    port: u16,
    child: Child,
    folder: TempDir,
}

impl Postgresql {
    /// Starts an empty server.
    pub fn start() -> Self {
        let folder = folder();
        let mut initdb = command("initdb", folder.path());
        initdb.args(["--no-sync", "-A", "trust", "-E", "UTF8", "--no-locale"]);
        make(initdb.args(["-U", "postgres", "-D"]), &folder);
        Self::start_on(None, folder)
    }

    /// Starts a standby of this server, perhaps on the port of one that was killed, and makes this server
    /// wait for it at each commit.
    pub fn start_standby(&self, port: Option<u16>) -> Self {
        let folder = folder();
        let mut copy = command("pg_basebackup", folder.path());
        copy.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        copy.args(["-U", "postgres", "-R", "-X", "stream", "-c", "fast"]);
        make(copy.args(["--no-sync", "-D"]), &folder);
        let standby = Self::start_on(port, folder);
        // After the copy, so that the standby waits for nobody once it is promoted.
        self.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("SELECT pg_reload_conf()");
        wait_until("the standby is synchronous", || {
            let waiting = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            (self.sql(waiting) == "1").then_some(())
        });
        standby
    }

    fn start_on(port: Option<u16>, folder: TempDir) -> Self {
        // A free port may be taken before the server has it: then it ends, and another is tried.
        let (port, child) = wait_until("a server starts", || {
            let port = port.unwrap_or_else(free_port);
            Some((port, spawn_until_up(port, &folder)?))
        });
        Self {
            port,
            child,
            folder,
        }
    }

    /// Makes it the primary.
    pub fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote(true, 30)"), "t");
    }

    /// Kills all of its processes, in the middle of what they do.
    pub fn kill_all(&mut self) {
        let parent = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"));
        for pid in children.unwrap_or_default().split_whitespace() {
            if let Some(pid) = pid.parse().ok().and_then(Pid::from_raw) {
                // It may have ended already.
                kill_process(pid, Signal::KILL).ok();
            }
        }
        self.child.kill().expect("the server is killed");
        self.child.wait().expect("the server ended");
    }

    /// Starts it again on its port. Processes of the one that was killed may still hold its memory.
    pub fn restart(&mut self) {
        let (port, folder) = (self.port, &self.folder);
        self.child = wait_until("the server starts again", || spawn_until_up(port, folder));
    }

    /// Returns the port that it listens on.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What `[cluster]` says of this server, for hubs that log in as `user`.
    pub fn cluster(&self, user: &str) -> String {
        cluster(&[self.port], user)
    }

    /// Runs SQL as the administrator.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        let output = psql(self.port, sql);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {error}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Postgresql {
    fn drop(&mut self) {
        // Its test may have killed it, and its number be another's.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // Told to stop at once, it ends its own processes first.
        if pid.is_some_and(|pid| kill_process(pid, Signal::QUIT).is_ok()) {
            drop(self.child.wait());
        }
    }
}

/// What `[cluster]` says of servers, for hubs that log in as `user`.
pub fn cluster(ports: &[u16], user: &str) -> String {
    let hosts: Vec<String> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let hosts = hosts.join(",");
    format!(
        "engine = \"postgresql\"\nurl = \"postgresql://{hosts}/postgres\"\n\
         username = \"{user}\"\nstart_timeout_secs = 10"
    )
}

/// A folder that belongs to the servers' user.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    if is_root() {
        let id = |which| {
            let id = Command::new("id").args([which, "postgres"]).output();
            let id = String::from_utf8(id.expect("id").stdout).expect("a number");
            id.trim()
                .parse()
                .expect("no user postgres: run `cargo xtask deps`")
        };
        chown(folder.path(), Some(id("-u")), Some(id("-g"))).expect("given away");
    }
    folder
}

/// Makes the data of a server by a command that ends with where they belong.
fn make(command: &mut Command, folder: &TempDir) {
    let made = command.arg(data(folder)).output().expect("it runs");
    let error = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{error}");
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command of PostgreSQL's own, which are not on the path.
fn command(name: &str, folder: &Path) -> Command {
    let all = std::fs::read_dir("/usr/lib/postgresql");
    let all = all.expect("no PostgreSQL: run `cargo xtask deps`");
    let all = all.map(|version| version.expect("a folder").path());
    let newest: PathBuf = all.max().expect("no PostgreSQL: run `cargo xtask deps`");
    let program = newest.join("bin").join(name);
    let mut command = Command::new("setpriv");
    match is_root() {
        true => command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(program),
        false => {
            command = Command::new(program);
            &mut command
        }
    };
    command.current_dir(folder);
    command
}

/// Starts a server on its data. Nothing if it ends by itself.
fn spawn_until_up(port: u16, folder: &TempDir) -> Option<Child> {
    let mut server = command("postgres", folder.path());
    server.arg("-D").arg(data(folder));
    server.args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""]);
    server.args(["-c", "fsync=off"]);
    // A standby looks for the log of its primary five times a second.
    server.args(["-c", "wal_retrieve_retry_interval=200ms"]);
    server.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = server.spawn().expect("the server runs");
    is_up(&mut child, port, folder).then_some(child)
}

/// Waits until the server answers, or has ended. Another test's server may answer at its port.
fn is_up(child: &mut Child, port: u16, folder: &TempDir) -> bool {
    wait_until("the server answers or ends", || {
        if child.try_wait().expect("its status").is_some() {
            return Some(false);
        }
        let answer = psql(port, "SHOW data_directory");
        let served = String::from_utf8_lossy(&answer.stdout);
        (Path::new(served.trim()) == data(folder)).then_some(true)
    })
}

fn psql(port: u16, sql: &str) -> Output {
    let mut psql = Command::new("psql");
    psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]);
    psql.args(["-p", &port.to_string(), "-U", "postgres", "-c", sql]);
    psql.output().expect("no psql: run `cargo xtask deps`")
}
