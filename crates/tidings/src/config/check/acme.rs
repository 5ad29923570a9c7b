//! `[tls.acme]`: names that an authority can check, a directory, and an account that is complete.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tidings_core::HubUrl;
use tidings_wire::redact;
use url::{Host, Url};

use super::{Checks, is_loopback};
use crate::certificate::Source;
use crate::certificate::acme::{Binding, Challenge, Options};
use crate::cluster;
use crate::config::tables::acme::AcmeTable;
use crate::config::tables::listen::ListenTable;
use crate::text_file;

/// Maximum number of names in a certificate, as the largest authorities have it.
const NAMES_MAX: usize = 100;
/// The directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

impl Checks<'_> {
    /// Returns what is ordered, if anything is.
    pub(super) fn acme(&mut self, table: AcmeTable, listens: &[ListenTable]) -> Option<Options> {
        let Some(names) = table.names.clone() else {
            self.no_acme_without_names(&table);
            return None;
        };
        let names = self.acme_names(names);
        let contact = self.acme_contact(table.contact.clone().unwrap_or_default());
        let directory = self.acme_directory(table.directory.as_deref().unwrap_or(LETS_ENCRYPT));
        let trusted = self.acme_authorities(table.ca_file.as_deref());
        let challenges = self.acme_challenges(&table.challenges, listens);
        let binding = self.acme_binding(&table);
        Some(Options {
            names: names?,
            contact: contact?,
            directory: directory?,
            trusted: trusted?,
            challenges: challenges?,
            binding: binding?,
        })
    }

    /// Warns if browsers would refuse the certificate under the hub's own URL. In a cluster, one hub orders it.
    pub(super) fn acme_fits(
        &mut self,
        tls: Option<&Source>,
        hub: Option<&HubUrl>,
        cluster: Option<&mut Option<cluster::Options>>,
    ) {
        let Some(Source::Acme(options)) = tls else {
            return;
        };
        let url = hub.and_then(|hub| Url::parse(hub.as_str()).ok());
        if let Some(Host::Domain(name)) = url.as_ref().and_then(Url::host)
            && !options.names.iter().any(|known| known == name)
        {
            self.warnings.push(format!(
                "hub.public_url names {name}, which is not in tls.acme.names: the certificate will \
                 not be for it"
            ));
        }
        if let Some(Some(cluster)) = cluster {
            cluster.leases.push(options.lease());
        }
    }

    fn no_acme_without_names(&mut self, table: &AcmeTable) {
        let written = [
            table.contact.is_some(),
            table.directory.is_some(),
            table.ca_file.is_some(),
            table.eab_key_id.is_some(),
            table.eab_key.is_some(),
            table.eab_key_file.is_some(),
        ];
        if written.contains(&true) {
            let advice =
                "write the names that the certificate is for, such as [\"hub.example.com\"]";
            self.missing("tls.acme.names", advice);
        }
    }

    fn acme_names(&mut self, written: Vec<String>) -> Option<Vec<String>> {
        if written.is_empty() || written.len() > NAMES_MAX {
            let reason = format!("write 1 to {NAMES_MAX} names, such as [\"hub.example.com\"]");
            self.invalid("tls.acme.names", reason);
            return None;
        }
        let mut names = Vec::new();
        for text in written {
            match name_of(&text) {
                Ok(name) if names.contains(&name) => {}
                Ok(name) => names.push(name),
                Err(reason) => {
                    self.invalid("tls.acme.names", format!("{text:?} {reason}"));
                    return None;
                }
            }
        }
        Some(names)
    }

    fn acme_contact(&mut self, written: Vec<String>) -> Option<Vec<String>> {
        let mut contact = Vec::new();
        for text in written {
            let address = text.strip_prefix("mailto:").unwrap_or(&text);
            let parts = address.split_once('@');
            let is_address = parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
            if !is_address || address.contains([' ', ',', '?', ':']) {
                let reason = format!("{text:?} is not an e-mail address, such as ops@example.com");
                self.invalid("tls.acme.contact", reason);
                return None;
            }
            contact.push(format!("mailto:{address}"));
        }
        Some(contact)
    }

    fn acme_directory(&mut self, text: &str) -> Option<Url> {
        let shown = redact::url(text);
        let reason = match Url::parse(text) {
            Err(error) => format!("{error} ({shown:?})"),
            Ok(url) if url.host_str().is_none() => format!("{shown:?} has no host"),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "the address of a directory must not contain credentials".to_owned()
            }
            Ok(url) if url.scheme() == "https" => return Some(url),
            Ok(url) if url.scheme() == "http" && is_loopback(&url) => return Some(url),
            Ok(_) => format!("{shown:?} is not https"),
        };
        self.invalid(
            "tls.acme.directory",
            format!("{reason}: write it like {LETS_ENCRYPT:?}"),
        );
        None
    }

    fn acme_authorities(&mut self, file: Option<&str>) -> Option<Vec<CertificateDer<'static>>> {
        let Some(file) = file else {
            return Some(Vec::new());
        };
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_file_iter(Path::new(file)).and_then(Iterator::collect);
        let reason = match certificates {
            Ok(certificates) if certificates.is_empty() => "it contains no certificate".to_owned(),
            Ok(certificates) => return Some(certificates),
            Err(error) => error.to_string(),
        };
        self.invalid("tls.acme.ca_file", format!("{file}: {reason}"));
        None
    }

    /// Returns the ways that the listeners allow.
    fn acme_challenges(
        &mut self,
        written: &[Challenge],
        listens: &[ListenTable],
    ) -> Option<Vec<Challenge>> {
        let plain = listens.iter().any(|listen| !listen.tls);
        let possible = |challenge: &Challenge| plain || *challenge != Challenge::Http01;
        let challenges: Vec<Challenge> = written.iter().copied().filter(possible).collect();
        if written.is_empty() {
            let advice = "is empty, so that no name could be checked: write [\"tls-alpn-01\"], or \
                          remove the key";
            self.contradiction("tls.acme.challenges", advice);
        } else if challenges.is_empty() {
            let advice = "is only http-01, which needs a [[listen]] with tls = false: write one for \
                          port 80, or add tls-alpn-01";
            self.contradiction("tls.acme.challenges", advice);
        }
        (!challenges.is_empty()).then_some(challenges)
    }

    /// Returns the external account, if there is one.
    fn acme_binding(&mut self, table: &AcmeTable) -> Option<Option<Binding>> {
        let key = match (&table.eab_key, &table.eab_key_file) {
            (Some(_), Some(_)) => {
                let advice = "is set, and so is tls.acme.eab_key: remove one of the two";
                self.contradiction("tls.acme.eab_key_file", advice);
                return None;
            }
            (Some(key), None) => Some(("tls.acme.eab_key", key.0.clone())),
            (None, Some(file)) => match text_file::read(file) {
                Ok(text) => Some(("tls.acme.eab_key_file", text)),
                Err(error) => {
                    self.invalid("tls.acme.eab_key_file", format!("{file}: {error}"));
                    return None;
                }
            },
            (None, None) => None,
        };
        match (table.eab_key_id.clone(), key) {
            (None, None) => Some(None),
            (Some(key_id), Some((name, text))) => {
                let text = text.trim().trim_end_matches('=');
                match URL_SAFE_NO_PAD.decode(text) {
                    Ok(key) if !key.is_empty() => Some(Some(Binding { key_id, key })),
                    Ok(_) | Err(_) => {
                        self.invalid(
                            name,
                            "write the key in base64url, as the authority shows it",
                        );
                        None
                    }
                }
            }
            (Some(_), None) => {
                self.missing(
                    "tls.acme.eab_key",
                    "write the key that belongs to tls.acme.eab_key_id",
                );
                None
            }
            (None, Some(_)) => {
                self.missing("tls.acme.eab_key_id", "write the id of the key");
                None
            }
        }
    }
}

/// Returns a name as it is in a certificate: lower case, in ASCII.
fn name_of(text: &str) -> Result<String, &'static str> {
    if text.starts_with("*.") {
        return Err("is a wildcard, which only a check of the DNS could prove: write each name");
    }
    if text.contains(['/', ':', '@']) && text.parse::<std::net::Ipv6Addr>().is_err() {
        return Err("is not a name: write it without scheme, port and path");
    }
    match Host::parse(text) {
        Ok(Host::Domain(name)) if !name.ends_with('.') => Ok(name),
        Ok(Host::Domain(_)) => Err("ends with a dot: write it without"),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => Err("is an address, and certificates are for names"),
        Err(_) if text.parse::<std::net::Ipv6Addr>().is_ok() => {
            Err("is an address, and certificates are for names")
        }
        Err(_) => Err("is not a name: write one like hub.example.com"),
    }
}

#[cfg(test)]
mod tests;
