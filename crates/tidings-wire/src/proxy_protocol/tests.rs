//! Headers as the specification and real proxies write them, and what is none.

use super::*;

/// As HAProxy 2.6 writes it (`send-proxy-v2`).
const V2_TCP4: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\xd8\x94\x11\x30";

#[test]
fn the_client_is_named_by_both_versions() {
    check(
        b"PROXY TCP4 192.0.2.7 127.0.0.1 55444 4400\r\n",
        client("192.0.2.7:55444"),
    );
    // The longest line of the specification.
    check(
        b"PROXY TCP6 ffff:f:f:ffff:ffff:ffff:ffff:ffff ffff::ffff 65535 65535\r\n",
        client("[ffff:f:f:ffff:ffff:ffff:ffff:ffff]:65535"),
    );
    check(V2_TCP4, client("192.0.2.7:55444"));
    let mut v6 = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24".to_vec();
    v6.extend("2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
    v6.extend([0; 16]);
    v6.extend(b"\x00\x50\x01\xbb");
    check(&v6, client("[2001:db8::7]:80"));
}

#[test]
fn fields_after_the_addresses_are_skipped() {
    let mut bytes = V2_TCP4.to_vec();
    // A TLV of the type NOOP.
    bytes.extend(b"\x04\x00\x01\x00");
    bytes[15] += 4;
    check(&bytes, client("192.0.2.7:55444"));
}

#[test]
fn a_health_check_and_an_unknown_client_are_the_proxy_itself() {
    check(b"PROXY UNKNOWN\r\n", Ok(Source::Proxy));
    check(
        b"PROXY UNKNOWN ffff::ffff ffff::ffff 65535 65535\r\n",
        Ok(Source::Proxy),
    );
    check(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00", Ok(Source::Proxy));
    check(b"\r\n\r\n\0\r\nQUIT\n\x21\x00\x00\x00", Ok(Source::Proxy));
    let mut local = V2_TCP4.to_vec();
    local[12] = 0x20;
    check(&local, Ok(Source::Proxy));
}

#[test]
fn a_line_that_is_no_header_is_refused() {
    use ProxyError as Error;
    for (bytes, error) in [
        (&b"GET / HTTP/1.1\r\n"[..], Error::NoHeader),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\xb6\x1c\x14\x2a",
            Error::NoHeader,
        ),
        (b"proxy TCP4 192.0.2.7 127.0.0.1 1 2\r\n", Error::NoHeader),
        (b"PROXY TCP5 192.0.2.7 127.0.0.1 1 2\r\n", Error::LineFamily),
        (b"PROXY \r\n\0\0\0\0\0\0\0\0\0", Error::LineFamily),
        (b"PROXY TCP4 192.0.2.7 ::1 1 2\r\n", Error::LineAddresses),
        (b"PROXY TCP6 192.0.2.7 ::1 1 2\r\n", Error::LineAddresses),
        (
            b"PROXY TCP4 192.0.2.07 127.0.0.1 1 2\r\n",
            Error::LineAddresses,
        ),
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 1\r\n",
            Error::LineAddresses,
        ),
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 1 2 3\r\n",
            Error::LineAddresses,
        ),
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 01 2\r\n",
            Error::LineAddresses,
        ),
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 +1 2\r\n",
            Error::LineAddresses,
        ),
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 65536 2\r\n",
            Error::LineAddresses,
        ),
        (
            b"PROXY TCP4  192.0.2.7 127.0.0.1 1 2\r\n",
            Error::LineAddresses,
        ),
        (b"PROXY TCP4 \xff 127.0.0.1 1 2\r\n", Error::LineAddresses),
        (
            &[b"PROXY UNKNOWN ", &[b'x'; 93][..], b"\r\n"].concat(),
            Error::LineTooLong,
        ),
    ] {
        assert_eq!(read(bytes), Err(error), "{}", bytes.escape_ascii());
    }
    let longest = [b"PROXY UNKNOWN ", &[b'x'; 91][..], b"\r\n"].concat();
    assert_eq!(longest.len(), LINE_BYTES_MAX);
    check(&longest, Ok(Source::Proxy));
}

#[test]
fn a_binary_header_that_breaks_a_rule_is_refused() {
    use ProxyError as Error;
    for (bytes, error) in [
        (
            &b"\r\n\r\n\0\r\nQUIT\n\x11\x11\x00\x00"[..],
            Error::Command(0x11),
        ),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x22\x11\x00\x00",
            Error::Command(0x22),
        ),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x12\x00\x00", Error::Family(0x12)),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x41\x00\x00", Error::Family(0x41)),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0b\0\0\0\0\0\0\0\0\0\0\0",
            Error::TooShort {
                family: 0x11,
                length: 11,
            },
        ),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x0f\xf1",
            Error::TooLong(4097),
        ),
    ] {
        assert_eq!(read(bytes), Err(error), "{}", bytes.escape_ascii());
    }
}

fn client(address: &str) -> Result<Source, ProxyError> {
    Ok(Source::Client(address.parse().unwrap()))
}

/// Reads as the hub does: only bytes that are known to belong to the header. Returns how many were read.
fn read(bytes: &[u8]) -> Result<(Source, usize), ProxyError> {
    let mut known = 0;
    loop {
        match decode(&bytes[..known])? {
            Step::Complete(source) => return Ok((source, known)),
            Step::Needs(more) => {
                assert!(more > 0 && known + more <= bytes.len(), "reads beyond it");
                known += more;
            }
        }
    }
}

/// Checks a header, alone and before a request, and that every part of it is only a beginning.
#[track_caller]
fn check(bytes: &[u8], expected: Result<Source, ProxyError>) {
    let expected = expected.map(|source| (source, bytes.len()));
    assert_eq!(read(bytes), expected);
    assert_eq!(read(&[bytes, b"GET / HTTP/1.1\r\n\r\n"].concat()), expected);
    for len in 0..bytes.len() {
        let step = decode(&bytes[..len]).unwrap();
        assert!(
            matches!(step, Step::Needs(more) if len + more <= bytes.len()),
            "{len}"
        );
    }
}
