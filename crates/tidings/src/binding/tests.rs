//! Which address is listened at, and what a refusal is called.

use super::*;

/// Refuses IPv6 as a kernel that does not know it, or on which it is switched off.
fn without_ipv6(errno: Errno) -> impl Fn(SocketAddr) -> io::Result<SocketAddr> {
    move |address| match address {
        SocketAddr::V4(_) => Ok(address),
        SocketAddr::V6(_) => Err(errno.into()),
    }
}

#[test]
fn without_ipv6_every_ipv4_address_takes_the_place_of_every_address() {
    for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
        let opened = open("[::]:80".parse().unwrap(), without_ipv6(errno));
        assert_eq!(opened.unwrap(), "0.0.0.0:80".parse().unwrap());
        let refused = open("[::1]:80".parse().unwrap(), without_ipv6(errno)).unwrap_err();
        let text = refused.to_string();
        assert!(text.starts_with("cannot listen on [::1]:80; "), "{text}");
        assert!(text.contains("IPv6") && !text.contains("program"), "{text}");
    }
}

#[test]
fn a_refusal_is_told_by_its_own_cause() {
    for (errno, address, expected) in [
        (
            Errno::ADDRINUSE,
            "[::]:80",
            "; is another program using this port?",
        ),
        (Errno::ACCESS, "0.0.0.0:80", "; ports below 1024 need root"),
        (
            Errno::ADDRNOTAVAIL,
            "192.0.2.1:80",
            "; no interface of this machine has",
        ),
        (Errno::NOMEM, "[::]:80", ""),
    ] {
        let refused = open::<()>(address.parse().unwrap(), |_| Err(errno.into()));
        let text = refused.unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("cannot listen on {address}{expected}")),
            "{text}"
        );
    }
}
