//! What the program tells its operators beside metrics: the access log, the lines of
//! `tidings dev`, and the writing of both.

pub(crate) mod access;
pub(crate) mod output;
pub(crate) mod request_id;
pub(crate) mod request_line;
