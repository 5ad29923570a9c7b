//! The hub that `tidings dev` started last, from its data folder.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// The data folder when none is named.
pub const DEFAULT_DATA: &str = "tidings-data";

/// What `dev.json` says about the hub that matters here.
#[derive(Deserialize)]
pub struct DevHub {
    /// The hub's URL.
    pub hub: String,
    /// A token that may publish everything.
    pub publisher: String,
}

impl DevHub {
    /// Reads it; nothing if no hub was started in this folder.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or says something else.
    pub fn read(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = folder.join("dev.json");
        if !path.exists() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let hub = serde_json::from_str(&text);
        hub.with_context(|| format!("cannot read {}", path.display()))
    }
}
