//! `[auth]`: the keys are usable, and somebody can publish and somebody can subscribe.

use tidings_auth::Keys;
use tidings_auth::key::{Algorithm, KeyError};
use tidings_core::{Dialect, HubUrl};

use super::{Checks, dialects};
use crate::config::tables::auth::{AuthTable, IssuerTable};
use crate::config::tables::dialects::DialectOptions;
use crate::text_file;

impl Checks<'_> {
    pub(super) fn auth(
        &mut self,
        table: AuthTable,
        issuers: &[IssuerTable],
        (hub, anonymous): (Option<&HubUrl>, bool),
        dialects: &DialectOptions,
    ) -> Option<tidings_auth::Options> {
        self.key_set_refresh = table.jwks_refresh;
        if issuers.is_empty() {
            let advice = "write an [[auth.issuers]] table with issuer and key_file; without one \
                          nobody could publish";
            self.missing("auth.issuers.0.issuer", advice);
        }
        if table.audiences.as_ref().is_some_and(Vec::is_empty) {
            let advice = "is empty, so that every token would be refused: write the hub's URL, or \
                          remove the key";
            self.contradiction("auth.audiences", advice);
        }
        let keys: Vec<Option<Vec<tidings_auth::Issuer>>> = issuers
            .iter()
            .enumerate()
            .map(|(index, issuer)| self.issuer(&format!("auth.issuers.{index}"), issuer))
            .collect();
        self.nobody_is_left_out(issuers, anonymous);
        let audiences = match table.audiences {
            Some(audiences) => audiences,
            None => vec![hub?.as_str().to_owned()],
        };
        Some(tidings_auth::Options {
            issuers: keys.into_iter().collect::<Option<Vec<_>>>()?.concat(),
            audiences,
            cookie_names: table.cookie_names,
            old_dialects: dialects.old().collect(),
        })
    }

    fn nobody_is_left_out(&mut self, issuers: &[IssuerTable], anonymous: bool) {
        if !issuers.is_empty() && issuers.iter().all(|issuer| !issuer.publish) {
            let advice = "is false for every issuer, so that nobody could publish: write true";
            self.contradiction("auth.issuers.0.publish", advice);
        }
        let readers = anonymous || issuers.iter().any(|key| key.subscribe);
        if !issuers.is_empty() && !readers {
            let advice = "is false, and no issuer has subscribe = true, so that nobody could \
                          subscribe: write true in one of the two";
            self.contradiction("subscribe.anonymous", advice);
        }
    }

    fn issuer(&mut self, path: &str, table: &IssuerTable) -> Option<Vec<tidings_auth::Issuer>> {
        if !table.publish && !table.subscribe {
            let advice = "publish and subscribe are both false, so that the key is of no use: \
                          write true for one, or remove the issuer";
            self.contradiction(&format!("{path}.publish"), advice);
        }
        let dialects = self.issuer_dialects(path, table)?;
        let keys = self.issuer_keys(path, table, &dialects);
        let issuer = table.issuer.as_deref().unwrap_or_default();
        if issuer.is_empty() && dialects.contains(&Dialect::V1) {
            let advice = "write the exact iss of its tokens, such as \"https://example.com\"";
            self.missing(&format!("{path}.issuer"), advice);
            return None;
        }
        let (keys, secret) = keys?;
        let issuer = tidings_auth::Issuer {
            issuer: issuer.into(),
            keys,
            kid: table.kid.clone(),
            publish: table.publish,
            subscribe: table.subscribe,
            dialects,
        };
        let secret = secret.unwrap_or_default();
        let mut issuers = dialects::further_keys(&issuer, &secret);
        issuers.insert(0, issuer);
        Some(issuers)
    }

    /// Returns the keys and, for a single configured key, its text.
    fn issuer_keys(
        &mut self,
        path: &str,
        table: &IssuerTable,
        dialects: &[Dialect],
    ) -> Option<(Keys, Option<String>)> {
        let written = [
            ("key", table.key.as_ref().map(|key| &key.0)),
            ("key_file", table.key_file.as_ref()),
            ("jwks_url", table.jwks_url.as_ref()),
            ("jwks_file", table.jwks_file.as_ref()),
        ];
        let mut written = written
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let (Some((name, text)), further) = (written.next(), written.next()) else {
            let advice = "write the secret or public key in key, its file in key_file, or the \
                          issuer's key set in jwks_url or jwks_file";
            self.missing(&format!("{path}.key"), advice);
            return None;
        };
        if let Some((further, _)) = further {
            let advice = "key, key_file, jwks_url and jwks_file exclude each other: remove one";
            self.contradiction(&format!("{path}.{further}"), advice);
            return None;
        }
        let place = format!("{path}.{name}");
        let source = match name {
            "key" => return self.fixed_key((path, place), table, text.clone(), dialects),
            "key_file" => {
                let text = self.key_file(&place, text)?;
                return self.fixed_key((path, place), table, text, dialects);
            }
            "jwks_file" => self.key_set_file(&place, text),
            _ => self.key_set_url(&place, text),
        };
        let only = self.key_set_algorithm(path, table)?;
        let set = self.key_set(source?);
        Some((Keys::Set { set, only }, None))
    }

    fn fixed_key(
        &mut self,
        (path, name): (&str, String),
        table: &IssuerTable,
        text: String,
        dialects: &[Dialect],
    ) -> Option<(Keys, Option<String>)> {
        let algorithm = table.algorithm.unwrap_or(Algorithm::Hs256);
        match self.key_text(path, algorithm, &text, dialects) {
            Ok(key) => Some((key.into(), Some(text))),
            Err(error) => {
                let name = match error {
                    KeyError::PemAsSecret { .. } => format!("{path}.algorithm"),
                    KeyError::Empty
                    | KeyError::Placeholder
                    | KeyError::Quoted
                    | KeyError::Json
                    | KeyError::SecretTooShort { .. }
                    | KeyError::Published
                    | KeyError::NotPem { .. }
                    | KeyError::Private
                    | KeyError::WrongKind { .. } => name,
                };
                self.invalid(&name, error);
                None
            }
        }
    }

    fn key_file(&mut self, name: &str, file: &str) -> Option<String> {
        match text_file::read(file) {
            Ok(text) => Some(text_file::without_line_break(&text).to_owned()),
            Err(error) => {
                self.invalid(name, format!("{file}: {error}"));
                None
            }
        }
    }
}
