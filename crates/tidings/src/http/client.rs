//! The client of a request: the peer itself, or whom a trusted proxy names. All limits per address, the blocked
//! addresses and the logs use the client's address.

use std::net::SocketAddr;

use http::header::{FORWARDED, HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use tidings_wire::forwarded::{self, Node};

use super::ConnectionInfo;
use super::problem::Problem;
use crate::config::ProxyOptions;
use crate::config::tables::proxy::ProxyHeader;
use crate::http::Site;
use tidings_hub::account::{Crowded, Scope};
use tidings_hub::metrics::count;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who sent a request.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The connection, with the address and the holder of the client.
    pub(crate) info: ConnectionInfo,
    refused: Option<Refused>,
}

/// Why a client behind a proxy gets nothing.
#[derive(Clone, Copy, Debug)]
enum Refused {
    Blocked,
    Crowded(Crowded),
}

/// What a trusted proxy says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Named {
    client: SocketAddr,
    /// Whether the chain ends in text that is no address.
    broken: bool,
}

impl Client {
    /// Finds the client of a request, and takes a place for it if it is behind a trusted proxy.
    pub(crate) fn of<B>(site: &Site, info: ConnectionInfo, request: &Request<B>) -> Self {
        let proxy = &site.config().proxy;
        let headers = request.headers();
        let ignored = &site.metrics().forwarded_ignored;
        if info.admin {
            return info.into();
        }
        if !proxy.trusted.contains(info.peer.ip()) {
            if field(proxy).is_some_and(|field| headers.contains_key(field)) {
                count(ignored, "untrusted");
            }
            return info.into();
        }
        let Some(Named { client, broken }) = named(proxy, info.peer, headers) else {
            return info.into();
        };
        if broken {
            count(ignored, "broken");
        }
        if client.ip() == info.peer.ip() {
            return info.into();
        }
        let refused_counter = &site.metrics().connections_refused;
        let of_client = ConnectionInfo {
            peer: client,
            ..info
        };
        if site.config().limits.blocked.contains(client.ip()) {
            count(refused_counter, "blocked");
            return Self {
                info: of_client,
                refused: Some(Refused::Blocked),
            };
        }
        let scope = scope_of(proxy, client);
        match of_client.holder.for_client(client.ip(), scope) {
            Ok(holder) => ConnectionInfo {
                holder,
                ..of_client
            }
            .into(),
            Err(crowded) => {
                count(refused_counter, crowded.name());
                Self {
                    info: of_client,
                    refused: Some(Refused::Crowded(crowded)),
                }
            }
        }
    }

    /// Refuses a client that is blocked or has no place.
    ///
    /// # Errors
    ///
    /// 403 and 429.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        match self.refused {
            None => Ok(()),
            Some(Refused::Blocked) => Err(Problem::blocked()),
            Some(Refused::Crowded(crowded)) => Err(Problem::too_many_connections(crowded)),
        }
    }
}

impl From<ConnectionInfo> for Client {
    /// The peer itself is the client.
    fn from(info: ConnectionInfo) -> Self {
        let refused = None;
        Self { info, refused }
    }
}

/// Returns which limits apply to a client: none per address to a trusted proxy.
pub(crate) fn scope_of(proxy: &ProxyOptions, client: SocketAddr) -> Scope {
    if proxy.trusted.contains(client.ip()) {
        Scope::Total
    } else {
        Scope::All
    }
}

/// Returns an address for people: without a port where none is known.
pub(crate) fn shown(client: SocketAddr) -> String {
    match client.port() {
        0 => client.ip().to_string(),
        _ => client.to_string(),
    }
}

/// Returns the field in which proxies name their client, if they do.
fn field(proxy: &ProxyOptions) -> Option<HeaderName> {
    match proxy.header {
        ProxyHeader::XForwardedFor => Some(X_FORWARDED_FOR),
        ProxyHeader::Forwarded => Some(FORWARDED),
        ProxyHeader::None => None,
    }
}

/// Finds the client in the field of a trusted proxy at `peer`. None if there is no such field.
fn named(proxy: &ProxyOptions, peer: SocketAddr, headers: &HeaderMap) -> Option<Named> {
    let field = field(proxy)?;
    if !headers.contains_key(&field) {
        return None;
    }
    let values = headers.get_all(&field);
    let values: Vec<&[u8]> = values.iter().map(HeaderValue::as_bytes).collect();
    let values = values.into_iter();
    Some(match proxy.header {
        ProxyHeader::Forwarded => last_untrusted(proxy, peer, forwarded::forwarded(values)),
        ProxyHeader::XForwardedFor | ProxyHeader::None => {
            last_untrusted(proxy, peer, forwarded::x_forwarded_for(values))
        }
    })
}

/// Follows the chain from its end for as long as the address that wrote the next node is trusted. Where the chain
/// ends, hides an address or is broken, the address that was reached counts.
fn last_untrusted(
    proxy: &ProxyOptions,
    peer: SocketAddr,
    mut nodes: impl Iterator<Item = Node>,
) -> Named {
    let mut client = peer;
    let mut broken = false;
    while proxy.trusted.contains(client.ip()) {
        match nodes.next() {
            Some(Node::Address(ip, port)) => {
                client = SocketAddr::new(ip, port.unwrap_or_default());
            }
            Some(Node::Broken) => {
                broken = true;
                break;
            }
            Some(Node::Hidden) | None => break,
        }
    }
    Named { client, broken }
}

#[cfg(test)]
mod tests;
