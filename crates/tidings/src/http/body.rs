//! The body of a response that is complete when it begins: pieces that are not copied together, and that stay
//! booked until the peer has taken them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;

use tidings_hub::account::{COVERED_BYTES_MAX, Holder, Kind, OverLimit};
use tidings_hub::session::socket::{BrokenOff, StreamBody};

/// A body that is complete when it begins.
#[derive(Debug, Default)]
pub(crate) struct Whole {
    /// The pieces, the last one first.
    pieces: SmallVec<[Bytes; 1]>,
    /// Bytes that are left.
    bytes: usize,
    /// Whether they are booked already, or take no memory.
    booked: bool,
}

impl Whole {
    /// Makes a body of one piece.
    pub(crate) fn new(bytes: Bytes) -> Self {
        Self::of_pieces([bytes])
    }

    /// Makes a body of pieces in their order.
    pub(crate) fn of_pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let mut pieces: SmallVec<[Bytes; 1]> = pieces.into_iter().collect();
        pieces.retain(|piece| !piece.is_empty());
        pieces.reverse();
        Self {
            bytes: pieces.iter().map(Bytes::len).sum(),
            pieces,
            booked: false,
        }
    }

    /// Marks the bytes as booked already, or as part of the program.
    pub(crate) fn booked(self) -> Self {
        Self {
            booked: true,
            ..self
        }
    }

    /// Books the bytes until the last of them are taken.
    ///
    /// # Errors
    ///
    /// There is no room for them.
    pub(crate) fn book(&mut self, holder: &Arc<Holder>) -> Result<(), OverLimit> {
        if self.booked || self.bytes <= COVERED_BYTES_MAX {
            return Ok(());
        }
        let mut charge = holder.take(Kind::Answer, self.bytes)?;
        for piece in &mut self.pieces {
            let bytes = std::mem::take(piece);
            *piece = charge.split(bytes.len()).wrap(bytes);
        }
        self.booked = true;
        Ok(())
    }
}

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.pop();
        self.bytes -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes as u64)
    }
}

/// The body of an HTTP/2 event stream. hyper writes what the session hands over.
#[derive(Debug)]
pub(crate) struct EventBody(pub(crate) StreamBody);

impl Body for EventBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let piece = self.0.poll_piece(cx);
        piece.map(|piece| piece.map(|bytes| bytes.map(Frame::data)))
    }
}
