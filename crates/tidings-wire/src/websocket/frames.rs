//! Reads the frames of a peer and reassembles its messages.
//!
//! ```text
//! bytes ─▶ head (2 to 14 bytes) ─▶ payload, unmasked ─┬─▶ control: ping, pong, close
//!                                                     └─▶ fragments ─▶ inflated ─▶ text, binary
//! ```
//!
//! An error is detected at the first invalid byte. The [`Limits`] bound the memory: it grows with
//! the received bytes, never with an announced length.

use super::close::{CloseCode, CloseFrame};
use super::deflate::{InflateError, Inflater};
use super::utf8::{NotUtf8, Utf8Check};
use super::{CONTROL_BYTES_MAX, Opcode};

/// The side that decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The server: every frame must be masked.
    Server,
    /// The client: no frame may be masked.
    Peer,
}

/// Limits for what a peer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Maximum size of one message in bytes, all fragments together, before and after inflating.
    pub bytes_max: usize,
    /// Maximum number of fragments of one message.
    pub fragments_max: u32,
}

/// A decoded message or control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// Asks for a pong with the same payload, at most 125 bytes.
    Ping(Vec<u8>),
    /// The answer to a ping, or a pong sent unasked.
    Pong(Vec<u8>),
    /// The peer's last frame, with its reason if there is one.
    Close(Option<CloseFrame>),
}

/// The rule that a peer broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A reserved bit is set that no extension uses. RFC 6455, 5.2.
    #[error("a reserved bit is set")]
    Reserved,
    /// RFC 6455, 5.2.
    #[error("opcode {bits:#x} has no meaning")]
    Opcode {
        /// The four bits.
        bits: u8,
    },
    /// RFC 6455, 5.1: a frame to a server must be masked.
    #[error("a frame is not masked")]
    Unmasked,
    /// RFC 6455, 5.1: a frame from a server must not be masked.
    #[error("a frame is masked")]
    Masked,
    /// RFC 6455, 5.5.
    #[error("a ping, pong or close is in fragments")]
    ControlFragment,
    /// RFC 6455, 5.5.
    #[error("a ping, pong or close is longer than 125 bytes")]
    ControlTooLong,
    /// RFC 6455, 5.4.
    #[error("a continuation follows nothing")]
    ContinuationOfNothing,
    /// RFC 6455, 5.4.
    #[error("a new message begins before the previous one has ended")]
    Interleaved,
    /// RFC 6455, 5.2: the highest bit of a 64-bit length is 0.
    #[error("a length has its highest bit set")]
    Length,
    /// [`Limits::bytes_max`].
    #[error("a message is longer than {max} bytes")]
    TooBig {
        /// The limit.
        max: usize,
    },
    /// [`Limits::fragments_max`].
    #[error("a message has more than {max} fragments")]
    TooManyFragments {
        /// The limit.
        max: u32,
    },
    /// RFC 6455, 8.1.
    #[error("a text is not UTF-8")]
    NotUtf8,
    /// RFC 7692, 7.2.2.
    #[error("compressed data cannot be inflated")]
    Deflate,
    /// RFC 6455, 5.5.1: a code has two bytes.
    #[error("a close frame has one byte")]
    CloseTooShort,
    /// RFC 6455, 7.4.
    #[error("close code {code} may not be sent")]
    CloseCode {
        /// The code.
        code: u16,
    },
}

impl DecodeError {
    /// Returns the close code for this error.
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::TooBig { .. } => CloseCode::TOO_BIG,
            Self::TooManyFragments { .. } => CloseCode::POLICY,
            Self::NotUtf8 | Self::Deflate => CloseCode::INVALID_PAYLOAD,
            Self::Reserved
            | Self::Opcode { .. }
            | Self::Unmasked
            | Self::Masked
            | Self::ControlFragment
            | Self::ControlTooLong
            | Self::ContinuationOfNothing
            | Self::Interleaved
            | Self::Length
            | Self::CloseTooShort
            | Self::CloseCode { .. } => CloseCode::PROTOCOL,
        }
    }
}

impl From<NotUtf8> for DecodeError {
    fn from(_: NotUtf8) -> Self {
        Self::NotUtf8
    }
}

/// Decodes the frames of one peer. Takes about a hundred bytes while no message is partly received.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    limits: Limits,
    /// Decompression, if it was negotiated.
    inflating: Option<Inflater>,
    head: Head,
    /// The frame whose payload is arriving.
    frame: Option<Frame>,
    /// The message whose fragments are arriving.
    whole: Option<Box<Whole>>,
    /// The payload of the control frame that is arriving.
    control: Vec<u8>,
    /// Inflated bytes since the last call of `take_inflated`.
    inflated: usize,
    closed: bool,
}

impl Decoder {
    /// Makes a decoder for a new connection.
    pub fn new(role: Role, limits: Limits, inflating: Option<Inflater>) -> Self {
        Self {
            role,
            limits,
            inflating,
            head: Head::default(),
            frame: None,
            whole: None,
            control: Vec::new(),
            inflated: 0,
            closed: false,
        }
    }

