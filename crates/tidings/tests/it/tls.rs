//! TLS from certificate files: protocols, streams, renewal while the hub runs.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use rustls::StreamOwned;

use crate::harness::serving::{self, Certificate, serve_tls};
use crate::harness::{DEADLINE, EventStream, HUB_PATH, Request, TestHub, run, wait_until};

const ANONYMOUS: &str = "[subscribe]\nanonymous = true\n";
const RELOADED: &str = "tidings_certificates_reloaded_total";
/// What an HTTP/2 peer begins with: the preface and empty settings (RFC 9113, 3.4).
const HTTP2_BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn publishing_and_streaming_work_over_tls() {
    let (hub, certificate) = serve_tls(ANONYMOUS);
    let mut stream = subscribe(&hub, &certificate);
    let id = publish(&hub, &certificate, "sealed");
    let event = stream.event();
    assert_eq!((event.data.as_str(), event.last_event_id), ("sealed", id));
}

#[test]
fn alpn_chooses_between_http_1_and_http_2() {
    let (hub, certificate) = serve_tls("");
    for (offered, chosen) in [
        (&[&b"h2"[..], b"http/1.1"][..], Some(&b"h2"[..])),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"h2"], Some(b"h2")),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let mut stream = connect(&hub, &certificate, offered);
        assert!(handshake(&mut stream), "{offered:?}");
        assert_eq!(stream.conn.alpn_protocol(), chosen);
        if chosen == Some(b"h2") {
            check_speaks_http2(&mut stream);
        } else {
            stream
                .write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                .unwrap();
            let mut start = [0; 15];
            stream.read_exact(&mut start).unwrap();
            assert_eq!(&start, b"HTTP/1.1 200 OK");
        }
    }
}

#[test]
fn http_2_in_cleartext_needs_no_upgrade() {
    let hub = TestHub::dev();
    let mut stream = TcpStream::connect(hub.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    check_speaks_http2(&mut stream);
}

#[test]
fn a_renewed_certificate_is_for_new_connections_and_open_streams_stay() {
    let (hub, old) = serve_tls(ANONYMOUS);
    let mut stream = subscribe(&hub, &old);
    publish(&hub, &old, "before");
    let new = Certificate::write(hub.folder());
    wait_until("the new certificate is shown", || {
        is_shown(&hub, &new).then_some(())
    });
    assert!(!is_shown(&hub, &old));
    publish(&hub, &new, "after");
    assert_eq!(stream.data(2), ["before", "after"]);
    assert!(hub.metric_for(RELOADED, "ok") >= 1.0);
    assert!(hub.metric("tidings_certificate_expiry_timestamp_seconds") > 1.7e9);
}

#[test]
fn a_bad_new_certificate_leaves_the_old_one_in_use() {
    let (hub, old) = serve_tls(ANONYMOUS);
    let mut stream = subscribe(&hub, &old);
    let failures = |count: f64| {
        wait_until("the failure is counted", || {
            (hub.metric_for(RELOADED, "failed") >= count).then_some(())
        });
    };
    fs::write(hub.folder().join("certificate.pem"), "no certificate").unwrap();
    failures(1.0);
    publish(&hub, &old, "garbage");
    fs::remove_file(hub.folder().join("key.pem")).unwrap();
    failures(2.0);
    publish(&hub, &old, "no file");
    let another = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(hub.folder().join("certificate.pem"), another.cert.pem()).unwrap();
    fs::write(hub.folder().join("key.pem"), wrong_key()).unwrap();
    failures(3.0);
    publish(&hub, &old, "another's key");
    assert_eq!(stream.data(3), ["garbage", "no file", "another's key"]);
    assert!(
        hub.log().contains("keeping the current one"),
        "{}",
        hub.log()
    );
    // And a good one is taken as if nothing had been.
    let new = Certificate::write(hub.folder());
    wait_until("the new certificate is shown", || {
        is_shown(&hub, &new).then_some(())
    });
}

#[test]
fn a_hub_does_not_start_with_a_certificate_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let _certificate = Certificate::write(folder.path());
    let config = serving::toml(Certificate::toml())
        + "[data]\ndir = \"FOLDER/data\"\n[server]\nshards = 1\n";
    let path = folder.path().join("tidings.toml");
    fs::write(
        &path,
        config.replace("FOLDER", folder.path().to_str().unwrap()),
    )
    .unwrap();
    let check = |expected: &str| {
        let (code, _, error) = run(&["serve", "--config", path.to_str().unwrap()], &[]);
        assert_eq!(code, 1, "{error}");
        assert!(
            error.contains(expected) && error.contains(".pem"),
            "{error}"
        );
    };
    fs::write(folder.path().join("key.pem"), wrong_key()).unwrap();
    check("does not belong to the certificate");
    fs::write(folder.path().join("certificate.pem"), "").unwrap();
    check("contains no certificate");
    fs::remove_file(folder.path().join("certificate.pem")).unwrap();
    check("certificate.pem");
}

fn subscribe(hub: &TestHub, certificate: &Certificate) -> EventStream {
    let asked = Request::get(&format!("{HUB_PATH}?match=a"));
    EventStream::open(certificate.open(hub), &asked)
}

fn publish(hub: &TestHub, certificate: &Certificate, data: &str) -> String {
    let request = Request::post(HUB_PATH).bearer(&serving::token());
    let answer = certificate
        .open(hub)
        .request(&request.form(&[("topic", "a"), ("data", data)]));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}

type Tls = StreamOwned<rustls::ClientConnection, TcpStream>;

fn connect(hub: &TestHub, certificate: &Certificate, protocols: &[&[u8]]) -> Tls {
    let socket = TcpStream::connect(hub.address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    StreamOwned::new(certificate.peer_with(protocols), socket)
}

/// Shakes hands; `false` if the hub shows another certificate.
fn handshake(stream: &mut Tls) -> bool {
    stream.conn.complete_io(&mut stream.sock).is_ok() && !stream.conn.is_handshaking()
}

fn is_shown(hub: &TestHub, certificate: &Certificate) -> bool {
    handshake(&mut connect(hub, certificate, &[]))
}

/// The hub's first frame is its settings (RFC 9113, 3.4).
fn check_speaks_http2(stream: &mut (impl Read + Write)) {
    stream.write_all(HTTP2_BEGIN).unwrap();
    stream.flush().unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    assert_eq!((head[3], &head[5..]), (4, &[0, 0, 0, 0][..]), "{head:?}");
}

fn wrong_key() -> String {
    rcgen::KeyPair::generate().unwrap().serialize_pem()
}
