//! Compression of messages (RFC 7692): the negotiation, and both directions.
//!
//! A server that discards its context after each message compresses a message once for all peers
//! with the same window; see [`Agreement::window`].

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::handshake::elements;

/// The name of the extension; RFC 7692, 7.
const NAME: &str = "permessage-deflate";
/// What a sync flush ends with, and what is left out on the wire; RFC 7692, 7.2.1.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// Effort of compressing: well packed for half the time of the default.
const LEVEL: u32 = 4;
/// Bytes by which the room for inflated data grows at least.
const STEP_BYTES: usize = 4096;

/// Whether an end remembers what it has compressed before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Each text stands alone: nothing is kept between them, and peers can share.
    Forgotten,
    /// Later messages refer to earlier ones: smaller messages, but tens of kilobytes per
    /// connection.
    Kept,
}

/// How far back a compressed text may refer: 2⁹, 2¹² or 2¹⁵ bytes.
///
/// Only three sizes, so that a text is compressed three times at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// For peers that allow less than twelve bits.
    Bits9,
    /// For peers that allow twelve to fourteen.
    Bits12,
    /// For all others.
    Bits15,
}

impl Window {
    /// All sizes.
    pub const ALL: [Self; 3] = [Self::Bits9, Self::Bits12, Self::Bits15];

    /// Returns the largest size within `bits`; none for 8, which zlib cannot write.
    fn within(bits: u8) -> Option<Self> {
        match bits {
            9..=11 => Some(Self::Bits9),
            12..=14 => Some(Self::Bits12),
            15 => Some(Self::Bits15),
            _ => None,
        }
    }

    /// Returns the number of bits.
    pub fn bits(self) -> u8 {
        match self {
            Self::Bits9 => 9,
            Self::Bits12 => 12,
            Self::Bits15 => 15,
        }
    }
}

/// What two ends agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The window of what the server compresses.
    pub window: Window,
    /// Whether the window must be named in the answer, because it is not the largest.
    limited: bool,
    /// What the server remembers.
    pub server: Context,
    /// What the other end remembers.
    pub peer: Context,
}

impl Agreement {
    /// Chooses the first acceptable offer of the values of `Sec-WebSocket-Extensions`.
    ///
    /// `server` and `peer` are what this server would like; the other end may insist on
    /// forgetting. An offer that is malformed or cannot be met is passed over, and without any the
    /// connection is not compressed. RFC 7692, 5 and 7.1.
    pub fn choose<'a>(
        values: impl IntoIterator<Item = &'a str>,
        server: Context,
        peer: Context,
    ) -> Option<Self> {
        values
            .into_iter()
            .flat_map(elements)
            .find_map(|offer| Self::accept(offer, server, peer))
    }

    fn accept(offer: &str, server: Context, peer: Context) -> Option<Self> {
        let mut parameters = offer.split(';').map(str::trim);
        if !parameters.next()?.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut agreement = Self {
            window: Window::Bits15,
            limited: false,
            server,
            peer,
        };
        let mut seen: Vec<String> = Vec::new();
        for parameter in parameters {
            let (name, value) = match parameter.split_once('=') {
                Some((name, value)) => (name.trim(), Some(value.trim())),
                None => (parameter, None),
            };
            let name = name.to_ascii_lowercase();
            match (name.as_str(), value) {
                ("server_no_context_takeover", None) => agreement.server = Context::Forgotten,
                ("client_no_context_takeover", None) => agreement.peer = Context::Forgotten,
                ("server_max_window_bits", Some(value)) => {
                    agreement.window = Window::within(window_bits(value)?)?;
                    agreement.limited = true;
                }
                // Whatever it chooses, a window of fifteen bits can read.
                ("client_max_window_bits", None) => {}
                ("client_max_window_bits", Some(value)) => drop(window_bits(value)?),
                _ => return None,
            }
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
        }
        Some(agreement)
    }

    /// Returns the value of `Sec-WebSocket-Extensions` that says what was agreed on.
    pub fn answer(&self) -> String {
        let mut answer = NAME.to_owned();
        if self.server == Context::Forgotten {
            answer.push_str("; server_no_context_takeover");
        }
        if self.peer == Context::Forgotten {
            answer.push_str("; client_no_context_takeover");
        }
        if self.limited {
            answer.push_str("; server_max_window_bits=");
            answer.push_str(&self.window.bits().to_string());
        }
        answer
    }
}

