//! The connection of one path, between its calls.

use std::cell::RefCell;

use tidings_access::Address;

use crate::connection::Connection;

/// Holds a connection, or the place where one will be.
///
/// A call takes it out and gives it back when its answer has come. So a call whose future was
/// dropped leaves nothing behind, and the next one opens a new connection.
#[derive(Debug, Default)]
pub(crate) struct Slot(RefCell<Inner>);

#[derive(Debug, Default)]
struct Inner {
    connection: Option<Connection>,
    /// The server of the connection that is out with a call.
    out: Option<Address>,
    /// Counts how often the slot was closed: a connection that was out then is not wanted back.
    closed: u64,
    /// Whether the next call is told that its connection was closed under it.
    moved: bool,
}

/// What a call finds.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A connection, with the ticket to give it back by.
    Open(Connection, Ticket),
    /// None: the call opens one.
    Empty(Ticket),
    /// None, because the primary is another server now. The caller learns of it by an error, since
    /// it compares prints on each new connection.
    Moved,
}

/// Says that a connection was taken, or opened, before the slot was closed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket(u64);

impl Slot {
    pub(crate) fn take(&self) -> Taken {
        let mut inner = self.0.borrow_mut();
        inner.out = None;
        if std::mem::take(&mut inner.moved) {
            return Taken::Moved;
        }
        let ticket = Ticket(inner.closed);
        match inner.connection.take() {
            Some(connection) => {
                inner.out = Some(connection.address().clone());
                Taken::Open(connection, ticket)
            }
            None => Taken::Empty(ticket),
        }
    }

    /// Notes which server a call has connected to by itself.
    pub(crate) fn opened(&self, address: &Address) {
        self.0.borrow_mut().out = Some(address.clone());
    }

    /// Gives a connection back. It is closed if the slot was closed meanwhile.
    pub(crate) fn put(&self, connection: Connection, ticket: Ticket) {
        let mut inner = self.0.borrow_mut();
        inner.out = None;
        if inner.closed == ticket.0 {
            inner.connection = Some(connection);
        }
    }

    /// Closes the connection, also one that is out with a call once that is over. The caller knows that
    /// the next call opens a new one.
    pub(crate) fn close(&self) {
        let mut inner = self.0.borrow_mut();
        inner.connection = None;
        inner.out = None;
        inner.closed += 1;
        inner.moved = false;
    }

    /// Closes a connection to another server than `primary`, and lets the next call know.
    pub(crate) fn close_others(&self, primary: &Address) {
        if self.is_elsewhere(primary) {
            self.close();
            self.0.borrow_mut().moved = true;
        }
    }

    /// Returns whether there is a connection, here or out with a call, to another server.
    pub(crate) fn is_elsewhere(&self, primary: &Address) -> bool {
        let inner = self.0.borrow();
        let here = inner.connection.as_ref().map(Connection::address);
        here.or(inner.out.as_ref())
            .is_some_and(|address| address != primary)
    }
}
