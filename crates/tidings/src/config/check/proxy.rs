//! `[proxy]`: a list that trusts everybody makes every address worthless.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Checks;
use crate::config::tables::listen::ListenTable;
use crate::config::tables::proxy::ProxyOptions;

impl Checks<'_> {
    pub(super) fn proxy(&mut self, proxy: &ProxyOptions, listen: &[ListenTable]) {
        let everybody = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
        if everybody.iter().any(|ip| proxy.trusted.contains(*ip)) {
            self.warnings.push(
                "proxy.trusted_addresses: every address is trusted, so every client can pretend to \
                 be another one: list the addresses of the proxies only"
                    .to_owned(),
            );
        }
        let proxied = listen.iter().position(|table| table.proxy_protocol);
        if let Some(index) = proxied.filter(|_| proxy.trusted.is_empty()) {
            let advice = "needs the addresses of the proxies that send the header: list them in \
                          proxy.trusted_addresses; all other connections are closed";
            self.contradiction(&format!("listen.{index}.proxy_protocol"), advice);
        }
    }
}