    /// Reads up to the end of the next event, and removes the bytes that it reads from `input`.
    ///
    /// Returns `None` when it has read all of `input` and the next event is not complete. Bytes
    /// after a close are read and ignored (RFC 6455, 5.5.1).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] names the rule that the peer broke. Nothing more can be decoded from this
    /// peer then.
    pub fn decode(&mut self, input: &mut &[u8]) -> Result<Option<Event>, DecodeError> {
        if self.closed {
            *input = &[];
        }
        while !input.is_empty() {
            if self.frame.is_none() {
                if !self.head.fill(input) {
                    self.check_start()?;
                    return Ok(None);
                }
                self.begin_frame()?;
            }
            if let Some(event) = self.read_payload(input)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Returns the bytes that are held for partly received messages and frames.
    pub fn held_bytes(&self) -> usize {
        let whole = self
            .whole
            .as_ref()
            .map_or(0, |whole| whole.payload.capacity());
        whole + self.control.capacity()
    }

    /// Drops what is partly received. All further bytes are read and ignored.
    pub fn discard(&mut self) {
        self.frame = None;
        self.whole = None;
        self.control = Vec::new();
        self.closed = true;
    }

    /// Returns the inflated bytes since the last call. A peer can cause much work with few bytes.
    pub fn take_inflated(&mut self) -> usize {
        std::mem::take(&mut self.inflated)
    }

    /// Checks the first two bytes of a frame as soon as they have arrived.
    fn check_start(&self) -> Result<(), DecodeError> {
        match self.head.start() {
            Some(start) => self.check(start).map(|_opcode| ()),
            None => Ok(()),
        }
    }

    fn check(&self, (first, second): (u8, u8)) -> Result<Opcode, DecodeError> {
        let bits = first & 0x0F;
        let opcode = Opcode::from_bits(bits).ok_or(DecodeError::Opcode { bits })?;
        let compressed = first & DEFLATED != 0;
        let may_be_compressed =
            self.inflating.is_some() && matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & RESERVED_2_AND_3 != 0 || (compressed && !may_be_compressed) {
            return Err(DecodeError::Reserved);
        }
        match (self.role, second & MASKED != 0) {
            (Role::Server, false) => return Err(DecodeError::Unmasked),
            (Role::Peer, true) => return Err(DecodeError::Masked),
            (Role::Server, true) | (Role::Peer, false) => {}
        }
        match opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => {
                if first & FINAL == 0 {
                    return Err(DecodeError::ControlFragment);
                }
                if usize::from(second & LEN) > CONTROL_BYTES_MAX {
                    return Err(DecodeError::ControlTooLong);
                }
            }
            Opcode::Continuation if self.whole.is_none() => {
                return Err(DecodeError::ContinuationOfNothing);
            }
            Opcode::Text | Opcode::Binary if self.whole.is_some() => {
                return Err(DecodeError::Interleaved);
            }
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {}
        }
        Ok(opcode)
    }

    fn begin_frame(&mut self) -> Result<(), DecodeError> {
        let head = std::mem::take(&mut self.head);
        let Some(start) = head.start() else {
            return Ok(());
        };
        let opcode = self.check(start)?;
        let left = head.payload_len();
        if left > i64::MAX as u64 {
            return Err(DecodeError::Length);
        }
        if !opcode.is_control() {
            let Limits {
                bytes_max,
                fragments_max,
            } = self.limits;
            let whole = self.whole.get_or_insert_with(|| {
                Box::new(Whole {
                    is_text: opcode == Opcode::Text,
                    compressed: start.0 & DEFLATED != 0,
                    fragments: 0,
                    payload: Vec::new(),
                    utf8: Utf8Check::default(),
                })
            });
            whole.fragments = whole.fragments.saturating_add(1);
            if whole.fragments > fragments_max {
                return Err(DecodeError::TooManyFragments { max: fragments_max });
            }
            if left > bytes_max.saturating_sub(whole.payload.len()) as u64 {
                return Err(DecodeError::TooBig { max: bytes_max });
            }
        }
        self.frame = Some(Frame {
            opcode,
            is_final: start.0 & FINAL != 0,
            left,
            key: head.key(),
        });
        Ok(())
    }

    /// Reads payload of the current frame. Returns an event if the frame completes one.
    fn read_payload(&mut self, input: &mut &[u8]) -> Result<Option<Event>, DecodeError> {
        let Some(frame) = &mut self.frame else {
            return Ok(None);
        };
        let len = usize::try_from(frame.left).map_or(input.len(), |left| left.min(input.len()));
        let Some((bytes, rest)) = input.split_at_checked(len) else {
            return Ok(None);
        };
        *input = rest;
        frame.left -= len as u64;
        let payload = match &mut self.whole {
            Some(whole) if !frame.opcode.is_control() => &mut whole.payload,
            _ => &mut self.control,
        };
        let start = payload.len();
        payload.extend_from_slice(bytes);
        let fresh = payload.get_mut(start..).unwrap_or_default();
        unmask(fresh, &mut frame.key);
        let (opcode, is_final, ended) = (frame.opcode, frame.is_final, frame.left == 0);
        if let Some(whole) = self
            .whole
            .as_mut()
            .filter(|whole| !opcode.is_control() && whole.is_text && !whole.compressed)
        {
            whole
                .utf8
                .push(whole.payload.get(start..).unwrap_or_default())?;
        }
        if !ended {
            return Ok(None);
        }
        self.frame = None;
        if opcode.is_control() {
            let payload = std::mem::take(&mut self.control);
            return self.on_control(opcode, payload).map(Some);
        }
        if is_final {
            return self.finish().map(Some);
        }
        Ok(None)
    }

    fn on_control(&mut self, opcode: Opcode, payload: Vec<u8>) -> Result<Event, DecodeError> {
        match opcode {
            Opcode::Ping => Ok(Event::Ping(payload)),
            Opcode::Close => {
                self.closed = true;
                read_close(&payload).map(Event::Close)
            }
            Opcode::Pong | Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                Ok(Event::Pong(payload))
            }
        }
    }

