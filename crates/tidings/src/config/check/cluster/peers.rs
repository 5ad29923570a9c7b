//! How the hubs of a cluster fetch updates from each other: their addresses, and the token.

use std::sync::Arc;

use url::Url;

use super::Checks;
use crate::cluster::PeerToken;
use crate::config::admin_token::AdminToken;
use crate::config::tables::cluster::ClusterTable;
use crate::text_file;

impl Checks<'_> {
    /// Returns where the other hubs reach this one: `Some(None)` if they do not.
    pub(super) fn cluster_address(&mut self, table: &ClusterTable) -> Option<Option<Arc<str>>> {
        let Some(text) = &table.address else {
            return Some(None);
        };
        match base(text) {
            Ok(address) => Some(Some(address)),
            Err(reason) => {
                self.invalid("cluster.address", reason);
                None
            }
        }
    }

    /// Returns the token that this hub presents to others, and keeps the one that others must present.
    pub(super) fn cluster_peer_token(&mut self, table: &ClusterTable) -> Option<PeerToken> {
        let (key, text) = match (&table.peer_token, &table.peer_token_file) {
            (Some(_), Some(_)) => {
                let advice = "peer_token and peer_token_file exclude each other: remove one";
                self.contradiction("cluster.peer_token_file", advice);
                return None;
            }
            (Some(token), None) => ("cluster.peer_token", token.0.clone()),
            (None, Some(file)) => match text_file::read(file) {
                Ok(text) => {
                    let text = text_file::without_line_break(&text).to_owned();
                    ("cluster.peer_token_file", text)
                }
                Err(error) => {
                    let reason = format!("{}: {error}", file.display());
                    self.invalid("cluster.peer_token_file", reason);
                    return None;
                }
            },
            (None, None) => return None,
        };
        match AdminToken::parse(&text) {
            Ok(token) => {
                self.peer_token = Some(token);
                Some(PeerToken::new(text))
            }
            Err(error) => {
                self.invalid(key, error);
                None
            }
        }
    }

    /// Warns of a part that does nothing without another.
    pub(super) fn cluster_peers_fit(&mut self, table: &ClusterTable, has_admin: bool) {
        let has_token = table.peer_token.is_some() || table.peer_token_file.is_some();
        let warning = match (&table.address, has_token) {
            (Some(_), false) => {
                "cluster.address: other hubs fetch nothing without cluster.peer_token_file"
            }
            (Some(_), true) if !has_admin => {
                "cluster.address: there is no admin.address where other hubs could fetch updates"
            }
            (None, true) => {
                "cluster.peer_token: other hubs cannot fetch updates from this one without \
                 cluster.address"
            }
            (Some(_), true) | (None, false) => return,
        };
        self.warnings.push(warning.to_owned());
    }
}

/// Returns the URL without a slash at its end.
fn base(text: &str) -> Result<Arc<str>, &'static str> {
    let url = Url::parse(text).map_err(|_invalid| FORM)?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    match matches!(url.scheme(), "http" | "https") && url.has_host() && plain {
        true => Ok(url.as_str().trim_end_matches('/').into()),
        false => Err(FORM),
    }
}

const FORM: &str = "write the URL of this hub's admin.address as other hubs reach it, such as \
                    http://10.0.0.11:4401";
