//! Matchers that a peer adds to its session: the request to the router, and what the peer is told about it.

use tidings_core::matcher::Matcher;

use super::Duplex;
use crate::session::Start;

/// Matchers on their way to becoming part of a subscription.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) matchers: Box<[Matcher]>,
    pub(crate) start: Start,
}

/// How far the adding of matchers has come.
#[derive(Debug, Default)]
pub(super) struct Adding {
    /// Matchers that the router is asked to intern.
    joining: Option<Joining>,
    /// Whether the peer has still to be told that a catch-up begins.
    is_unannounced: bool,
    /// Whether the peer is to be told when it has caught up.
    tells_caught_up: bool,
}

impl Duplex {
    /// Keeps the matchers that the router was asked to intern, until it answers.
    pub(crate) fn set_joining(&self, joining: Joining) {
        self.adding.borrow_mut().joining = Some(joining);
    }

    /// Takes what the router has interned.
    pub(crate) fn take_joining(&self) -> Option<Joining> {
        self.adding.borrow_mut().joining.take()
    }

    /// Returns whether the router was asked and has not answered.
    pub(crate) fn is_joining(&self) -> bool {
        self.adding.borrow().joining.is_some()
    }

    /// Has the peer told that a catch-up for new matchers begins, and when it has ended.
    pub(crate) fn announce_later(&self) {
        let mut adding = self.adding.borrow_mut();
        adding.is_unannounced = true;
        adding.tells_caught_up = true;
    }

    /// Notes that the peer was told that a catch-up begins.
    pub(crate) fn announce(&self) {
        self.adding.borrow_mut().is_unannounced = false;
    }

    /// Returns whether the peer has still to be told that a catch-up begins.
    pub(crate) fn is_unannounced(&self) -> bool {
        self.adding.borrow().is_unannounced
    }

    /// Has the peer told when it has caught up.
    pub(crate) fn tell_caught_up(&self) {
        self.adding.borrow_mut().tells_caught_up = true;
    }

    /// Returns whether the peer is still to be told that it has caught up, and clears the mark.
    pub(crate) fn takes_caught_up(&self) -> bool {
        std::mem::take(&mut self.adding.borrow_mut().tells_caught_up)
    }
}
