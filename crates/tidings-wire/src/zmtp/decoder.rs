//! Reads the traffic of a connection after its handshake.
//!
//! A frame means the same on every connection, so whole messages are kept as they were on the wire:
//! a broker forwards them without parsing their parts.

use super::command::Command;
use super::frame::{COMMAND, Header, MORE};
use super::{COMMAND_BYTES_MAX, MESSAGE_PARTS_MAX, ProtocolError};

/// Bytes that an idle decoder may keep allocated.
const KEPT_BYTES_MAX: usize = 4096;

/// Reads one connection.
#[derive(Debug)]
pub struct Decoder {
    /// A frame that has not arrived whole.
    frame: Vec<u8>,
    /// The frames of a message whose last part has not arrived.
    message: Vec<u8>,
    parts: usize,
    /// Bytes of the parts of that message.
    bytes: usize,
    message_bytes_max: usize,
}

/// What arrived. Reused from read to read.
#[derive(Debug, Default)]
pub struct Received {
    /// Whole messages as on the wire, one after the other.
    pub wire: Vec<u8>,
    /// Where in `wire` each one ends.
    pub messages: Vec<Extent>,
    /// What the peer said beside the messages.
    pub commands: Vec<Said>,
}

/// A message within [`Received::wire`]. It begins where the one before ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it ends.
    pub end: usize,
    /// Where the body of its first part begins.
    pub first: usize,
    /// Bytes of its first part.
    pub first_len: usize,
    /// How many parts it has.
    pub parts: usize,
}

/// A [`Command`] that matters after the handshake, with its own bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// SUBSCRIBE with this prefix.
    Subscribe(Box<[u8]>),
    /// CANCEL with this prefix.
    Cancel(Box<[u8]>),
    /// PING with this context.
    Ping(Box<[u8]>),
}

impl Received {
    /// Forgets what arrived.
    pub fn clear(&mut self) {
        self.wire.clear();
        self.messages.clear();
        self.commands.clear();
    }
}

impl Decoder {
    /// Starts with messages of at most `message_bytes_max` bytes, all parts together.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            frame: Vec::new(),
            message: Vec::new(),
            parts: 0,
            bytes: 0,
            message_bytes_max,
        }
    }

    /// Takes the next bytes and appends to `received` what they complete.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke, after what came before it was appended.
    pub fn push(&mut self, bytes: &[u8], received: &mut Received) -> Result<(), ProtocolError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.frame.is_empty()
                && let Some(len) = self.whole_frame(rest)?
                && let Some((frame, after)) = rest.split_at_checked(len)
            {
                self.on_frame(frame, received)?;
                rest = after;
                continue;
            }
            // Only what belongs to this frame is kept, and only as it arrives: what a peer says
            // about a length allocates nothing.
            let missing = match self.whole_frame(&self.frame)? {
                None => 1,
                Some(len) => len - self.frame.len(),
            };
            let (more, after) = rest.split_at(missing.min(rest.len()));
            self.frame.extend_from_slice(more);
            rest = after;
            if self.whole_frame(&self.frame)? == Some(self.frame.len()) {
                let mut frame = std::mem::take(&mut self.frame);
                self.on_frame(&frame, received)?;
                if frame.capacity() <= KEPT_BYTES_MAX {
                    frame.clear();
                    self.frame = frame;
                }
            }
        }
        Ok(())
    }

    /// Returns the length of the frame that `bytes` begin with, once its header is whole.
    fn whole_frame(&self, bytes: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(header) = Header::read(bytes)? else {
            return Ok(None);
        };
        if header.flags & COMMAND != 0 {
            if header.body > COMMAND_BYTES_MAX as u64 {
                let bytes = header.body;
                return Err(ProtocolError::CommandTooLong { bytes });
            }
        } else if header.body > (self.message_bytes_max - self.bytes) as u64 {
            return Err(ProtocolError::MessageTooLong {
                bytes: header.body.saturating_add(self.bytes as u64),
                max: self.message_bytes_max,
            });
        }
        Ok(usize::try_from(header.body)
            .ok()
            .and_then(|body| body.checked_add(header.len)))
    }

    fn on_frame(&mut self, frame: &[u8], received: &mut Received) -> Result<(), ProtocolError> {
        let Some(header) = Header::read(frame)? else {
            return Ok(());
        };
        let body = frame.get(header.len..).unwrap_or_default();
        if header.flags & COMMAND != 0 {
            // Some peers send heartbeats between the parts of a message.
            return on_command(body, received);
        }
        self.parts += 1;
        if self.parts > MESSAGE_PARTS_MAX {
            return Err(ProtocolError::TooManyParts);
        }
        if header.flags & MORE != 0 {
            self.bytes += body.len();
            self.message.extend_from_slice(frame);
            return Ok(());
        }
        let start = received.wire.len();
        received.wire.extend_from_slice(&self.message);
        received.wire.extend_from_slice(frame);
        let first = match self.message.is_empty() {
            true => Some(header),
            false => Header::read(&self.message)?,
        };
        let (first, first_len) = first.map_or((0, 0), |first| (first.len, first.body));
        received.messages.push(Extent {
            end: received.wire.len(),
            first: start + first,
            first_len: usize::try_from(first_len).unwrap_or_default(),
            parts: self.parts,
        });
        self.parts = 0;
        self.bytes = 0;
        if self.message.capacity() > KEPT_BYTES_MAX {
            self.message = Vec::new();
        }
        self.message.clear();
        Ok(())
    }
}

fn on_command(body: &[u8], received: &mut Received) -> Result<(), ProtocolError> {
    let said = match Command::read(body)? {
        Command::Subscribe(prefix) => Said::Subscribe(prefix.into()),
        Command::Cancel(prefix) => Said::Cancel(prefix.into()),
        Command::Ping { context } => Said::Ping(context.into()),
        Command::Error(reason) => {
            let reason = String::from_utf8_lossy(reason).into_owned();
            return Err(ProtocolError::Refused { reason });
        }
        Command::Pong | Command::Other => return Ok(()),
    };
    received.commands.push(said);
    Ok(())
}

#[cfg(test)]
mod tests;
