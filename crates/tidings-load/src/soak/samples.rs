//! Samples of the server at regular intervals, one line of JSON each: memory, open files, CPU time
//! and folder size, measured from outside, and some of the hub's counters.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::BenchError;
use crate::process::Process;
use crate::scrape::Metrics;

/// The hub's counters in a sample.
const COUNTERS: &[(&str, &str)] = &[
    ("subscribers", "tidings_subscribers"),
    ("server_connections", "tidings_connections"),
    ("replayed_updates", "tidings_replayed_updates_total"),
    ("lagging", "tidings_subscriber_lags_total"),
    ("pages_read", "tidings_history_pages_read_total"),
    ("removed", "tidings_history_trimmed_total"),
];

/// Where figures are read from, and where they are written.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The file to which samples are written.
    pub file: PathBuf,
    /// URL of the hub's metrics.
    pub metrics: Option<String>,
    /// The folder that the hub writes to.
    pub data: Option<PathBuf>,
}

/// Writes the samples of one run.
#[derive(Debug)]
pub(crate) struct Samples {
    sources: Sources,
    server: Option<Process>,
    file: File,
}

impl Samples {
    /// Truncates the file.
    ///
    /// # Errors
    ///
    /// [`BenchError::File`] if the file cannot be written.
    pub(crate) fn create(sources: Sources, server: Option<Process>) -> Result<Self, BenchError> {
        let file = File::create(&sources.file).map_err(|source| BenchError::File {
            path: sources.file.clone(),
            source,
        })?;
        Ok(Self {
            sources,
            server,
            file,
        })
    }

    /// Adds the figures of the server to `sample`, and writes it.
    ///
    /// # Errors
    ///
    /// [`BenchError`] if the process or its metrics are not readable, or the file cannot be
    /// written.
    pub(crate) fn take(&mut self, mut sample: Map<String, Value>) -> Result<(), BenchError> {
        let mut put = |name: &str, value: u64| sample.insert(name.to_owned(), value.into());
        if let Some(server) = self.server {
            put("resident_bytes", server.resident_bytes()?);
            put("open_files", server.open_files()?);
            put("cpu_ms", server.cpu_ns()? / 1_000_000);
        }
        if let Some(data) = &self.sources.data {
            put("data_bytes", bytes_in(data));
        }
        if let Some(url) = &self.sources.metrics {
            let metrics = Metrics::read(url)?;
            for (name, counter) in COUNTERS {
                put(name, metrics.counter(counter));
            }
        }
        writeln!(self.file, "{}", Value::Object(sample)).map_err(|source| BenchError::File {
            path: self.sources.file.clone(),
            source,
        })
    }
}

/// Returns the bytes of all files in a folder. Files may come and go in the meantime.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let bytes = entries.filter_map(|entry| match entry.metadata().ok()? {
        metadata if metadata.is_dir() => Some(bytes_in(&entry.path())),
        metadata => Some(metadata.len()),
    });
    bytes.sum()
}
