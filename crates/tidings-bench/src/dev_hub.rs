//! The hub that `tidings dev` started last, from its data folder.

use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

/// The data folder if none is given.
pub const DEFAULT_DATA: &str = "tidings-data";

/// The parts of `dev.json` that matter here.
#[derive(Deserialize)]
pub struct DevHub {
    /// The hub's URL.
    pub hub: String,
    /// A token that may publish everything.
    pub publisher: String,
}

impl DevHub {
    /// Reads `dev.json`; `None` if no hub was started with this folder.
    ///
    /// # Errors
    ///
    /// If the file is not readable or malformed.
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