/// Reads a window size: 8 to 15, without leading zeros, perhaps in quotes. RFC 7692, 7.1.2.
fn window_bits(value: &str) -> Option<u8> {
    let bare = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    let bits: u8 = bare.parse().ok()?;
    ((8..=15).contains(&bits) && bare == bits.to_string()).then_some(bits)
}

/// Compresses messages.
#[derive(Debug)]
pub struct Deflating {
    compress: Compress,
    context: Context,
}

impl Deflating {
    /// Makes a compressor with nothing to refer to.
    pub fn new(window: Window, context: Context) -> Self {
        let level = Compression::new(LEVEL);
        Self {
            compress: Compress::new_with_window_bits(level, false, window.bits()),
            context,
        }
    }

    /// Returns the payload of a compressed message.
    pub fn deflate(&mut self, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(payload.len() / 2 + 64);
        let before = self.compress.total_in();
        loop {
            let read = usize::try_from(self.compress.total_in() - before).unwrap_or(usize::MAX);
            let rest = payload.get(read..).unwrap_or_default();
            let status = self
                .compress
                .compress_vec(rest, &mut out, FlushCompress::Sync);
            // A flush is complete when there is room left after it.
            if status.is_err() || out.len() < out.capacity() {
                break;
            }
            out.reserve(STEP_BYTES);
        }
        if out.ends_with(&TAIL) {
            out.truncate(out.len() - TAIL.len());
        }
        if out.is_empty() {
            // RFC 7692, 7.2.3.6.
            out.push(0);
        }
        if self.context == Context::Forgotten {
            self.compress.reset();
        }
        out
    }
}

/// Inflates what a peer compressed.
#[derive(Debug)]
pub struct Inflating {
    context: Context,
    /// Kept between messages only with a context; it takes tens of kilobytes.
    decompress: Option<Box<Decompress>>,
}

/// Why compressed data cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InflateError {
    TooBig,
    Malformed,
}

impl Inflating {
    /// Makes the decompressor for the other end's messages.
    pub fn new(agreement: &Agreement) -> Self {
        Self {
            context: agreement.peer,
            decompress: None,
        }
    }

    /// Returns the inflated payload, at most `bytes_max`.
    pub(super) fn inflate(
        &mut self,
        payload: &[u8],
        bytes_max: usize,
    ) -> Result<Vec<u8>, InflateError> {
        let mut decompress = self
            .decompress
            .take()
            .unwrap_or_else(|| Box::new(Decompress::new(false)));
        let mut out = Vec::new();
        run(&mut decompress, payload, &mut out, bytes_max)?;
        run(&mut decompress, &TAIL, &mut out, bytes_max)?;
        if self.context == Context::Kept {
            self.decompress = Some(decompress);
        }
        Ok(out)
    }
}

/// Inflates all of `input`, in steps, so that a bomb is noticed when it has reached the limit.
fn run(
    decompress: &mut Decompress,
    mut input: &[u8],
    out: &mut Vec<u8>,
    bytes_max: usize,
) -> Result<(), InflateError> {
    loop {
        if out.len() == out.capacity() {
            let left = bytes_max.saturating_add(1) - out.len();
            out.reserve_exact(out.len().max(STEP_BYTES).min(left));
        }
        let (read, written) = (decompress.total_in(), out.len());
        let status = decompress
            .decompress_vec(input, out, FlushDecompress::Sync)
            .map_err(|_malformed| InflateError::Malformed)?;
        let read = usize::try_from(decompress.total_in() - read).unwrap_or(usize::MAX);
        input = input.get(read..).unwrap_or_default();
        if out.len() > bytes_max {
            return Err(InflateError::TooBig);
        }
        match status {
            // A final block ends a stream, but not a text; RFC 7692, 7.2.3.4.
            Status::StreamEnd => {
                decompress.reset(false);
                if input.is_empty() {
                    return Ok(());
                }
            }
            Status::Ok | Status::BufError => {
                let stuck = read == 0 && out.len() == written;
                if input.is_empty() && out.len() < out.capacity() {
                    return Ok(());
                }
                if stuck && out.len() < out.capacity() {
                    return Err(InflateError::Malformed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
