//! Documents of others, for the fuzzers: what they decode into, as far as it can be checked.

use crate::auth::jwk;
use crate::config::mercure::import;

/// Reads a key set; returns the algorithms of each of its keys.
///
/// # Errors
///
/// Why it is none.
pub fn read_key_set(document: &[u8]) -> Result<Vec<Vec<&'static str>>, String> {
    let set = jwk::parse(document).map_err(|error| error.to_string())?;
    let keys = set.keys.iter();
    Ok(keys
        .map(|entry| {
            let algorithms = entry.keys.iter().map(|key| key.algorithm().name());
            algorithms.collect()
        })
        .collect())
}

/// Takes a Caddyfile over, with one variable, and returns whether what came of it is TOML.
///
/// # Errors
///
/// Why it cannot be taken over.
pub fn import_caddyfile(text: &str) -> Result<bool, String> {
    let lookup = |name: &str| (name == "KNOWN").then(|| "a \"value\"\n".to_owned());
    let import = import::caddyfile(text, &lookup).map_err(|error| error.to_string())?;
    Ok(import.toml.parse::<toml::Table>().is_ok())
}
