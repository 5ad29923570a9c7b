//! An update as another Mercure hub stores it: JSON with the names of its Go structures.
//!
//! The key is the sequence number in 8 bytes, followed by the event id. The value since 0.10 has
//! `Data`, `ID`, `Type`, `Retry`, `Topics`, `Private`; up to 0.9 it has `Targets` instead of
//! `Private`, an object whose names are the audiences. The values are validated elsewhere.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::object::Object;

/// An update from the store of another hub.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct StoredUpdate {
    /// The payload.
    #[serde(rename = "Data", default)]
    pub data: String,
    /// The event id.
    #[serde(rename = "ID")]
    pub id: String,
    /// The event type; empty for none.
    #[serde(rename = "Type", default)]
    pub event_type: String,
    /// Milliseconds to wait before a reconnect; 0 for none.
    #[serde(rename = "Retry", default)]
    pub retry_ms: u64,
    /// The topics, the canonical one first.
    #[serde(rename = "Topics")]
    pub topics: Vec<String>,
    /// Whether reading it needs a grant.
    #[serde(rename = "Private", default)]
    pub private: bool,
    /// Up to 0.9: the audiences that may read it; everybody may if there are none.
    #[serde(rename = "Targets", default)]
    targets: Option<BTreeMap<String, serde::de::IgnoredAny>>,
}

/// Why an entry is not an update.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// The key is shorter than a sequence number.
    #[error("a key has {bytes} bytes, fewer than a sequence number")]
    Key {
        /// Its length.
        bytes: usize,
    },
    /// The value is not the JSON of an update.
    #[error("a value is no update: {0}")]
    Json(#[from] serde_json::Error),
}

impl StoredUpdate {
    /// Decodes one entry.
    ///
    /// # Errors
    ///
    /// [`StoredError`] if the entry is not an update.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<Self, StoredError> {
        if key.len() < SEQUENCE {
            return Err(StoredError::Key { bytes: key.len() });
        }
        let Object(update) = serde_json::from_slice(value)?;
        Ok(update)
    }

    /// Returns the audiences that may read the update, for hubs up to 0.9; empty if everybody may.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        self.targets
            .iter()
            .flatten()
            .map(|(target, _)| target.as_str())
    }
}

/// Bytes of a sequence number.
const SEQUENCE: usize = 8;

#[cfg(test)]
mod tests;
