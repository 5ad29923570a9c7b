//! `[cluster]` with the engine `postgresql`.

use tidings_access::Login;
use tidings_postgresql::{Acknowledge, Encryption, Options, Place, Timeouts, unusable_name};

use super::Checks;
use crate::config::tables::cluster::{AcknowledgeBy, ClusterTable};

/// The user where none is named.
const USER: &str = "tidings";

impl Checks<'_> {
    /// Returns how PostgreSQL is reached; nothing after an error.
    pub(super) fn postgresql(&mut self, table: &ClusterTable) -> Option<Options> {
        if table.url.is_none() {
            let advice =
                "write where the engine is, such as \"postgresql://127.0.0.1:5432/tidings\"";
            self.missing("cluster.url", advice);
        }
        let place = self.postgresql_place("cluster.url", table.url.as_deref())?;
        let notify = self.postgresql_place("cluster.notify_url", table.notify_url.as_deref())?;
        let read = self.postgresql_place("cluster.read_url", table.read_url.as_deref())?;
        let encrypts = |place: &Option<Place>| {
            let place = place.as_ref();
            place.is_some_and(|place| place.encryption == Encryption::Tls)
        };
        let encrypted = [&place, &notify, &read].into_iter().any(encrypts);
        let in_clear = (!encrypted).then_some(
            "is set, but cluster.url does not ask for TLS: write ?sslmode=verify-full at its end",
        );
        let tls = self.cluster_tls(table, in_clear);
        let name = self.cluster_name(table);
        if let Some(reason) = name.as_ref().and_then(unusable_name) {
            self.invalid("cluster.name", reason);
        }
        let username = table.username.as_deref().unwrap_or(USER);
        let login = match &table.password_file {
            None => Some(Login::without_password(username)),
            file => self.cluster_login("cluster.password_file", Some(username), file.as_deref()),
        };
        Some(Options {
            place: place?,
            notify,
            read,
            name: name?,
            login: login?,
            tls: tls?,
            acknowledge: match table.acknowledge {
                AcknowledgeBy::Engine => Acknowledge::Engine,
                AcknowledgeBy::Replicated => Acknowledge::Replicated,
            },
            window_bytes: table.window_bytes,
            timeouts: Timeouts {
                connect: table.connect_timeout,
                ..Timeouts::default()
            },
        })
    }

    /// Refuses what no other engine has.
    pub(super) fn only_for_postgresql(&mut self, table: &ClusterTable) {
        let urls = [
            ("cluster.notify_url", &table.notify_url),
            ("cluster.read_url", &table.read_url),
        ];
        for (key, _) in urls.iter().filter(|(_, url)| url.is_some()) {
            let advice = "is set, but cluster.engine is not \"postgresql\": remove one of the two";
            self.contradiction(key, advice);
        }
    }

    /// Returns what an address line says: `Some(None)` without one, `None` after an error.
    fn postgresql_place(&mut self, key: &str, url: Option<&str>) -> Option<Option<Place>> {
        match url.map(Place::parse).transpose() {
            Ok(place) => Some(place),
            Err(error) => {
                self.invalid(key, Box::<dyn std::error::Error + Send + Sync>::from(error));
                None
            }
        }
    }
}
