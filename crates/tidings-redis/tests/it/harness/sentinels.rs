//! A primary, two replicas, three Sentinels.

use std::path::Path;

use redis::Value;
use tidings_redis::Place;

use super::server::{Kind, Server, ask, connection};
use super::wait_until;

pub(crate) const SERVICE: &str = "hub";

#[derive(Debug)]
pub(crate) struct Sentinels {
    /// The first one begins as the primary.
    pub(crate) servers: Vec<Server>,
    pub(crate) sentinels: Vec<Server>,
}

impl Sentinels {
    /// Starts them; the servers with more arguments.
    pub(crate) fn start(kind: Kind, arguments: &[&str]) -> Self {
        let all = [&["--repl-diskless-sync-delay", "0"], arguments].concat();
        let primary = Server::start_with(kind, &all);
        let port = primary.port.to_string();
        let replica = [all, vec!["--replicaof", "127.0.0.1", &port]].concat();
        let mut servers = vec![primary];
        servers.extend((0..2).map(|_| Server::start_with(kind, &replica)));
        let sentinels: Vec<Server> = (0..3).map(|_| sentinel(kind, servers[0].port)).collect();
        let trio = Self { servers, sentinels };
        for sentinel in &trio.sentinels {
            wait_until("a Sentinel knows everybody", || trio.knows_all(sentinel));
        }
        trio
    }

    fn knows_all(&self, sentinel: &Server) -> Option<()> {
        let words: Vec<String> = sentinel.ask(&["SENTINEL", "MASTER", SERVICE]);
        let value = |name: &str| {
            let at = words.iter().position(|word| word == name)?;
            words.get(at + 1)?.parse::<usize>().ok()
        };
        let all = value("num-slaves")? == 2 && value("num-other-sentinels")? == 2;
        all.then_some(())?;
        // Replicas are up to date with the primary.
        let mut primary = self.servers[0].connection();
        let info: String = ask(&mut primary, &["INFO", "replication"]);
        (info.matches("state=online").count() == 2).then_some(())
    }

    pub(crate) fn place(&self) -> Place {
        Place::Sentinel {
            sentinels: self.sentinels.iter().map(Server::address).collect(),
            service: SERVICE.to_owned(),
        }
    }

    /// The port of the primary, as a majority says.
    pub(crate) fn primary(&self) -> Option<u16> {
        let says = |sentinel: &Server| -> Option<u16> {
            let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE];
            let answer: Vec<String> = sentinel.ask(&question);
            answer.get(1)?.parse().ok()
        };
        let said: Vec<_> = self.sentinels.iter().filter_map(says).collect();
        let mut ports = said.iter();
        ports
            .find(|port| said.iter().filter(|other| other == port).count() >= 2)
            .copied()
    }

    /// The server with that port.
    pub(crate) fn server(&mut self, port: u16) -> &mut Server {
        let found = self.servers.iter_mut().find(|server| server.port == port);
        found.unwrap()
    }

    /// Waits until another server than `old` is the primary and says so itself.
    pub(crate) fn wait_for_another(&self, old: u16) -> u16 {
        wait_until("another primary", || {
            let port = self.primary().filter(|port| *port != old)?;
            let role: Value = ask(&mut connection(port), &["ROLE"]);
            let Value::Array(words) = role else {
                return None;
            };
            (words.first()? == &Value::BulkString(b"master".to_vec())).then_some(port)
        })
    }
}

fn sentinel(kind: Kind, primary: u16) -> Server {
    let lines = [
        format!("sentinel monitor {SERVICE} 127.0.0.1 {primary} 2"),
        format!("sentinel down-after-milliseconds {SERVICE} 1000"),
        format!("sentinel failover-timeout {SERVICE} 5000"),
        format!("sentinel parallel-syncs {SERVICE} 1"),
    ];
    let write = |folder: &Path| std::fs::write(folder.join("sentinel.conf"), lines.join("\n"));
    Server::start_from(kind, &["sentinel.conf", "--sentinel"], write)
}
