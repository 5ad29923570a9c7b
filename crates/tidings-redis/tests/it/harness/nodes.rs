//! A Redis Cluster: three primaries, and a replica for one of them.

use redis::{Connection, Value};
use tidings_redis::Place;

use super::server::{Kind, Server, command};
use super::wait_until;

#[derive(Debug)]
pub(crate) struct Nodes {
    /// The first three begin as primaries, the last one as a replica.
    pub(crate) nodes: Vec<Server>,
}

impl Nodes {
    /// Starts them. The replica is that of the owner of `key`.
    pub(crate) fn start(kind: Kind, key: &str) -> Self {
        let arguments = [
            "--cluster-enabled",
            "yes",
            "--cluster-node-timeout",
            "1000",
            "--repl-diskless-sync-delay",
            "0",
        ];
        let nodes: Vec<_> = (0..4)
            .map(|_| Server::start_with(kind, &arguments))
            .collect();
        let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        for (epoch, (node, (first, last))) in (1..).zip(nodes.iter().zip(slots)) {
            let _ok: Value = node.ask(&["CLUSTER", "ADDSLOTSRANGE", first, last]);
            let epoch = format!("{epoch}");
            let _ok: Value = node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
        }
        let first = nodes[0].port.to_string();
        for node in &nodes[1..] {
            let _ok: Value = node.ask(&["CLUSTER", "MEET", "127.0.0.1", &first]);
        }
        let all = Self { nodes };
        for node in &all.nodes {
            wait_until("a node knows the others", || {
                let info: String = node.ask(&["CLUSTER", "INFO"]);
                let ok = info.contains("cluster_state:ok");
                (ok && info.contains("cluster_known_nodes:4")).then_some(())
            });
        }
        all.follow(key);
        all
    }

    /// Makes the last node the replica of the owner of `key`.
    fn follow(&self, key: &str) {
        let owner = self.owner(key);
        let id: String = self.nodes[owner].ask(&["CLUSTER", "MYID"]);
        let replica = &self.nodes[3];
        let _ok: Value = replica.ask(&["CLUSTER", "REPLICATE", &id]);
        wait_until("the replica is up to date", || {
            let info: String = replica.ask(&["INFO", "replication"]);
            info.contains("master_link_status:up").then_some(())
        });
        for node in &self.nodes {
            wait_until("everybody knows the replica", || {
                let nodes: String = node.ask(&["CLUSTER", "NODES"]);
                let line = nodes
                    .lines()
                    .find(|line| line.contains(" slave ") || line.contains(",slave "));
                line.filter(|line| line.contains("connected")).map(drop)
            });
        }
    }

    /// Which of the nodes owns `key`.
    pub(crate) fn owner(&self, key: &str) -> usize {
        let owns = |node: &Server| {
            let mut connection = node.connection();
            command(&["EXISTS", key])
                .query::<Value>(&mut connection)
                .is_ok()
        };
        self.nodes.iter().position(owns).unwrap()
    }

    pub(crate) fn place(&self) -> Place {
        Place::Cluster {
            nodes: self.nodes.iter().take(2).map(Server::address).collect(),
        }
    }

    pub(crate) fn connection_to(&self, key: &str) -> Connection {
        self.nodes[self.owner(key)].connection()
    }
}
