//! A PostgreSQL server of a test.
//!
//! It is Debian's; `cargo xtask deps` installs it. It does not run as root: a test that is root starts it
//! as the user `postgres`.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::wait_until;

/// A server whose administrator is `postgres` and who asks nobody for a password, stopped when it is
/// dropped.
pub struct Postgresql {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl Postgresql {
    /// Starts an empty server.
    pub fn start() -> Self {
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
        let data = folder.path().join("data");
        let mut initdb = command("initdb", folder.path());
        initdb.args([
            "--no-sync",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "-U",
            "postgres",
            "-D",
        ]);
        let made = initdb.arg(&data).output().expect("initdb runs");
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        // A free port may be taken before the server has it: then it ends, and another is tried.
        let (port, child) = wait_until("a server starts", || {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let port = listener.local_addr().expect("an address").port();
            drop(listener);
            let mut child = spawn(port, folder.path(), &data);
            is_up(&mut child, port).then_some((port, child))
        });
        Self {
            port,
            child,
            _folder: folder,
        }
    }

    /// Returns the port that it listens on.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What `[cluster]` says of this server, for hubs that log in as `user`.
    pub fn cluster(&self, user: &str) -> String {
        let port = self.port;
        format!(
            "engine = \"postgresql\"\nurl = \"postgresql://127.0.0.1:{port}/postgres\"\n\
             username = \"{user}\"\nstart_timeout_secs = 10"
        )
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
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // Told to stop at once, it ends its own processes first.
        if pid.is_some_and(|pid| kill_process(pid, Signal::QUIT).is_ok()) {
            drop(self.child.wait());
        }
    }
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

fn spawn(port: u16, folder: &Path, data: &Path) -> Child {
    let mut server = command("postgres", folder);
    server.arg("-D").arg(data).args(["-p", &port.to_string()]);
    server.args(["-h", "127.0.0.1", "-k", "", "-c", "fsync=off"]);
    server.stdout(Stdio::null()).stderr(Stdio::null());
    server.spawn().expect("the server runs")
}

fn is_up(child: &mut Child, port: u16) -> bool {
    wait_until("the server answers or ends", || {
        if child.try_wait().expect("its status").is_some() {
            return Some(false);
        }
        psql(port, "SELECT 1").status.success().then_some(true)
    })
}

fn psql(port: u16, sql: &str) -> Output {
    let mut psql = Command::new("psql");
    psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]);
    psql.args(["-p", &port.to_string(), "-U", "postgres", "-c", sql]);
    psql.output().expect("no psql: run `cargo xtask deps`")
}
