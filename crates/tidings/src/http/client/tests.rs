//! Whom a chain of proxies names.

use super::*;
use crate::config::addresses::AddressList;

#[test]
fn only_what_trusted_proxies_wrote_is_believed() {
    for (fields, client) in [
        (&["203.0.113.9"][..], "203.0.113.9:0"),
        // What the client itself wrote is not reached.
        (&["192.0.2.66, 203.0.113.9"], "203.0.113.9:0"),
        (&["192.0.2.66", "203.0.113.9, 10.0.0.7"], "203.0.113.9:0"),
        (&["203.0.113.9:4711, 10.0.0.7:80"], "203.0.113.9:4711"),
        // Every address is a proxy's: the first one counts.
        (&["10.0.0.9, 10.0.0.8"], "10.0.0.9:0"),
        (&["203.0.113.9, unknown, 10.0.0.8"], "10.0.0.8:0"),
        (&["unknown"], "10.0.0.1:9"),
    ] {
        assert_eq!(
            read(fields),
            Some((client.parse().unwrap(), false)),
            "{fields:?}"
        );
    }
    let reached = "10.0.0.8:0".parse().unwrap();
    assert_eq!(read(&["203.0.113.9, <x>, 10.0.0.8"]), Some((reached, true)));
    assert_eq!(read(&[]), None);
}

fn read(fields: &[&'static str]) -> Option<(SocketAddr, bool)> {
    let proxy = ProxyOptions {
        trusted: AddressList::parse(&["10.0.0.0/8".to_owned()]).unwrap(),
        header: ProxyHeader::XForwardedFor,
    };
    let mut headers = HeaderMap::new();
    for field in fields {
        headers.append(X_FORWARDED_FOR, HeaderValue::from_static(field));
    }
    let peer = "10.0.0.1:9".parse().unwrap();
    let named = named(&proxy, peer, &headers)?;
    Some((named.client, named.broken))
}
