//! `[tls]`: both files or none, or an authority; and a listener that needs them.

use super::Checks;
use crate::certificate::Source;
use crate::certificate::files::TlsFiles;
use crate::config::tables::acme::AcmeTable;
use crate::config::tables::listen::ListenTable;
use crate::config::tables::tls::TlsTable;

impl Checks<'_> {
    pub(super) fn tls(
        &mut self,
        table: TlsTable,
        acme: AcmeTable,
        listens: &[ListenTable],
    ) -> Option<Source> {
        let with_tls = listens.iter().position(|listen| listen.tls);
        let by_acme = acme.names.is_some();
        let acme = self.acme(acme, listens);
        if by_acme {
            if table.certificate.is_some() || table.key.is_some() {
                let advice = "is set, and so are tls.certificate or tls.key: the certificate comes \
                              from files or from an authority, so remove one of the two";
                self.contradiction("tls.acme.names", advice);
            }
            if with_tls.is_none() {
                let advice = "is set, but no [[listen]] has tls = true: write it there, or remove \
                              [tls.acme]";
                self.contradiction("tls.acme.names", advice);
            }
            return acme.map(Source::Acme);
        }
        match (table.certificate, table.key, with_tls) {
            (Some(certificate), Some(key), Some(_)) => {
                Some(Source::Files(TlsFiles { certificate, key }))
            }
            (None, None, None) => None,
            (None, None, Some(index)) => {
                let advice = "is true, but there is no certificate: write tls.certificate and \
                              tls.key, or tls.acme.names, or tls = false";
                self.contradiction(&format!("listen.{index}.tls"), advice);
                None
            }
            (Some(_), None, _) => {
                self.missing("tls.key", "write the path of the certificate's private key");
                None
            }
            (None, Some(_), _) => {
                self.missing("tls.certificate", "write the path of the certificate chain");
                None
            }
            (Some(_), Some(_), None) => {
                let advice = "is set, but no [[listen]] has tls = true: write it there, or remove \
                              [tls]";
                self.contradiction("tls.certificate", advice);
                None
            }
        }
    }
}
