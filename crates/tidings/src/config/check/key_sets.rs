//! Key sets of issuers: their sources, and which of their keys are used.

use std::path::PathBuf;
use std::sync::Arc;

use tidings_auth::jwk;
use tidings_auth::key::Algorithm;
use tidings_auth::key_set::{self, KeySet, Source};
use tidings_wire::redact;

use super::{Checks, is_loopback};
use crate::config::tables::auth::IssuerTable;

impl Checks<'_> {
    /// Returns the only permitted algorithm of a key set, if there is one.
    pub(super) fn key_set_algorithm(
        &mut self,
        path: &str,
        table: &IssuerTable,
    ) -> Option<Option<Algorithm>> {
        match table.algorithm {
            None => Some(None),
            Some(algorithm) if !algorithm.is_shared() => Some(Some(algorithm)),
            Some(_) => {
                let advice = "is not for public keys, and a key set has no others: remove it, or write \
                              one such as RS256, ES256 or EdDSA";
                self.contradiction(&format!("{path}.algorithm"), advice);
                None
            }
        }
    }

    pub(super) fn key_set_url(&mut self, place: &str, text: &str) -> Option<Source> {
        let shown = redact::url(text);
        let reason = match url::Url::parse(text) {
            Err(error) => format!("{error} ({shown:?})"),
            Ok(url) if url.host_str().is_none() => format!("{shown:?} has no host"),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "the address of a key set must not contain credentials".to_owned()
            }
            Ok(url) if url.scheme() == "https" => return Some(Source::Url(url)),
            Ok(url) if url.scheme() == "http" && is_loopback(&url) => {
                return Some(Source::Url(url));
            }
            Ok(_) => {
                format!(
                    "{shown:?} is not https, and anyone who can modify it in transit could sign tokens"
                )
            }
        };
        let example = "write it like \"https://example.com/.well-known/jwks.json\"";
        self.invalid(place, format!("{reason}: {example}"));
        None
    }

    pub(super) fn key_set_file(&mut self, place: &str, text: &str) -> Option<Source> {
        let path = PathBuf::from(text);
        let usable = key_set::read_file(&path).and_then(|document| Ok(jwk::parse(&document)?));
        match usable {
            Ok(_) => Some(Source::File(path)),
            Err(error) => {
                self.invalid(place, error);
                None
            }
        }
    }

    /// Returns the set of this source; issuers with the same source share it.
    pub(super) fn key_set(&mut self, source: Source) -> Arc<KeySet> {
        if let Some(known) = self.key_sets.iter().find(|set| *set.source() == source) {
            return Arc::clone(known);
        }
        let set = Arc::new(KeySet::new(source, self.key_set_refresh));
        self.key_sets.push(Arc::clone(&set));
        set
    }
}
