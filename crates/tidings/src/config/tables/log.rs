//! `[log]`: the log's level and format.

use std::path::PathBuf;

use crate::config::keys::Form::Path;
use crate::config::keys::rule::{flag, text, unset, word};
use crate::config::log_filter::LogFilter;
use crate::config::value::Words;

table! {
    /// The log's level and format.
    pub struct LogOptions = "log" {
        /// The log level: `error`, `warn`, `info`, `debug`, `trace` or `off`, optionally per target
        /// as in `info,tidings=debug`. The reason why the hub exits is always logged.
        filter as "level": LogFilter = text("info").live();
        /// The format of a log line: readable text, one JSON object, or `time=… level=… msg=…` as
        /// the hub of 2019 wrote it.
        format: LogFormat = word::<LogFormat>("text").start();
        /// Whether each request is logged, on a line of its own: in Apache's combined format, as the
        /// hub of 2019 did, or as an object with `log.format = "json"`. An event stream is logged
        /// when it ends, a WebSocket when it opens; tokens in URLs are hidden.
        access: bool = flag(false).live();
        /// The file that the lines of `log.access` are appended to. A reload opens it again, for
        /// programs that rotate logs.
        access_file: Option<PathBuf> = unset(Path, "standard error").start();
    }
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Readable text.
    Text,
    /// One JSON object per line.
    Json,
    /// `key=value` pairs.
    Logfmt,
}

impl Words for LogFormat {
    const WORDS: &'static [&'static str] = &["text", "json", "logfmt"];
    const VALUES: &'static [Self] = &[Self::Text, Self::Json, Self::Logfmt];
}
