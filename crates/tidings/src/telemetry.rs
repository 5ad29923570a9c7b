//! What the program tells its operators beside metrics: the access log, the lines of
//! `tidings dev`, the writing of both, and the
//! metrics of the process itself.

pub(crate) mod access;
pub(crate) mod metrics;
pub(crate) mod output;
pub(crate) mod request_id;
pub(crate) mod request_line;
pub(crate) mod traces;
