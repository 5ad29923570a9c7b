//! The addresses of all listeners: no two of them may need the same port.

use std::net::{IpAddr, SocketAddr};

use super::Checks;

impl Checks<'_> {
    /// Adds an address to listen on, which must not conflict with an earlier one.
    pub(super) fn listen_on(&mut self, key: &str, address: SocketAddr) {
        let mut known = self.addresses.iter();
        if let Some((other, taken)) = known.find(|(_, taken)| exclude_each_other(*taken, address)) {
            let reason =
                format!("{address} is already used by {other} ({taken}): write another port");
            self.invalid(key, reason);
        }
        self.addresses.push((key.to_owned(), address));
    }
}

/// Returns whether the system refuses to listen on both. Each port 0 becomes a different port, and
/// `[::]` includes every IPv4 address.
fn exclude_each_other(one: SocketAddr, other: SocketAddr) -> bool {
    let (first, second) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port()
        && one.port() != 0
        && (first == second || covers(first, second) || covers(second, first))
}

fn covers(every: IpAddr, address: IpAddr) -> bool {
    every.is_unspecified() && (every.is_ipv6() || address.is_ipv4())
}
