//! Entry points for the fuzzers, for the formats of other programs.

use crate::config::mercure::import;

/// Imports a Caddyfile, with one variable, and returns whether the result is TOML.
///
/// # Errors
///
/// Why it cannot be imported.
pub fn import_caddyfile(text: &str) -> Result<bool, String> {
    let lookup = |name: &str| (name == "KNOWN").then(|| "a \"value\"\n".to_owned());
    let import = import::caddyfile(text, &lookup).map_err(|error| error.to_string())?;
    Ok(import.toml.parse::<toml::Table>().is_ok())
}
