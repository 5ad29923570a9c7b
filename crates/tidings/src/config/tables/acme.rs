//! `[tls.acme]`: the certificate from an authority.

use crate::certificate::acme::Challenge;
use crate::config::keys::Form::{self, List, Path, Text, Url};
use crate::config::keys::rule::{list, unset};
use crate::config::value::{FromValue, Secret, ValueError};

table! {
    /// The `[tls.acme]` table.
    pub struct AcmeTable = "tls.acme" {
        /// Names that the hub orders a certificate for, from an authority that speaks ACME (RFC
        /// 8555), in place of `tls.certificate` and `tls.key`. Each must lead to this hub. You agree
        /// to the authority's terms of service by setting this. The account and the certificate are
        /// in `acme` in `data.dir`.
        names: Option<Vec<String>> = unset(List, "none: no ACME").start();
        /// E-mail addresses that the authority may write to.
        contact: Option<Vec<String>> = unset(List, "none").start();
        /// The directory of the authority, with `https://`; `http://` only on this machine.
        directory: Option<String> = unset(Url, "Let's Encrypt").start();
        /// PEM file with the authority of a private directory's own server. The system's
        /// authorities are trusted too.
        ca_file: Option<String> = unset(Path, "none").start();
        /// How the authority checks a name, in order of preference: `tls-alpn-01` by a connection
        /// to port 443, `http-01` by a request to port 80, for which a listener without TLS is
        /// needed. The next one is tried when one fails.
        challenges: Vec<Challenge> = list(&["tls-alpn-01", "http-01"]).start();
        /// The id of the key by which the authority knows its customer (external account binding).
        eab_key_id: Option<String> = unset(Text, "none").start();
        /// The key for `tls.acme.eab_key_id`, in base64url as the authority shows it.
        eab_key: Option<Secret> = unset(Form::Secret, "none").start();
        /// File that contains the value of `tls.acme.eab_key`.
        eab_key_file: Option<String> = unset(Path, "none").start();
    }
}

impl FromValue for Vec<Challenge> {
    fn from_value(
        value: &toml::Value,
        bounds: &crate::config::keys::Bounds,
    ) -> Result<Self, ValueError> {
        let mut challenges = Self::new();
        for text in Vec::<String>::from_value(value, bounds)? {
            let mut all = [Challenge::TlsAlpn01, Challenge::Http01].into_iter();
            let challenge = all.find(|challenge| challenge.name() == text);
            let challenge = challenge.ok_or(ValueError::Challenge { text })?;
            if !challenges.contains(&challenge) {
                challenges.push(challenge);
            }
        }
        Ok(challenges)
    }
}