    /// Makes the event of a message whose last fragment has arrived.
    fn finish(&mut self) -> Result<Event, DecodeError> {
        let Some(whole) = self.whole.take() else {
            return Err(DecodeError::ContinuationOfNothing);
        };
        let payload = match &mut self.inflating {
            Some(inflating) if whole.compressed => {
                let max = self.limits.bytes_max;
                let inflated = inflating.inflate(&whole.payload, max);
                let inflated = inflated.map_err(|error| match error {
                    InflateError::TooBig => DecodeError::TooBig { max },
                    InflateError::Malformed => DecodeError::Deflate,
                })?;
                self.inflated = self.inflated.saturating_add(inflated.len());
                inflated
            }
            _ => {
                whole.utf8.finish()?;
                whole.payload
            }
        };
        if !whole.is_text {
            return Ok(Event::Binary(payload));
        }
        match String::from_utf8(payload) {
            Ok(text) => Ok(Event::Text(text)),
            Err(_) => Err(DecodeError::NotUtf8),
        }
    }
}

fn read_close(payload: &[u8]) -> Result<Option<CloseFrame>, DecodeError> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return match payload {
            [] => Ok(None),
            _ => Err(DecodeError::CloseTooShort),
        };
    };
    let code = u16::from_be_bytes(*code);
    let code = CloseCode::new(code).ok_or(DecodeError::CloseCode { code })?;
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Some(CloseFrame {
            code,
            reason: reason.into(),
        })),
        Err(_) => Err(DecodeError::NotUtf8),
    }
}

const FINAL: u8 = 0x80;
const DEFLATED: u8 = 0x40;
const RESERVED_2_AND_3: u8 = 0x30;
const MASKED: u8 = 0x80;
const LEN: u8 = 0x7F;

/// The bytes of a frame's head that have arrived.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    bytes: [u8; 14],
    len: u8,
}

impl Head {
    /// Takes bytes from `input` until the head is complete. Returns whether it is.
    fn fill(&mut self, input: &mut &[u8]) -> bool {
        while self.len < self.needed() {
            let Some((&byte, rest)) = input.split_first() else {
                return false;
            };
            *input = rest;
            if let Some(place) = self.bytes.get_mut(usize::from(self.len)) {
                *place = byte;
            }
            self.len += 1;
        }
        true
    }

    fn needed(&self) -> u8 {
        let [_, second, ..] = self.bytes;
        if self.len < 2 {
            return 2;
        }
        let len = match second & LEN {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        if second & MASKED == 0 { len } else { len + 4 }
    }

    fn start(&self) -> Option<(u8, u8)> {
        let [first, second, ..] = self.bytes;
        (self.len >= 2).then_some((first, second))
    }

    fn payload_len(&self) -> u64 {
        let [_, second, a, b, c, d, e, f, g, h, ..] = self.bytes;
        match second & LEN {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            len => u64::from(len),
        }
    }

    /// The masking key: the last four bytes of the head. A key of zero changes nothing.
    fn key(&self) -> [u8; 4] {
        let [_, second, ..] = self.bytes;
        if second & MASKED == 0 {
            return [0; 4];
        }
        let head = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        head.last_chunk().copied().unwrap_or_default()
    }
}

/// A frame whose payload is arriving.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: Opcode,
    is_final: bool,
    left: u64,
    /// Rotated, so that its first byte is for the next byte of the payload.
    key: [u8; 4],
}

/// A message whose fragments are arriving.
#[derive(Debug)]
struct Whole {
    is_text: bool,
    compressed: bool,
    fragments: u32,
    payload: Vec<u8>,
    utf8: Utf8Check,
}

/// Unmasks eight bytes at a time, and rotates `key` for the next bytes.
fn unmask(bytes: &mut [u8], key: &mut [u8; 4]) {
    let word = u64::from(u32::from_ne_bytes(*key));
    let wide = word << 32 | word;
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
    key.rotate_left(rest.len() % 4);
}

#[cfg(test)]
mod tests;
