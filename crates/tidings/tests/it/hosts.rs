//! The host that a request names, and the hosts that the hub answers for.
//!
//! RFC 9112, 3.2; RFC 9110, 4.2.3 and 7.2; RFC 9113, 8.3.1.

use std::sync::Arc;

use crate::harness::served::SERVED;
use crate::harness::serving::{Certificate, toml};
use crate::harness::{Answer, Connection, HUB_PATH, Request, TestHub};

const WEBSOCKET: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const WEBSOCKET_OF_2010: &str = "Upgrade: WebSocket\r\nConnection: Upgrade\r\nOrigin: https://hub.test\r\n\
                                 Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
                                 Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n";
/// What names no host, or more than one.
const MALFORMED: [&str; 15] = [
    "",
    "Host:\r\n",
    "Host: \r\n",
    "Host: a\r\nHost: a\r\n",
    "Host: hub.test\r\nHost: evil.example\r\n",
    "Host: a\r\nX: y\r\nHost:\r\n",
    "Host: a b\r\n",
    "Host: a, b\r\n",
    "Host: a/b\r\n",
    "Host: http://a\r\n",
    "Host: someone@a\r\n",
    "Host: a:port\r\n",
    "Host: a:65536\r\n",
    "Host: [::1\r\n",
    "Host: [a]\r\n",
];

