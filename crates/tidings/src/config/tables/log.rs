//! `[log]`: how much is logged, and in which form.

use crate::config::keys::rule::{flag, text, word};
use crate::config::log_filter::LogFilter;
use crate::config::value::Words;

table! {
    /// How much is logged, and in which form.
    pub struct LogOptions = "log" {
        /// What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`, also per target as
        /// in `info,tidings=debug`. Why the hub ends is written whatever the level.
        filter as "level": LogFilter = text("info").live();
        /// The form of a log line: for people, one JSON object, or `time=… level=… msg=…` as the
        /// hub of 2019 wrote it.
        format: LogFormat = word::<LogFormat>("text").start();
        /// Whether each request gets a line in the combined format of Apache, as the hub of 2019
        /// wrote it. An event stream gets its line when it ends, a WebSocket when it is opened;
        /// tokens in an address are hidden.
        access: bool = flag(false).live();
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
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
