//! Compression of messages (RFC 7692): the negotiation, and both directions.
//!
//! A server that discards its context after each message compresses the message once for all peers
//! with the same window; see [`Agreement::window`].

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::handshake::elements;

/// The name of the extension; RFC 7692, 7.
const NAME: &str = "permessage-deflate";
/// The bytes that a sync flush ends with. They are not sent; RFC 7692, 7.2.1.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// The compression level: nearly the size of the default level, in half the time.
const LEVEL: u32 = 4;
/// The minimum step by which the buffer for inflated data grows, in bytes.
const STEP_BYTES: usize = 4096;

/// Whether an end keeps its compression context between messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// Each message is compressed on its own: nothing is kept between messages, and peers can share
    /// the result.
    Discarded,
    /// Later messages refer to earlier ones. They are smaller, but each connection takes tens of
    /// kilobytes.
    Kept,
}

/// How far back compressed data may refer: 2⁹, 2¹² or 2¹⁵ bytes.
///
/// There are only three sizes, so that a message is compressed three times at most.
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

    /// Returns the largest size within `bits`; `None` for 8, which zlib cannot write.
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

/// The negotiated parameters of the compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// The window of the server's compressor.
    pub window: Window,
    /// Whether the response must name the window, because it is not the largest.
    limited: bool,
    /// Whether the server keeps its context.
    pub server: Context,
    /// Whether the peer keeps its context.
    pub peer: Context,
}

impl Agreement {
    /// Chooses the first acceptable offer from the values of `Sec-WebSocket-Extensions`.
    ///
    /// `server` and `peer` are this server's preferences; the peer may insist that a context is
    /// discarded. An offer that is malformed or cannot be met is skipped. Without an acceptable
    /// offer the connection is not compressed. RFC 7692, 5 and 7.1.
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
                ("server_no_context_takeover", None) => agreement.server = Context::Discarded,
                ("client_no_context_takeover", None) => agreement.peer = Context::Discarded,
                ("server_max_window_bits", Some(value)) => {
                    agreement.window = Window::within(window_bits(value)?)?;
                    agreement.limited = true;
                }
                // A window of fifteen bits can read whatever the peer chooses.
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

    /// Returns the value of `Sec-WebSocket-Extensions` for the response.
    pub fn answer(&self) -> String {
        let mut answer = NAME.to_owned();
        if self.server == Context::Discarded {
            answer.push_str("; server_no_context_takeover");
        }
        if self.peer == Context::Discarded {
            answer.push_str("; client_no_context_takeover");
        }
        if self.limited {
            answer.push_str("; server_max_window_bits=");
            answer.push_str(&self.window.bits().to_string());
        }
        answer
    }
}

/// Parses a window size: 8 to 15, without leading zeros, optionally in quotes. RFC 7692, 7.1.2.
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
pub struct Deflater {
    compress: Compress,
    context: Context,
}

impl Deflater {
    /// Makes a compressor with an empty context.
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
            // A flush is complete when there is room left in the buffer.
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
        if self.context == Context::Discarded {
            self.compress.reset();
        }
        out
    }
}

/// Inflates the messages of a peer.
#[derive(Debug)]
pub struct Inflater {
    context: Context,
    /// Kept between messages only if the context is kept; it takes tens of kilobytes.
    decompress: Option<Box<Decompress>>,
}

/// Why compressed data cannot be inflated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InflateError {
    TooBig,
    Malformed,
}

impl Inflater {
    /// Makes the decompressor for the peer's messages.
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

/// Inflates all of `input` in steps, so that a decompression bomb is detected when it reaches the
/// limit.
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
            // A final block ends a deflate stream, but not a message; RFC 7692, 7.2.3.4.
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
