//! Which of several servers is asked.
//!
//! PostgreSQL has nobody who says which server is the primary. Of those that take writes it is the one
//! with the highest timeline, which each promotion raises: an old primary that comes back has a
//! lower one.

use std::pin::Pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tidings_access::{Address, Connected as _};
use tokio::time::{Instant, timeout_at};

use crate::connection::{Access, Connection};
use crate::error::ConnectError;
use crate::options::{Encryption, Options, Place};

/// How long the other servers are waited for after one was found that takes writes.
const OTHERS: Duration = Duration::from_millis(300);

/// Opens a connection to the primary, whichever server that is now.
pub(crate) async fn primary(options: &Options, place: &Place) -> Result<Connection, ConnectError> {
    let mut opening = open_all(options, place)?;
    let mut found: Option<Connection> = None;
    let mut standbys = Vec::new();
    let mut fault = None;
    let mut until = Instant::now() + options.timeouts.connect * 2;
    while let Ok(Some(opened)) = timeout_at(until, opening.next()).await {
        match opened {
            Err(error) => fault = Some(error),
            Ok(connection) if connection.server().timeline.is_none() => {
                standbys.push(connection.server().address.clone());
            }
            Ok(connection) => {
                let timeline = |connection: &Connection| connection.server().timeline;
                if found
                    .as_ref()
                    .is_none_or(|found| timeline(found) < timeline(&connection))
                {
                    found = Some(connection);
                }
                until = Instant::now() + OTHERS;
            }
        }
    }
    let none = || {
        fault.unwrap_or(ConnectError::Standby {
            addresses: standbys,
        })
    };
    found.ok_or_else(none)
}

/// Opens a connection to whichever server answers first, be it a standby.
pub(crate) async fn any(options: &Options, place: &Place) -> Result<Connection, ConnectError> {
    let mut opening = open_all(options, place)?;
    let mut fault = ConnectError::Standby {
        addresses: Vec::new(),
    };
    while let Some(opened) = opening.next().await {
        match opened {
            Ok(connection) => return Ok(connection),
            Err(error) => fault = error,
        }
    }
    Err(fault)
}

/// Begins to open a connection to each server.
fn open_all<'a>(options: &'a Options, place: &'a Place) -> Result<Opening<'a>, ConnectError> {
    let access = access(options, place)?;
    let open =
        |address: &'a Address| -> OpeningOne<'a> { Box::pin(Connection::open(address, access)) };
    Ok(place.servers.iter().map(open).collect())
}

type OpeningOne<'a> = Pin<Box<dyn Future<Output = Result<Connection, ConnectError>> + Send + 'a>>;
type Opening<'a> = FuturesUnordered<OpeningOne<'a>>;

/// Returns how the servers of a place are reached.
pub(crate) fn access<'a>(
    options: &'a Options,
    place: &'a Place,
) -> Result<Access<'a>, ConnectError> {
    let tls = match (place.encryption, &options.tls) {
        (Encryption::None, _) => None,
        (Encryption::Tls, Some(tls)) => Some(tls),
        (Encryption::Tls, None) => return Err(ConnectError::NoTls),
    };
    Ok(Access {
        database: &place.database,
        login: &options.login,
        tls,
        within: options.timeouts.connect,
    })
}
