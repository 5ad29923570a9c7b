//! The connection of one path, between its calls.

use std::cell::RefCell;
use std::fmt;

/// Holds a connection, or the place where one will be.
///
/// A call takes it out and gives it back when its answer has come. So a call whose future was
/// dropped leaves nothing behind, and the next one opens a new connection.
#[derive(Debug)]
pub struct Slot<C: Connected>(RefCell<Inner<C>>);

#[derive(Debug)]
struct Inner<C: Connected> {
    connection: Option<C>,
    /// The server of the connection that is out with a call.
    out: Option<C::Server>,
    /// Counts how often the slot was closed: a connection that was out then is not wanted back.
    closed: u64,
    /// Whether the next call is told that its connection was closed under it.
    moved: bool,
}

/// What a call finds.
#[derive(Debug)]
pub enum Taken<C> {
    /// A connection, with the ticket to give it back by.
    Open(C, Ticket),
    /// None: the call opens one.
    Empty(Ticket),
    /// None, because the primary is another server now. The caller learns of it by an error, since
    /// it compares prints on each new connection.
    Moved,
}

/// Says that a connection was taken, or opened, before the slot was closed.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

/// A connection that knows its server.
pub trait Connected {
    /// What tells one server from another.
    type Server: Clone + PartialEq + fmt::Debug;

    /// Returns which server this is.
    fn server(&self) -> &Self::Server;
}

impl<C: Connected> Default for Slot<C> {
    fn default() -> Self {
        Self(RefCell::new(Inner {
            connection: None,
            out: None,
            closed: 0,
            moved: false,
        }))
    }
}

impl<C: Connected> Slot<C> {
    /// Takes the connection out for a call.
    pub fn take(&self) -> Taken<C> {
        let mut inner = self.0.borrow_mut();
        inner.out = None;
        if std::mem::take(&mut inner.moved) {
            return Taken::Moved;
        }
        let ticket = Ticket(inner.closed);
        match inner.connection.take() {
            Some(connection) => {
                inner.out = Some(connection.server().clone());
                Taken::Open(connection, ticket)
            }
            None => Taken::Empty(ticket),
        }
    }

    /// Notes which server a call has connected to by itself.
    pub fn opened(&self, server: &C::Server) {
        self.0.borrow_mut().out = Some(server.clone());
    }

    /// Gives a connection back. It is closed if the slot was closed meanwhile.
    pub fn put(&self, connection: C, ticket: Ticket) {
        let mut inner = self.0.borrow_mut();
        inner.out = None;
        if inner.closed == ticket.0 {
            inner.connection = Some(connection);
        }
    }

    /// Closes the connection, also one that is out with a call once that is over. The caller knows that
    /// the next call opens a new one.
    pub fn close(&self) {
        let mut inner = self.0.borrow_mut();
        inner.connection = None;
        inner.out = None;
        inner.closed += 1;
        inner.moved = false;
    }

    /// Closes a connection to another server than `primary`, and lets the next call know.
    pub fn close_others(&self, primary: &C::Server) {
        if self.is_elsewhere(primary) {
            self.close();
            self.0.borrow_mut().moved = true;
        }
    }

    /// Returns whether there is a connection, here or out with a call, to another server.
    pub fn is_elsewhere(&self, primary: &C::Server) -> bool {
        let inner = self.0.borrow();
        let here = inner.connection.as_ref().map(Connected::server);
        here.or(inner.out.as_ref())
            .is_some_and(|server| server != primary)
    }
}
