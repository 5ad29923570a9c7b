//! What was received and not decoded yet, and the memory of an incomplete message.

use bytes::{Buf, Bytes};
use tidings_wire::websocket::frames::{DecodeError, Decoder, Event};

use super::Duplex;
use crate::account::OverLimit;

/// The frame decoder and its input.
#[derive(Debug)]
pub(super) struct Received {
    decoder: Decoder,
    /// Bytes that the decoder has not read yet.
    unread: Bytes,
    /// The bytes that are booked for an incomplete message.
    booked: usize,
}

impl Received {
    pub(super) fn new(decoder: Decoder, unread: Bytes) -> Self {
        Self {
            decoder,
            unread,
            booked: 0,
        }
    }

    /// Returns the bytes that were inflated since the last call.
    pub(super) fn take_inflated(&mut self) -> usize {
        self.decoder.take_inflated()
    }

    fn next_event(&mut self) -> Result<Option<Event>, DecodeError> {
        let mut input: &[u8] = &self.unread;
        let before = input.len();
        let event = self.decoder.decode(&mut input)?;
        let read = before - input.len();
        self.unread.advance(read);
        if self.unread.is_empty() {
            // An idle peer keeps no buffer.
            self.unread = Bytes::new();
        }
        Ok(event)
    }
}

impl Duplex {
    /// Returns the next event of what was received, or nothing until more is received.
    ///
    /// # Errors
    ///
    /// The rule that the peer broke.
    pub(crate) fn next_event(&self) -> Result<Option<Event>, DecodeError> {
        self.received.borrow_mut().next_event()
    }

    /// Takes bytes from the socket. The decoder has read everything before them.
    pub(crate) fn receive(&self, bytes: &[u8]) {
        let mut received = self.received.borrow_mut();
        debug_assert!(received.unread.is_empty(), "read before more is received");
        received.unread = Bytes::copy_from_slice(bytes);
    }

    /// Books what the decoder holds of an incomplete message.
    ///
    /// # Errors
    ///
    /// There is no room for it.
    pub(crate) fn book_partial(&self) -> Result<(), OverLimit> {
        let mut received = self.received.borrow_mut();
        let (held, booked) = (received.decoder.held_bytes(), received.booked);
        let mut charge = self.charge.borrow_mut();
        match held.checked_sub(booked) {
            Some(more) => charge.grow(more)?,
            None => charge.give_back(booked - held),
        }
        received.booked = held;
        Ok(())
    }

    /// Drops an incomplete message, and everything that the peer sends from now on.
    pub(crate) fn discard_partial(&self) {
        let mut received = self.received.borrow_mut();
        received.decoder.discard();
        let booked = std::mem::take(&mut received.booked);
        self.charge.borrow_mut().give_back(booked);
    }
}
