//! Lists of IP addresses and networks in the configuration.

use std::net::{IpAddr, Ipv6Addr};

/// Addresses and networks such as `192.0.2.7`, `192.0.2.0/24` and `2001:db8::/32`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressList(Vec<Network>);

/// A network prefix. IPv4 is mapped into IPv6, because that is how it arrives at a listener on
/// `[::]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    bits: u128,
    open: u32,
}

/// Why an entry is refused.
#[derive(Debug, thiserror::Error)]
#[error("{entry:?} is neither an IP address nor a network such as 192.0.2.0/24")]
pub struct AddressError {
    entry: String,
}

impl AddressList {
    /// Reads the entries of a list.
    ///
    /// # Errors
    ///
    /// The first entry that is neither an address nor a network.
    pub fn parse(entries: &[String]) -> Result<Self, AddressError> {
        let network = |entry: &String| {
            Network::parse(entry).ok_or_else(|| AddressError {
                entry: entry.clone(),
            })
        };
        entries
            .iter()
            .map(network)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Returns whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the list contains this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let bits = bits(address);
        self.0
            .iter()
            .any(|network| network.open == 128 || (bits ^ network.bits) >> network.open == 0)
    }
}

impl Network {
    fn parse(entry: &str) -> Option<Self> {
        let (address, prefix) = match entry.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
            None => (entry, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let longest: u32 = if address.is_ipv4() { 32 } else { 128 };
        let open = longest.checked_sub(prefix.unwrap_or(longest))?;
        Some(Self {
            bits: bits(address),
            open,
        })
    }
}

fn bits(address: IpAddr) -> u128 {
    let address: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.to_bits()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_found() {
        let list = ["192.0.2.7", "198.51.100.0/24", "2001:db8::/32"].map(str::to_owned);
        let list = AddressList::parse(&list).unwrap();
        for (address, found) in [
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", true),
            ("192.0.2.8", false),
            ("198.51.100.255", true),
            ("198.51.101.0", false),
            ("2001:db8:1::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(list.contains(address.parse().unwrap()), found, "{address}");
        }
        assert!(
            AddressList::parse(&["::/0".to_owned()])
                .unwrap()
                .contains([1, 2, 3, 4].into())
        );
        for entry in ["", "x", "192.0.2.0/33", "192.0.2/24", "192.0.2.0/"] {
            assert!(AddressList::parse(&[entry.to_owned()]).is_err(), "{entry}");
        }
    }
}
