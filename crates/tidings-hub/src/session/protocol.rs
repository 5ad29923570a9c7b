//! Protocols of two-way sessions: each reads the peer's messages, encodes updates, and encodes what the hub
//! says about the connection. Each protocol is one file. The transports, WebSocket and SockJS, are elsewhere.
//!
//! To add a protocol, add a file here, its form in `FORMS`, and a function in `http/admission`.

pub mod hub_frames;
pub mod room;
pub mod served;

use std::borrow::Cow;
use std::fmt::Debug;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use tidings_core::event_id::Cursor;
use tidings_core::update::Update;
use tidings_wire::sockjs::Text;

use super::duplex::Duplex;
use super::{Ending, Session};
use crate::posted::Posted;
use crate::shard::Shard;

/// How each form encodes an update, by the number of the form.
pub(crate) const FORMS: [fn(&Posted) -> Cow<'_, str>; 2] = [hub_frames::update, room::update];

/// A form in which updates are encoded. Sessions of the same form share the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form(usize);

impl Form {
    /// The hub's JSON frames.
    pub(crate) const HUB_FRAMES: Self = Self(0);
    /// The update's data and nothing else.
    pub(crate) const DATA: Self = Self(1);

    /// Returns the number of the form in [`FORMS`].
    pub(crate) fn number(self) -> usize {
        self.0
    }
}

/// The future result of a protocol's method.
pub(crate) type Pending<'a> = Pin<Box<dyn Future<Output = Result<(), Ending>> + 'a>>;

/// Returns a result that is there at once.
fn at_once<'a>(result: Result<(), Ending>) -> Pending<'a> {
    Box::pin(std::future::ready(result))
}

/// The other end of a session, for a protocol that answers it.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    pub(crate) shard: &'a Rc<Shard>,
    pub(crate) session: &'a Rc<Session>,
    pub(crate) duplex: &'a Duplex,
}

/// What the hub tells a peer about its connection.
#[derive(Clone, Copy, Debug)]
pub enum Control<'a> {
    /// It is open.
    Open {
        /// Where a subscriber that receives nothing can resume.
        cursor: &'a Cursor,
        /// Time between two pings; zero for no pings.
        ping: Duration,
    },
    /// It was full, and the hub reads on from the history.
    Lagging,
    /// Everything after the requested cursor has been sent.
    CaughtUp {
        /// Where the subscriber can resume from now on.
        cursor: &'a Cursor,
    },
}

/// A protocol of two-way sessions, with the state of one peer.
///
/// All methods run on the session's own task, one message at a time. An error ends the session. The peer is
/// then told the reason that was set with `Duplex::close_with`.
pub trait Protocol: Debug + Send {
    /// Returns the form in which updates are encoded.
    fn form(&self) -> Form;

    /// Handles the start of the session: it has joined, and nothing was read from the peer yet.
    ///
    /// # Errors
    ///
    /// The session ends at once.
    fn on_open(&self, _peer: Peer<'_>) -> Result<(), Ending> {
        Ok(())
    }

    /// Handles a text message of the peer.
    fn on_text<'a>(&'a self, peer: Peer<'a>, text: String) -> Pending<'a>;

    /// Handles a text that came in a SockJS frame. It may contain lone surrogates.
    fn on_framed_text<'a>(&'a self, peer: Peer<'a>, text: Text) -> Pending<'a> {
        self.on_text(peer, text.to_unicode())
    }

    /// Handles a binary message of the peer.
    ///
    /// # Errors
    ///
    /// The session ends.
    fn on_binary(&self, peer: Peer<'_>, bytes: Vec<u8>) -> Result<(), Ending>;

    /// Returns whether the protocol can tell the cursors that [`Control`] contains.
    fn tells_places(&self) -> bool {
        false
    }

    /// Encodes what the hub tells the peer about its connection. None if the protocol has no message for it.
    fn control(&self, _control: Control<'_>) -> Option<String> {
        None
    }

    /// Returns whether the peer published this update itself and is not to receive it.
    fn is_echo(&self, _update: &Update) -> bool {
        false
    }
}
