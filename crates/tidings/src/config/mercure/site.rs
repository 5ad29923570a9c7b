//! Site addresses in Caddy's syntax: `localhost`, `:80`, `https://example.com:8443`.
//!
//! They appear in `SERVER_NAME` and at the head of a Caddyfile block. Caddy serves a site without a
//! port or `http://` over HTTPS with a certificate that it obtains itself.

use super::Translation;
use super::list;

/// One address of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Site {
    /// The name. None is every name.
    host: Option<String>,
    port: u16,
    tls: bool,
}

/// Whether a site is served over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// If its address implies it.
    ByAddress,
    /// Also on a port without a name: it has a `tls` directive.
    Asked,
}

/// Turns addresses, separated by commas or spaces, into listeners, the hub's URL and its hosts.
///
/// `path` is the hub's path below them.
pub fn translate(text: &str, path: &str, tls: Tls, source: &str, into: &mut Translation) {
    let mut sites = Vec::new();
    for address in text
        .split([',', ' ', '\t', '\n'])
        .filter(|part| !part.is_empty())
    {
        match parse(address, tls) {
            Some(site) => sites.push(site),
            None => into.refuse(
                source,
                format!("site addresses such as :80 or https://example.com, not {address:?}"),
            ),
        }
    }
    let Some(first) = sites.first() else { return };
    let mut bound: Vec<(u16, bool)> = Vec::new();
    for site in &sites {
        if !bound.contains(&(site.port, site.tls)) {
            bound.push((site.port, site.tls));
            into.add_listen(&format!("[::]:{}", site.port), site.tls, source);
        }
    }
    into.set("hub.public_url", public_url(first, path), source);
    if !first.tls && first.host.is_some() {
        // The address has http:// or a port without TLS.
        into.set("hub.allow_plaintext", true, source);
    }
    if sites.iter().all(|site| site.host.is_some()) {
        let authorities: Vec<String> = sites.iter().map(authority).collect();
        into.set(
            "hub.hosts",
            list(authorities.iter().map(String::as_str)),
            source,
        );
    }
}

fn parse(address: &str, asked: Tls) -> Option<Site> {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (Some(scheme), rest),
        Some(_) => return None,
        None => (None, address),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (authority, None),
    };
    if host.is_empty() && port.is_none() && scheme.is_none() {
        return None;
    }
    let tls = match (scheme, port) {
        (Some(scheme), _) => scheme == "https",
        (None, Some(443)) => true,
        // Caddy serves a name over HTTPS whatever its port, except port 80.
        (None, Some(80)) => false,
        (None, Some(_)) => !host.is_empty() || asked == Tls::Asked,
        (None, None) => true,
    };
    Some(Site {
        host: (!host.is_empty() && !host.contains('*')).then(|| host.to_ascii_lowercase()),
        port: port.unwrap_or(if tls { 443 } else { 80 }),
        tls,
    })
}

fn public_url(site: &Site, path: &str) -> String {
    let scheme = if site.tls { "https" } else { "http" };
    format!("{scheme}://{}{path}", authority(site))
}

fn authority(site: &Site) -> String {
    let host = site.host.as_deref().unwrap_or("localhost");
    match (site.port, site.tls) {
        (443, true) | (80, false) => host.to_owned(),
        (port, _) => format!("{host}:{port}"),
    }
}
