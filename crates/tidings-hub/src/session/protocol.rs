//! Protocols of two-way sessions: each reads the peer's messages, encodes updates, and encodes what the hub
//! says about the connection. Each protocol is one file. The transports, WebSocket and SockJS, are elsewhere.
//!
//! To add a protocol, add a file here, its form in `FORMS`, and a function in `http/admission`.

pub mod conversation;
pub mod hub_frames;
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

/// How each form tells an update, by the number of the form.
pub(crate) const FORMS: [fn(&Posted) -> Cow<'_, str>; 2] =
    [hub_frames::update, conversation::update];

/// A form in which updates are told. Sessions of the same form share the bytes.
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

/// The result of something that a protocol waits for.
pub(crate) type Pending<'a> = Pin<Box<dyn Future<Output = Result<(), Ending>> + 'a>>;

/// Returns a result that nobody waits for.
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

/// What the hub says about a connection.
#[derive(Clone, Copy, Debug)]
pub enum Control<'a> {
    /// It is open.
    Open {
        /// Where a subscriber that receives nothing may resume.
        cursor: &'a Cursor,
        /// Time between two pings; zero for no pings.
        ping: Duration,
    },
    /// It was full; the hub reads on from the history.
    Lagging,
    /// Everything that was asked for by a cursor has been sent.
    CaughtUp {
        /// Where to resume from here on.
        cursor: &'a Cursor,
    },
}

/// A protocol of two-way sessions, with the state of one peer.
///
/// All methods run on the session's own task, one message at a time. An error ends the session; what the
/// peer is told then was set with `Duplex::close_with`.
pub trait Protocol: Debug + Send {
    /// Returns the form in which updates are told.
    fn form(&self) -> Form;

    /// Takes note that the session has joined. Nothing of the peer was read yet.
    ///
    /// # Errors
    ///
    /// The session ends at once.
    fn on_open(&self, _peer: Peer<'_>) -> Result<(), Ending> {
        Ok(())
    }

    /// Reads a text of the peer.
    fn on_text<'a>(&'a self, peer: Peer<'a>, text: String) -> Pending<'a>;

    /// Reads a text that came in a SockJS frame, which may have halves of surrogate pairs in it.
    fn on_framed_text<'a>(&'a self, peer: Peer<'a>, text: Text) -> Pending<'a> {
        self.on_text(peer, text.to_unicode())
    }

    /// Reads a binary message of the peer.
    ///
    /// # Errors
    ///
    /// The session ends.
    fn on_binary(&self, peer: Peer<'_>, bytes: Vec<u8>) -> Result<(), Ending>;

    /// Returns whether the protocol has words for the places that [`Control`] names.
    fn tells_places(&self) -> bool {
        false
    }

    /// Returns what tells the peer something about its connection; nothing if the protocol has no words
    /// for it.
    fn control(&self, _control: Control<'_>) -> Option<String> {
        None
    }

    /// Returns whether the peer sent this update itself and is not to hear it again.
    fn is_echo(&self, _update: &Update) -> bool {
        false
    }
}
