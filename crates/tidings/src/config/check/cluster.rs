//! `[cluster]`: where the engine is and who we are there, with the files of secrets.

use std::path::Path;

use tidings_redis::{
    Acknowledge, Encryption, Login, Options, Place, Timeouts, Tls, TlsFiles, Unguarded,
};

use super::Checks;
use crate::cluster;
use crate::config::tables::cluster::{AcknowledgeBy, ClusterTable, EngineKind};
use crate::config::tables::history::{HistoryKind, HistoryTable};

/// Most bytes of a node's name.
const NODE_BYTES_MAX: usize = 64;

impl Checks<'_> {
    /// Returns the options of the cluster: `Some(None)` if the hub is alone, `None` after an error.
    pub(super) fn cluster(&mut self, history: &HistoryTable) -> Option<Option<cluster::Options>> {
        let table: ClusterTable = self.table();
        if table.engine == EngineKind::None {
            if table.url.is_some() {
                let advice = "is set, but cluster.engine is not: write engine = \"redis\", or remove \
                              the address";
                self.contradiction("cluster.url", advice);
            }
            return Some(None);
        }
        self.cluster_fits(history);
        let (place, encryption) = self.cluster_place(table.url.as_deref())?;
        let name = match table.name.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.invalid(
                    "cluster.name",
                    Box::<dyn std::error::Error + Send + Sync>::from(error),
                );
                None
            }
        };
        let login = self.cluster_login(
            "cluster.password_file",
            table.username.as_deref(),
            table.password_file.as_deref(),
        );
        let sentinel_login = self.cluster_login(
            "cluster.sentinel_password_file",
            table.sentinel_username.as_deref(),
            table.sentinel_password_file.as_deref(),
        );
        if table.sentinel_password_file.is_some() && !matches!(place, Place::Sentinel { .. }) {
            let advice = "is set, but cluster.url names no Sentinels: remove one of the two";
            self.contradiction("cluster.sentinel_password_file", advice);
        }
        let tls = self.cluster_tls(&table, encryption);
        let node = self.cluster_node(&table);
        Some(Some(cluster::Options {
            engine: Options {
                place,
                name: name?,
                login: login?,
                sentinel_login: sentinel_login?,
                tls: tls?,
                acknowledge: match table.acknowledge {
                    AcknowledgeBy::Engine => Acknowledge::Engine,
                    AcknowledgeBy::Replicated => Acknowledge::Replicated {
                        replicas: table.replicas,
                    },
                },
                unguarded: match table.allow_unguarded {
                    true => Unguarded::Accept,
                    false => Unguarded::Refuse,
                },
                window_bytes: table.window_bytes,
                timeouts: Timeouts {
                    connect: table.connect_timeout,
                    replicas: table.replicas_timeout,
                    ..Timeouts::default()
                },
            },
            node: node?,
            shared: self.shared().into(),
            leases: Vec::new(),
            create: table.create,
            wait_max: table.wait_max,
            start_within: table.start_timeout,
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

    fn cluster_place(&mut self, url: Option<&str>) -> Option<(Place, Encryption)> {
        let Some(url) = url else {
            let advice = "write where the engine is, such as \"redis://127.0.0.1:6379\"";
            self.missing("cluster.url", advice);
            return None;
        };
        match Place::parse(url) {
            Ok(found) => Some(found),
            Err(error) => {
                self.invalid(
                    "cluster.url",
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

    fn cluster_tls(&mut self, table: &ClusterTable, encryption: Encryption) -> Option<Option<Tls>> {
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
        if encryption == Encryption::None {
            let files = [
                ("cluster.ca_file", &table.ca_file),
                ("cluster.certificate_file", &table.certificate_file),
            ];
            for (key, _) in files.iter().filter(|(_, file)| file.is_some()) {
                let advice = "is set, but cluster.url does not ask for TLS: write rediss instead of \
                              redis there";
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
