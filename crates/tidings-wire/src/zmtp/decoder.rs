//! Reads the traffic of a connection after its handshake.
//!
//! A frame means the same on every connection, so whole messages are kept as they were on the wire:
//! a broker forwards them without parsing their parts.

use super::command::Command;
use super::frame::{COMMAND, Header, MORE};
use super::{COMMAND_BYTES_MAX, MESSAGE_PARTS_MAX, ProtocolError};

/// Bytes that an idle decoder may keep allocated.
const KEPT_BYTES_MAX: usize = 4096;

/// Decodes the traffic of one connection.
#[derive(Debug)]
pub struct Decoder {
    /// A frame that has arrived in part.
    frame: Vec<u8>,
    /// The frames of a message whose last part has not arrived.
    message: Vec<u8>,
    parts: usize,
    /// Bytes of the parts of that message.
    bytes: usize,
    message_bytes_max: usize,
}

/// The decoded messages and commands. Reused from read to read.
#[derive(Debug, Default)]
pub struct Received {
    /// Complete messages as on the wire, one after another.
    pub wire: Vec<u8>,
    /// The end of each message in `wire`.
    pub messages: Vec<Extent>,
    /// The commands of the peer.
    pub commands: Vec<PeerCommand>,
}

/// A message within [`Received::wire`]. It begins where the previous one ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The end of the message.
    pub end: usize,
    /// The start of its first part's body.
    pub first: usize,
    /// Bytes of its first part's body.
    pub first_len: usize,
    /// The number of its parts.
    pub parts: usize,
}

/// A [`Command`] that matters after the handshake, and owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerCommand {
    /// SUBSCRIBE with this prefix.
    Subscribe(Box<[u8]>),
    /// CANCEL with this prefix.
    Cancel(Box<[u8]>),
    /// PING with this context.
    Ping(Box<[u8]>),
}

impl Received {
    /// Empties all lists.
    pub fn clear(&mut self) {
        self.wire.clear();
        self.messages.clear();
        self.commands.clear();
    }
}

impl Decoder {
    /// Starts a decoder for messages of at most `message_bytes_max` bytes, all parts together.
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

    /// Decodes the next bytes, and appends to `received` what they complete.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] names the rule that the peer broke, after everything before it was
    /// appended.
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
            // Only bytes of this frame are kept, and only as they arrive: an announced length
            // allocates nothing.
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

    /// Returns the length of the frame at the start of `bytes`, once its header is complete.
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
    let command = match Command::read(body)? {
        Command::Subscribe(prefix) => PeerCommand::Subscribe(prefix.into()),
        Command::Cancel(prefix) => PeerCommand::Cancel(prefix.into()),
        Command::Ping { context } => PeerCommand::Ping(context.into()),
        Command::Error(reason) => {
            let reason = String::from_utf8_lossy(reason).into_owned();
            return Err(ProtocolError::Refused { reason });
        }
        Command::Pong | Command::Other => return Ok(()),
    };
    received.commands.push(command);
    Ok(())
}

#[cfg(test)]
mod tests;