#[test]
fn a_request_of_http_1_1_names_one_host_whatever_it_asks_for() {
    let hub = TestHub::serve(&toml(OPEN));
    let targets = [
        ("GET / ", ""),
        ("GET /.well-known/mercure?match=a ", ""),
        ("POST /.well-known/mercure ", "Content-Length: 0\r\n"),
        ("OPTIONS /.well-known/mercure ", ""),
        ("GET /.well-known/mercure?match=a ", WEBSOCKET),
        ("GET /ws/chat ", WEBSOCKET_OF_2010),
        ("GET /sockjs/info ", ""),
        ("GET /sockjs/websocket ", WEBSOCKET),
        ("POST /sockjs/0/a/xhr ", "Content-Length: 0\r\n"),
        ("GET /health/live ", ""),
        ("GET /nothing ", ""),
    ];
    for (line, more) in targets {
        for host in MALFORMED {
            let answer = send(&hub, &format!("{line}HTTP/1.1\r\n{host}{more}\r\n"));
            assert_eq!(
                (answer.status, answer.problem().as_str()),
                (400, "host-invalid"),
                "{line}{host:?}"
            );
        }
    }
    let admin = hub.admin.unwrap();
    let mut connection = Connection::open(admin);
    connection.send(b"GET /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(connection.read_answer(false).problem(), "host-invalid");
    for host in [
        "a",
        "A.Example.",
        "a:",
        "a:8080",
        "10.0.0.1",
        "[::1]",
        "[::1]:80",
        "a_b",
        "%41",
    ] {
        let answer = send(&hub, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(answer.status, 200, "{host}");
    }
    assert!(
        hub.refused_raw(b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n")
            .status
            == 400
    );
}

#[test]
fn one_of_http_1_0_may_name_none_but_not_two() {
    let hub = TestHub::serve(&toml(OPEN));
    for host in ["", "Host:\r\n", "Host: a\r\n"] {
        let answer = send(&hub, &format!("GET / HTTP/1.0\r\n{host}\r\n"));
        assert_eq!(answer.status, 200, "{host:?}");
    }
    for host in ["Host: a\r\nHost: a\r\n", "Host: a b\r\n"] {
        let answer = send(&hub, &format!("GET / HTTP/1.0\r\n{host}\r\n"));
        assert_eq!(answer.status, 400, "{host:?}");
    }
    let named = named(&["hub.test"]);
    let answer = send(&named, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(
        (answer.status, answer.problem().as_str()),
        (421, "misdirected")
    );
}

#[test]
fn the_target_of_a_request_names_its_host_before_the_field_does() {
    let hub = named(&["hub.test"]);
    let status = |target: &str, host: &str| {
        let head = format!("GET {target}?match=a HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        send_head(&hub, &head).status
    };
    let evil = "Host: evil.example\r\n";
    let good = "Host: hub.test\r\n";
    assert_eq!(status("http://hub.test/.well-known/mercure", good), 200);
    assert_eq!(status("http://HUB.test:80/.well-known/mercure", good), 200);
    // RFC 9112, 3.2.2: the field is then ignored.
    assert_eq!(status("http://hub.test/.well-known/mercure", evil), 200);
    assert_eq!(status("http://evil.example/.well-known/mercure", good), 421);
    // But it has to be there, and to be one.
    assert_eq!(status("http://hub.test/.well-known/mercure", ""), 400);
    let both = format!("{good}{evil}");
    assert_eq!(status("http://hub.test/.well-known/mercure", &both), 400);
    assert_eq!(status("http://a@hub.test/.well-known/mercure", good), 400);
}

#[test]
fn a_default_port_case_and_a_last_dot_make_no_difference() {
    let hub = named(&[
        "Hub.test",
        "other.test:8443",
        "[2001:DB8::1]",
        "plain.test:443",
    ]);
    let status = |host: &str| {
        let path = format!("{HUB_PATH}?match=a");
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        send_head(&hub, &head).status
    };
    for host in [
        "hub.test",
        "HUB.TEST",
        "hub.test.",
        "hub.test:443",
        "hub.test:",
        "hub.test.:443",
        "other.test:8443",
        "[2001:db8::1]",
        "[2001:db8:0:0:0:0:0:1]:443",
        "plain.test",
        "plain.test:443",
    ] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in [
        "hub.test:444",
        "hub.test:8443",
        "other.test",
        "other.test:443",
        "hub.test..",
        "xhub.test",
        "hub.test.evil.example",
        "2001:db8::1",
        "[2001:db8::2]",
        "%68ub.test",
    ] {
        let expected = if host.starts_with("2001") { 400 } else { 421 };
        assert_eq!(status(host), expected, "{host}");
    }
}

#[test]
fn probes_ask_for_health_by_whatever_name() {
    let hub = named(&["hub.test"]);
    for path in ["/health/live", "/health/ready"] {
        for head in [
            format!("GET {path} HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n\r\n"),
            format!("GET {path} HTTP/1.1\r\nHost: hub.test\r\n\r\n"),
            format!("GET {path} HTTP/1.0\r\n\r\n"),
        ] {
            assert_eq!(send(&hub, &head).status, 200, "{head}");
        }
    }
    // Nothing else is.
    let answer = send(&hub, "GET /health HTTP/1.1\r\nHost: 10.0.0.1:8080\r\n\r\n");
    assert_eq!(answer.status, 421);
    let dev = TestHub::dev();
    for path in ["/health/live", "/healthz"] {
        let request = Request::get(path).header("Host", "10.0.0.1");
        assert_eq!(dev.request(request).status, 200);
    }
}

#[test]
fn a_developers_hub_gives_tokens_to_no_other_name() {
    let hub = TestHub::dev();
    let port = hub.address.port();
    for path in ["/settings.json", "/dev/token"] {
        for host in [
            String::new(),
            "Host:\r\n".to_owned(),
            "Host: evil.example\r\n".to_owned(),
            format!("Host: localhost:{port}\r\nHost: evil.example\r\n"),
            format!("Host: evil.example\r\nHost: localhost:{port}\r\n"),
            format!("Host: localhost.evil.example:{port}\r\n"),
            format!("Host: evil.example@localhost:{port}\r\n"),
        ] {
            for version in ["1.0", "1.1"] {
                let head = format!("GET {path} HTTP/{version}\r\n{host}\r\n");
                let answer = send(&hub, &head);
                assert!([400, 421].contains(&answer.status), "{head}: {answer:?}");
                assert!(!answer.text().contains("eyJ"), "{head}");
            }
        }
    }
    let head = format!("GET /settings.json HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    assert!(send(&hub, &head).text().contains("eyJ"));
}

#[test]
fn over_http_2_the_authority_and_the_field_name_the_same_host() {
    let hub = named(&["hub.test"]);
    for (fields, status) in [
        (&[(":authority", "hub.test")][..], Some(200)),
        (&[(":authority", "hub.test:443")], Some(200)),
        (&[("host", "hub.test")], Some(200)),
        (
            &[(":authority", "hub.test"), ("host", "HUB.test:443")],
            Some(200),
        ),
        (&[], Some(400)),
        (
            &[(":authority", "hub.test"), ("host", "evil.example")],
            Some(400),
        ),
        (
            &[(":authority", "evil.example"), ("host", "hub.test")],
            Some(400),
        ),
        (&[("host", "hub.test"), ("host", "hub.test")], Some(400)),
        (&[("host", "a b")], Some(400)),
        // 421 is in no table of HPACK.
        (&[(":authority", "evil.example")], None),
        (&[("host", "evil.example")], None),
    ] {
        assert_eq!(http2_status(&hub, fields), status, "{fields:?}");
    }
}

#[test]
fn under_tls_the_default_port_is_443() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let certificate = Certificate::write(folder.path());
    let text = format!("{}{}", with_hosts(&["hub.test"]), Certificate::toml());
    let hub = TestHub::serve_in(folder, &text, &[]);
    let status = |host: &str| {
        let request = Request::new("HEAD", "/").header("Host", host);
        certificate.open(&hub).request(&request).status
    };
    assert_eq!(status("hub.test:443"), 200);
    assert_eq!(status("hub.test:80"), 421);
}

const OPEN: &str = "[subscribe]\nanonymous = true\n[sockjs]\nenabled = true\n\
                    [rooms]\naccess = \"anonymous\"\ntopics = [\"*\"]\n";

/// Starts a hub that answers as these hosts.
fn named(hosts: &[&str]) -> TestHub {
    let text = with_hosts(hosts);
    TestHub::serve(&format!("{text}[subscribe]\nanonymous = true\n"))
}

fn with_hosts(hosts: &[&str]) -> String {
    SERVED.replacen("[hub]\n", &format!("[hub]\nhosts = {hosts:?}\n"), 1)
}

/// Sends a head as it is and reads the whole answer.
#[track_caller]
fn send(hub: &TestHub, head: &str) -> Answer {
    hub.refused_raw(head.as_bytes())
}

/// The same for an answer that may be a stream.
fn send_head(hub: &TestHub, head: &str) -> Answer {
    let mut connection = Connection::open(hub.address);
    connection.send(head.as_bytes());
    connection.read_head()
}

impl TestHub {
    fn refused_raw(&self, head: &[u8]) -> Answer {
        let mut connection = Connection::open(self.address);
        connection.send(head);
        connection.read_answer(false)
    }
}

/// Asks for `/` over HTTP/2 with these fields beside `:method`, `:scheme` and `:path`. Returns the
/// status if it stands in HPACK's static table.
fn http2_status(hub: &TestHub, fields: &[(&str, &str)]) -> Option<u16> {
    // `:method: GET`, `:scheme: http`, `:path: /`.
    let mut block = vec![0x82, 0x86, 0x84];
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // HEADERS with END_STREAM and END_HEADERS on stream 1; RFC 9113, 6.2.
    request.extend([0, 0, u8::try_from(block.len()).unwrap(), 1, 5, 0, 0, 0, 1]);
    request.extend(block);
    let mut connection = Connection::open(hub.address);
    connection.send(&request);
    loop {
        let head = connection.read_exactly(9);
        let length = usize::from(head[1]) << 8 | usize::from(head[2]);
        let payload = connection.read_exactly(length);
        if head[3] == 1 {
            // Sizes of the dynamic table may come first; RFC 7541, 6.3.
            let first = payload.iter().find(|byte| **byte >> 5 != 1).unwrap();
            return match first {
                0x88 => Some(200),
                0x8c => Some(400),
                _ => None,
            };
        }
    }
}
