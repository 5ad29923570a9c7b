//! A service beside the hub, as a protocol of sessions: it answers the peer's messages and sends no updates.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use tidings_wire::sockjs::{self, Text};
use tidings_wire::websocket::Opcode;
use tidings_wire::websocket::close::CloseCode;
use tidings_wire::websocket::deflate::{Agreement, Deflater};
use tidings_wire::websocket::encoder::{self, Packing};

use super::{Form, Peer, Pending, Protocol, at_once};
use crate::session::Ending;
use crate::session::service::Service;

/// One peer of a service.
#[derive(Debug)]
pub struct Served {
    service: Arc<dyn Service>,
    /// Keeps its context between messages, if that was agreed. Boxed, since most sessions have none.
    deflating: RefCell<Option<Box<Deflater>>>,
}

impl Served {
    /// Makes a peer, whose answers are compressed as agreed.
    pub fn new(service: Arc<dyn Service>, agreement: Option<Agreement>) -> Self {
        let deflating = |agreed: Agreement| Box::new(Deflater::new(agreed.window, agreed.server));
        Self {
            service,
            deflating: RefCell::new(agreement.map(deflating)),
        }
    }

    fn frame(&self, opcode: Opcode, payload: &[u8]) -> Bytes {
        match self.deflating.borrow_mut().as_mut() {
            Some(deflating) => {
                encoder::frame(opcode, Packing::Deflated, &deflating.deflate(payload))
            }
            None => encoder::frame(opcode, Packing::Plain, payload),
        }
    }
}

impl Protocol for Served {
    fn form(&self) -> Form {
        Form::DATA
    }

    fn on_open(&self, peer: Peer<'_>) -> Result<(), Ending> {
        let Some((code, reason)) = self.service.closes() else {
            return Ok(());
        };
        let code = CloseCode::new(code).unwrap_or(CloseCode::NORMAL);
        peer.duplex.close_with(code, reason);
        Err(Ending::Refused)
    }

    fn on_text<'a>(&'a self, peer: Peer<'a>, text: String) -> Pending<'a> {
        let answer = self.service.on_text(text);
        let frame = self.frame(Opcode::Text, answer.as_bytes());
        peer.shard.tell(peer.session, frame);
        at_once(Ok(()))
    }

    fn on_framed_text<'a>(&'a self, peer: Peer<'a>, text: Text) -> Pending<'a> {
        let answer = self.service.on_sockjs_text(text);
        let frame = encoder::text(&sockjs::text_frame([&answer]));
        peer.shard.tell(peer.session, frame);
        at_once(Ok(()))
    }

    fn on_binary(&self, peer: Peer<'_>, bytes: Vec<u8>) -> Result<(), Ending> {
        if let Some(answer) = self.service.on_binary(bytes) {
            let frame = self.frame(Opcode::Binary, &answer);
            peer.shard.tell(peer.session, frame);
        }
        Ok(())
    }
}
