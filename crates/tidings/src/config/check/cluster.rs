//! `[cluster]`: where the engine is and who we are there, with the files of secrets.

mod nats;
mod peers;
mod postgresql;
mod redis;

use std::path::Path;

use tidings_access::{Login, Name, Tls, TlsFiles};

use super::Checks;
use crate::cluster::{self, EngineOptions, INBOX_LEASE};
use crate::config::tables::cluster::{ClusterTable, EngineKind};
use crate::config::tables::history::{HistoryKind, HistoryTable};

/// Most bytes of a node's name.
const NODE_BYTES_MAX: usize = 64;

impl Checks<'_> {
    /// Returns the options of the cluster: `Some(None)` if the hub is alone, `None` after an error.
    pub(super) fn cluster(
        &mut self,
        history: &HistoryTable,
        has_admin: bool,
    ) -> Option<Option<cluster::Options>> {
        let table: ClusterTable = self.table();
        if table.engine != EngineKind::None {
            self.cluster_fits(history);
        }
        let engine = match table.engine {
            EngineKind::None => {
                if table.url.is_some() {
                    let advice = "is set, but cluster.engine is not: write engine = \"redis\", \
                                  \"postgresql\" or \"nats\", or remove the address";
                    self.contradiction("cluster.url", advice);
                }
                return Some(None);
            }
            EngineKind::Redis => self.redis(&table).map(EngineOptions::Redis),
            EngineKind::Postgresql => self.postgresql(&table).map(EngineOptions::Postgresql),
            EngineKind::Nats => self.nats(&table).map(EngineOptions::Nats),
        };
        if table.engine != EngineKind::Redis {
            self.only_for_redis(&table);
        }
        if table.engine != EngineKind::Nats {
            self.only_for_nats(&table);
        }
        if table.engine != EngineKind::Postgresql {
            self.only_for_postgresql(&table);
        }
        let node = self.cluster_node(&table);
        let address = self.cluster_address(&table);
        let peer_token = self.cluster_peer_token(&table);
        self.cluster_peers_fit(&table, has_admin);
        let engine = engine?;
        let inbox = engine.inbox().map(|_| INBOX_LEASE.into());
        Some(Some(cluster::Options {
            engine,
            node: node?,
            address: address?,
            peer_token,
            shared: self.shared().into(),
            leases: inbox.into_iter().collect(),
            create: table.create,
            wait_max: table.wait_max,
            start_within: table.start_timeout,
            inbox_poll: table.inbox_poll,
        }))
    }

    /// Checks that what else is configured works in a cluster.
    fn cluster_fits(&mut self, history: &HistoryTable) {
        if history.kind == HistoryKind::None {
            let advice = "is \"none\", but a hub of a cluster puts back from its history what the \
                          engine loses: write \"file\" or \"memory\"";
            self.contradiction("history.kind", advice);
        }
    }

    fn cluster_name(&mut self, table: &ClusterTable) -> Option<Name> {
        match table.name.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.invalid(
                    "cluster.name",
                    Box::<dyn std::error::Error + Send + Sync>::from(error),
                );
                None
            }
        }
    }

    fn cluster_login(
        &mut self,
        key: &str,
        username: Option<&str>,
        file: Option<&Path>,
    ) -> Option<Login> {
        match Login::read(username, file) {
            Ok(login) => Some(login),
            Err(error) => {
                self.invalid(key, Box::<dyn std::error::Error + Send + Sync>::from(error));
                None
            }
        }
    }

    /// Returns how connections to the engine are encrypted: `Some(None)` if they are not. `in_clear`
    /// says what would ask for it, if nothing does.
    fn cluster_tls(
        &mut self,
        table: &ClusterTable,
        in_clear: Option<&'static str>,
    ) -> Option<Option<Tls>> {
        let identity = match (&table.certificate_file, &table.key_file) {
            (Some(certificate), Some(key)) => Some((certificate.as_path(), key.as_path())),
            (None, None) => None,
            (Some(_), None) => {
                let advice = "write the path of the private key of cluster.certificate_file";
                self.missing("cluster.key_file", advice);
                return None;
            }
            (None, Some(_)) => {
                let advice = "write the path of the certificate of cluster.key_file";
                self.missing("cluster.certificate_file", advice);
                return None;
            }
        };
        if let Some(advice) = in_clear {
            let files = [
                ("cluster.ca_file", &table.ca_file),
                ("cluster.certificate_file", &table.certificate_file),
            ];
            for (key, _) in files.iter().filter(|(_, file)| file.is_some()) {
                self.contradiction(key, advice);
            }
            return Some(None);
        }
        let authorities = table.ca_file.as_deref();
        match Tls::read(TlsFiles {
            authorities,
            identity,
        }) {
            Ok(tls) => Some(Some(tls)),
            Err(error) => {
                let key = match authorities {
                    Some(_) => "cluster.ca_file",
                    None => "cluster.url",
                };
                self.invalid(key, Box::<dyn std::error::Error + Send + Sync>::from(error));
                None
            }
        }
    }

    fn cluster_node(&mut self, table: &ClusterTable) -> Option<String> {
        let node = table.node.clone();
        let node = node.unwrap_or_else(|| {
            let machine = rustix::system::uname();
            machine.nodename().to_string_lossy().into_owned()
        });
        let is_plain = |text: &str| {
            (1..=NODE_BYTES_MAX).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if is_plain(&node) {
            return Some(node);
        }
        let reason = format!("{node:?} is not 1 to {NODE_BYTES_MAX} visible ASCII characters");
        self.invalid("cluster.node", reason);
        None
    }
}
