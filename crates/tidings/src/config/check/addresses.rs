//! The addresses to listen on, of whatever kind of listener: no two of them may need the same port.

use std::net::{IpAddr, SocketAddr};

use super::Checks;

impl Checks<'_> {
    /// Notes an address to listen on, which no earlier one may exclude.
    pub(super) fn listen_on(&mut self, key: &str, address: SocketAddr) {
        let mut known = self.addresses.iter();
        if let Some((other, taken)) = known.find(|(_, taken)| exclude_each_other(*taken, address)) {
            let reason = format!("{address} is taken by {other} ({taken}): write another port");
            self.invalid(key, reason);
        }
        self.addresses.push((key.to_owned(), address));
    }
}

/// Says whether the system refuses to listen on both. It chooses another port for each port 0, and
/// `[::]` is every address of IPv4 too.
fn exclude_each_other(one: SocketAddr, other: SocketAddr) -> bool {
    let (first, second) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() == other.port()
        && one.port() != 0
        && (first == second || covers(first, second) || covers(second, first))
}

fn covers(every: IpAddr, address: IpAddr) -> bool {
    every.is_unspecified() && (every.is_ipv6() || address.is_ipv4())
}
