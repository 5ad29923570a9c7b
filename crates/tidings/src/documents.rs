//! Documents of others, for the fuzzers: what they decode into, as far as it can be checked.

use crate::config::mercure::import;

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
