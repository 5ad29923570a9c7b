//! The first 64 bytes of each direction. ZMTP 3.1, "The Greeting".

use super::ProtocolError;

/// Bytes of a greeting.
pub const GREETING_BYTES: usize = 64;

const SIGNATURE_END: usize = 9;
const VERSION: usize = 10;
const MECHANISM_BYTES: usize = 20;

/// The content of a greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) minor: u8,
    /// The mechanism's name without its padding.
    pub(super) mechanism: Vec<u8>,
    pub(super) as_server: bool,
}

/// Returns our greeting: version 3.1, and this mechanism.
pub(super) fn encode(mechanism: &str, as_server: bool) -> Vec<u8> {
    let mut bytes = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 1];
    bytes.extend_from_slice(mechanism.as_bytes());
    bytes.resize(VERSION + 2 + MECHANISM_BYTES, 0);
    bytes.push(u8::from(as_server));
    bytes.resize(GREETING_BYTES, 0);
    bytes
}

/// Parses a greeting once `bytes` contain a complete one. An error is reported at the first invalid
/// byte: a peer of another protocol may wait for us forever.
///
/// # Errors
///
/// [`ProtocolError::Signature`] or [`ProtocolError::Version`].
pub(super) fn read(bytes: &[u8]) -> Result<Option<Greeting>, ProtocolError> {
    match bytes.first() {
        None => return Ok(None),
        Some(0xff) => {}
        Some(_) => return Err(ProtocolError::Signature),
    }
    match bytes.get(SIGNATURE_END) {
        None => return Ok(None),
        // In ZMTP 1.0 these would be the flags of a long frame.
        Some(end) if end & 1 == 0 => return Err(ProtocolError::Version { major: 1 }),
        Some(_) => {}
    }
    match bytes.get(VERSION) {
        Some(&major) if major < 3 => return Err(ProtocolError::Version { major }),
        Some(_) | None => {}
    }
    let Some(bytes) = bytes.get(..GREETING_BYTES) else {
        return Ok(None);
    };
    let mechanism = bytes.get(VERSION + 2..).unwrap_or_default();
    let mechanism = mechanism.get(..MECHANISM_BYTES).unwrap_or_default();
    let end = mechanism.iter().position(|&byte| byte == 0);
    let name = mechanism.get(..end.unwrap_or(MECHANISM_BYTES));
    Ok(Some(Greeting {
        minor: bytes.get(VERSION + 1).copied().unwrap_or_default(),
        mechanism: name.unwrap_or_default().to_vec(),
        as_server: bytes.get(VERSION + 2 + MECHANISM_BYTES) == Some(&1),
    }))
}
