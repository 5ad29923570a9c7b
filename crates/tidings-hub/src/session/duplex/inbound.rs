//! The queue of texts that arrived and wait to be processed: those of one SockJS frame or request.

use std::collections::VecDeque;

use tidings_wire::sockjs::Text;
use tokio::sync::oneshot;

use super::Duplex;
use crate::account::OverLimit;

/// Bytes that a text takes beside its own while it waits to be processed.
const INBOUND_OVERHEAD_BYTES: usize = 48;

/// A text that a peer sent, perhaps together with others.
#[derive(Debug)]
pub(crate) struct InboundText {
    pub(crate) text: Text,
    /// With the last text of a batch: told once the whole batch was processed.
    pub(crate) last: Option<oneshot::Sender<()>>,
}

/// The texts that wait, oldest first. What they take is booked, which bounds them.
#[derive(Debug, Default)]
pub(super) struct InboundTexts {
    texts: VecDeque<InboundText>,
    bytes: usize,
}

impl Duplex {
    /// Queues texts that arrived together, a batch. `processed` is told when all of them were processed.
    ///
    /// # Errors
    ///
    /// There is no room for them.
    pub fn push_inbound(
        &self,
        texts: Vec<Text>,
        processed: Option<oneshot::Sender<()>>,
    ) -> Result<(), OverLimit> {
        let bytes = cost(&texts);
        self.charge.borrow_mut().grow(bytes)?;
        let mut inbound = self.inbound.borrow_mut();
        inbound.bytes += bytes;
        let mut batch = texts.into_iter();
        let last = batch.next_back();
        let texts = batch.map(|text| InboundText { text, last: None });
        inbound.texts.extend(texts);
        match (last, processed) {
            (Some(text), last) => inbound.texts.push_back(InboundText { text, last }),
            // An empty batch is processed already, whatever waits before it. Who sent it may be gone.
            (None, Some(processed)) => drop(processed.send(())),
            (None, None) => {}
        }
        Ok(())
    }

    /// Takes the next text that waits to be processed.
    pub(crate) fn next_inbound(&self) -> Option<InboundText> {
        let mut inbound = self.inbound.borrow_mut();
        let next = inbound.texts.pop_front()?;
        if inbound.texts.is_empty() {
            // An idle peer keeps no buffer.
            inbound.texts = VecDeque::new();
        }
        let bytes = cost(std::slice::from_ref(&next.text));
        inbound.bytes -= bytes;
        self.charge.borrow_mut().give_back(bytes);
        Some(next)
    }

    /// Returns whether a text waits to be processed.
    pub(crate) fn has_inbound(&self) -> bool {
        !self.inbound.borrow().texts.is_empty()
    }

    /// Returns the bytes that the waiting texts take.
    pub(crate) fn inbound_bytes(&self) -> usize {
        self.inbound.borrow().bytes
    }
}

/// Returns the bytes that texts take while they wait to be processed.
pub(crate) fn cost(texts: &[Text]) -> usize {
    let bytes: usize = texts.iter().map(Text::len).sum();
    bytes + INBOUND_OVERHEAD_BYTES * texts.len()
}
