//! `[tls]`: both files or none, and a listener that needs them.

use super::Checks;
use crate::config::TlsFiles;
use crate::config::tables::listen::ListenTable;
use crate::config::tables::tls::TlsTable;

impl Checks<'_> {
    pub(super) fn tls(&mut self, table: TlsTable, listens: &[ListenTable]) -> Option<TlsFiles> {
        let with_tls = listens.iter().position(|listen| listen.tls);
        match (table.certificate, table.key, with_tls) {
            (Some(certificate), Some(key), Some(_)) => Some(TlsFiles { certificate, key }),
            (None, None, None) => None,
            (None, None, Some(index)) => {
                let advice = "is true, but tls.certificate and tls.key are not set: write both \
                              in [tls], or tls = false";
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
