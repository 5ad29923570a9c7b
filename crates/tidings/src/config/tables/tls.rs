//! `[tls]`: the certificate.

use std::path::PathBuf;

use crate::config::keys::Form::Path;
use crate::config::keys::rule::unset;

table! {
    /// The `[tls]` table.
    pub struct TlsTable = "tls" {
        /// PEM file with the certificate chain, the server's own certificate first. The hub reloads
        /// it when it changes.
        certificate: Option<PathBuf> = unset(Path, "none").start();
        /// PEM file with the private key of the certificate. The hub reloads it when it changes.
        key: Option<PathBuf> = unset(Path, "none").start();
    }
}
