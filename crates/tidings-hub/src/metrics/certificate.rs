//! The metrics of the TLS certificate.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{ByResult, by_result, in_seconds, labels};

/// Metrics of the TLS certificate.
#[derive(Debug)]
pub struct CertificateMetrics {
    /// When the certificate in use expires, in seconds since the Unix epoch. Zero without TLS.
    pub expiry: Gauge,
    /// Reloads of certificate files, by result.
    pub reloaded: ByResult,
    /// Attempts to get a certificate by ACME, by result.
    pub orders: ByResult,
}

impl CertificateMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let help = "When the TLS certificate in use expires; 0 without TLS";
        let expiry = in_seconds(registry, "certificate_expiry_timestamp", help);
        let mut results = |name, help| by_result(registry, name, help, labels::CERTIFICATE_RESULTS);
        Self {
            expiry,
            reloaded: results("certificates_reloaded", "TLS certificate reloads"),
            orders: results(
                "certificate_orders",
                "Attempts to get a TLS certificate by ACME",
            ),
        }
    }
}
