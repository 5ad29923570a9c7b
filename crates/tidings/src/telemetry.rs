//! What the hub tells its operators: metrics, the access log, and the writing of log lines.

pub(crate) mod access;
pub(crate) mod metrics;
pub(crate) mod output;
