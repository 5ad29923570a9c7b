//! `[cluster]` with the engine `redis`.

use tidings_redis::{Acknowledge, Encryption, Options, Place, Timeouts, Unguarded};

use super::Checks;
use crate::config::tables::cluster::{AcknowledgeBy, ClusterTable};

impl Checks<'_> {
    /// Returns how Redis or Valkey is reached; nothing after an error.
    pub(super) fn redis(&mut self, table: &ClusterTable) -> Option<Options> {
        let (place, encryption) = self.redis_place(table.url.as_deref())?;
        let name = self.cluster_name(table);
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
        let in_clear = (encryption == Encryption::None).then_some(
            "is set, but cluster.url does not ask for TLS: write rediss instead of redis there",
        );
        let tls = self.cluster_tls(table, in_clear);
        Some(Options {
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
        })
    }

    /// Refuses what no other engine has.
    pub(super) fn only_for_redis(&mut self, table: &ClusterTable) {
        let keys = [
            (
                "cluster.sentinel_username",
                table.sentinel_username.is_some(),
            ),
            (
                "cluster.sentinel_password_file",
                table.sentinel_password_file.is_some(),
            ),
            ("cluster.allow_unguarded", table.allow_unguarded),
        ];
        for (key, _) in keys.iter().filter(|(_, set)| *set) {
            let advice = "is set, but cluster.engine is not \"redis\": remove one of the two";
            self.contradiction(key, advice);
        }
    }

    fn redis_place(&mut self, url: Option<&str>) -> Option<(Place, Encryption)> {
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
}
