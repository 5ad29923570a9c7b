//! A PgBouncer in front of a server.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tidings_access::Address;
use tidings_postgresql::{Encryption, Place};

use super::server::{
    ADMIN, DATABASE, Server, folder, free_port, give, is_served_from, unprivileged,
};
use super::{DEADLINE, wait_until};

/// A pooler, killed when it is dropped.
pub(crate) struct Pooler {
    port: u16,
    mode: String,
    child: Child,
    folder: TempDir,
}

impl Pooler {
    /// Starts one that gives its clients a connection for each `mode`: `transaction` or `session`.
    pub(crate) fn start(server: &Server, mode: &str) -> Self {
        let folder = folder();
        // A free port may be taken before the pooler has it: then it ends, and another is tried.
        let start = Instant::now();
        loop {
            let port = free_port();
            let settings = configure(folder.path(), port, server.port, mode);
            let mut child = spawn(folder.path(), &settings);
            if is_up(&mut child, port, server) {
                return Self {
                    port,
                    mode: mode.to_owned(),
                    child,
                    folder,
                };
            }
            let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            assert!(
                start.elapsed() < DEADLINE,
                "the pooler does not start: {log}"
            );
        }
    }

    /// Leads its clients to another server. Their connections stay open.
    pub(crate) fn lead_to(&mut self, server: &Server) {
        configure(self.folder.path(), self.port, server.port, &self.mode);
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, Signal::HUP).unwrap();
        wait_until("the pooler leads to the other server", || {
            is_served_from(self.port, server.folder()).then_some(())
        });
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            servers: vec![Address {
                host: "127.0.0.1".to_owned(),
                port: self.port,
            }],
            database: DATABASE.to_owned(),
            encryption: Encryption::None,
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Writes its settings, and returns where they are.
fn configure(folder: &Path, port: u16, server: u16, mode: &str) -> PathBuf {
    let (users, settings) = (folder.join("users"), folder.join("pgbouncer.ini"));
    std::fs::write(&users, format!("\"{ADMIN}\" \"\"\n")).unwrap();
    let text = format!(
        "[databases]\n{DATABASE} = host=127.0.0.1 port={server}\n[pgbouncer]\n\
         listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n\
         auth_file = {}\npool_mode = {mode}\ndefault_pool_size = 20\n",
        users.display()
    );
    std::fs::write(&settings, text).unwrap();
    for file in [&users, &settings] {
        give(file);
    }
    settings
}

fn spawn(folder: &Path, settings: &Path) -> Child {
    let log = File::create(folder.join("log")).unwrap();
    let mut command = unprivileged(Path::new("/usr/sbin/pgbouncer"));
    command.arg(settings).current_dir(folder);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    command
        .spawn()
        .expect("no pgbouncer: run `cargo xtask deps`")
}

/// Waits until the pooler leads to its server, or has ended. Somebody else may answer at its port.
fn is_up(child: &mut Child, port: u16, server: &Server) -> bool {
    wait_until("the pooler answers or ends", || {
        if child.try_wait().unwrap().is_some() {
            return Some(false);
        }
        is_served_from(port, server.folder()).then_some(true)
    })
}
