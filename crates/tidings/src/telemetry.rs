//! What the program tells its operators beside metrics: the access log, and the writing of log lines.

pub(crate) mod access;
pub(crate) mod output;
