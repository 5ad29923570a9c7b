//! `[proxy]`: which proxies are believed when they name their clients.

use crate::config::addresses::AddressList;
use crate::config::keys::rule::{list, word};
use crate::config::value::Words;

table! {
    /// Proxies that are believed when they name their clients.
    pub struct ProxyOptions = "proxy" {
        /// Addresses and networks of the proxies and load balancers in front of the hub, such as
        /// `10.0.0.0/8`. The hub believes them when they name the address of their client
        /// (`proxy.header`, `listen.N.proxy_protocol`), and uses it for all limits per address,
        /// `limits.blocked_addresses` and the logs. No limit per address applies to these addresses
        /// themselves. Anyone at a listed address can pretend to be any client.
        trusted as "trusted_addresses": AddressList = list(&[]).live();
        /// The field in which the proxies name their client: `X-Forwarded-For`, `Forwarded` (RFC
        /// 7239), or `none`. The hub reads it from its end and takes the last address that is not in
        /// `proxy.trusted_addresses`. Each proxy must write this field itself, since the hub ignores
        /// the others.
        header: ProxyHeader = word::<ProxyHeader>("X-Forwarded-For").live();
    }
}

/// The field in which proxies name their client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded`; RFC 7239.
    Forwarded,
    /// None.
    None,
}

impl Words for ProxyHeader {
    const WORDS: &'static [&'static str] = &["X-Forwarded-For", "Forwarded", "none"];
    const VALUES: &'static [Self] = &[Self::XForwardedFor, Self::Forwarded, Self::None];
}
