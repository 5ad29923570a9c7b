//! `[cluster]` with the engine `nats`.

use std::error::Error;
use std::path::Path;

use tidings_nats::{Access, AccessError, Options, Place, Timeouts};

use super::Checks;
use crate::config::tables::cluster::{AcknowledgeBy, ClusterTable};
use crate::config::tables::publish::PublishOptions;
use crate::config::tables::sockjs::SockJsOptions;
use crate::config::tables::websocket::WebSocketOptions;
use crate::config::tables::zeromq::ZeroMqTable;

/// Most replicas of an update beside the leader's: streams have at most five copies, and a majority is
/// waited for.
const REPLICAS_MAX: u32 = 2;

impl Checks<'_> {
    /// Returns how NATS is reached; nothing after an error.
    pub(super) fn nats(&mut self, table: &ClusterTable) -> Option<Options> {
        let place = self.nats_place(table.url.as_deref())?;
        let name = self.cluster_name(table);
        let access = self.nats_access(table);
        let in_clear = (!place.tls).then_some(
            "is set, but cluster.url does not ask for TLS: write tls instead of nats there",
        );
        let tls = self.cluster_tls(table, in_clear);
        let replicas = self.nats_copies(table);
        let update_bytes_max = self.update_bytes_max();
        Some(Options {
            place,
            name: name?,
            access: access?,
            tls: tls?,
            replicas: replicas?,
            window_bytes: table.window_bytes,
            update_bytes_max,
            timeouts: Timeouts {
                connect: table.connect_timeout,
                ..Timeouts::default()
            },
        })
    }

    /// Returns the most bytes of an update, in whichever way it comes.
    fn update_bytes_max(&mut self) -> u64 {
        let publish: PublishOptions = self.table();
        let websocket: WebSocketOptions = self.table();
        let sockjs: SockJsOptions = self.table();
        let zeromq: ZeroMqTable = self.table();
        publish
            .body_bytes_max
            .max(websocket.message_bytes_max)
            .max(sockjs.body_bytes_max)
            .max(zeromq.message_bytes_max) as u64
    }

    /// Another engine knows no such secrets.
    pub(super) fn only_for_nats(&mut self, table: &ClusterTable) {
        let files = [
            ("cluster.nkey_file", &table.nkey_file),
            ("cluster.credentials_file", &table.credentials_file),
        ];
        for (key, _) in files.iter().filter(|(_, file)| file.is_some()) {
            let advice = "is set, but cluster.engine is not \"nats\": remove one of the two";
            self.contradiction(key, advice);
        }
    }

    fn nats_place(&mut self, url: Option<&str>) -> Option<Place> {
        let Some(url) = url else {
            let advice = "write where the engine is, such as \"nats://127.0.0.1:4222\"";
            self.missing("cluster.url", advice);
            return None;
        };
        match Place::parse(url) {
            Ok(place) => Some(place),
            Err(error) => {
                self.invalid("cluster.url", Box::<dyn Error + Send + Sync>::from(error));
                None
            }
        }
    }

    /// Returns by which of the files the hub logs in. There is one, or none.
    fn nats_access(&mut self, table: &ClusterTable) -> Option<Access> {
        let files = [
            ("cluster.password_file", &table.password_file),
            ("cluster.nkey_file", &table.nkey_file),
            ("cluster.credentials_file", &table.credentials_file),
        ];
        let set: Vec<&str> = files
            .iter()
            .filter(|(_, file)| file.is_some())
            .map(|(key, _)| *key)
            .collect();
        if let [_one, other, ..] = set.as_slice() {
            let advice = "is set beside another secret: a hub logs in by one of password_file, \
                          nkey_file and credentials_file";
            self.contradiction(other, advice);
            return None;
        }
        if table.username.is_some() && table.password_file.is_none() && !set.is_empty() {
            let advice = "is set beside a secret that has a user of its own: remove it";
            self.contradiction("cluster.username", advice);
            return None;
        }
        if let Some(file) = &table.nkey_file {
            return self.nats_secret("cluster.nkey_file", file, Access::nkey);
        }
        if let Some(file) = &table.credentials_file {
            return self.nats_secret("cluster.credentials_file", file, Access::credentials);
        }
        let username = table.username.as_deref();
        let file = table.password_file.as_deref();
        let login = self.cluster_login("cluster.password_file", username, file);
        login.map(Access::password)
    }

    fn nats_secret(
        &mut self,
        key: &str,
        file: &Path,
        read: impl FnOnce(&Path) -> Result<Access, AccessError>,
    ) -> Option<Access> {
        match read(file) {
            Ok(access) => Some(access),
            Err(error) => {
                self.invalid(key, Box::<dyn Error + Send + Sync>::from(error));
                None
            }
        }
    }

    /// Returns how many servers keep each stream: an answer means that a majority of them has the
    /// update.
    fn nats_copies(&mut self, table: &ClusterTable) -> Option<u32> {
        match table.acknowledge {
            AcknowledgeBy::Engine => Some(1),
            AcknowledgeBy::Replicated if table.replicas <= REPLICAS_MAX => {
                Some(2 * table.replicas + 1)
            }
            AcknowledgeBy::Replicated => {
                let reason = format!(
                    "{} is more than NATS has: 1 is a stream on three servers, {REPLICAS_MAX} one on five",
                    table.replicas
                );
                self.invalid("cluster.replicas", reason);
                None
            }
        }
    }
}
