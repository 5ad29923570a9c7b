//! The texts of SockJS on the wire, byte for byte: each framing has its own escapes, and every sockjs-client
//! decodes exactly those. In `conformance/browser` the real clients read the same texts.

use crate::harness::peer::{Peer, handshake};
use crate::harness::{Connection, Request, TestServer, new_session};

/// Texts as `xhr_send` takes them, and as JSON.stringify writes them with what SockJS escapes beside.
const ODD: [(&str, &str); 12] = [
    (r#""""#, r#""""#),
    (r#""100%""#, r#""100%""#),
    (
        r#""%25 %20 %2520 %u0041 %e9 %""#,
        r#""%25 %20 %2520 %u0041 %e9 %""#,
    ),
    (
        r#""\n\r\t\b\f\u0000\u001f\u000a""#,
        r#""\n\r\t\b\f\u0000\u001f\n""#,
    ),
    (r#""\"\\\/\\n\\u2028""#, r#""\"\\/\\n\\u2028""#),
    ("\"\u{2028}\u{2029}\"", r#""\u2028\u2029""#),
    (
        r#""\u2028\u200c\u2060\ufff0""#,
        r#""\u2028\u200c\u2060\ufff0""#,
    ),
    (
        r#""\ufffd\ufffe\uffff\ufeff""#,
        "\"\\ufffd\\ufffe\\uffff\u{feff}\"",
    ),
    (r#""\u0085\u007f\u00ad é€""#, "\"\u{85}\u{7f}\u{ad} é€\""),
    (r#""\ud83d\ude00 😀""#, "\"😀 😀\""),
    (
        r#""\ud83d \ude00 \udfff\ud800""#,
        r#""\ud83d \ude00 \udfff\ud800""#,
    ),
    (
        r#""</script><!--<script>]]>""#,
        r#""</script><!--<script>]]>""#,
    ),
];

#[test]
fn odd_texts_go_out_as_each_framing_writes_them() {
    let server = TestServer::start();
    let sent: Vec<&str> = ODD.iter().map(|(sent, _)| *sent).collect();
    let frames: Vec<String> = ODD.iter().map(|(_, wire)| format!("a[{wire}]")).collect();

    let polled = new_session("/echo");
    assert_eq!(post(&server, &format!("{polled}/xhr"), ""), "o\n");
    for (text, frame) in sent.iter().zip(&frames) {
        assert_eq!(
            post(&server, &format!("{polled}/xhr_send"), &format!("[{text}]")),
            ""
        );
        assert_eq!(
            post(&server, &format!("{polled}/xhr"), ""),
            format!("{frame}\n")
        );
    }

    let scripted = new_session("/echo");
    let jsonp = || {
        let target = format!("{scripted}/jsonp?c=f");
        server.request(Request::get(&target)).text()
    };
    assert_eq!(jsonp(), "/**/f(\"o\");\r\n");
    for (text, frame) in sent.iter().zip(&frames) {
        let request = Request::post(&format!("{scripted}/jsonp_send"));
        let answer = server.request(request.form(&[("d", &format!("[{text}]"))]));
        assert_eq!(answer.text(), "ok");
        assert_eq!(jsonp(), format!("/**/f({});\r\n", in_script(frame)));
    }

    let mut peer = Peer::open(
        server.address,
        &handshake(&format!("{}/websocket", new_session("/echo"))),
    );
    assert_eq!(peer.text(), "o");
    for (text, frame) in sent.iter().zip(&frames) {
        peer.send(&format!("[{text}]"));
        assert_eq!(peer.text(), *frame);
    }

    check_stream(&server, Request::post, "xhr_streaming", |frame| {
        format!("{frame}\n")
    });
    check_stream(&server, Request::get, "eventsource", |frame| {
        format!("data: {}\r\n\r\n", frame.replace('%', "%25"))
    });
    check_stream(&server, Request::get, "htmlfile?c=f", |frame| {
        format!("<script>\np({});\n</script>\r\n", in_script(frame))
    });
}

/// The service that sockjs-client's own tests ask for long texts.
#[test]
fn amplify_answers_a_number_by_a_text_of_that_power_of_two() {
    let server = TestServer::start();
    let session = new_session("/amplify");
    assert_eq!(post(&server, &format!("{session}/xhr"), ""), "o\n");
    let mut framed = Peer::open(
        server.address,
        &handshake(&format!("{}/websocket", new_session("/amplify"))),
    );
    assert_eq!(framed.text(), "o");
    let mut raw = Peer::open(server.address, &handshake("/amplify/websocket"));
    for (asked, power) in [
        ("1", 1),
        ("2", 2),
        (" 4 ", 4),
        ("8", 8),
        ("13", 13),
        ("15", 15),
        ("18", 18),
        ("19", 1),
        ("0", 1),
        ("-1", 1),
        ("what", 1),
        ("", 1),
    ] {
        let text = "x".repeat(1 << power);
        let body = format!("[\"{asked}\"]");
        assert_eq!(post(&server, &format!("{session}/xhr_send"), &body), "");
        let polled = post(&server, &format!("{session}/xhr"), "");
        assert!(
            polled == format!("a[\"{text}\"]\n"),
            "{asked}: {}",
            polled.len()
        );
        framed.send(&body);
        assert!(framed.text() == format!("a[\"{text}\"]"), "{asked}");
        raw.send(asked);
        assert!(raw.text() == text, "{asked}");
    }
}

#[track_caller]
fn post(server: &TestServer, target: &str, body: &str) -> String {
    let answer = server.request(Request::post(target).body(body));
    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
    answer.text()
}

/// Returns a frame as a string of a script.
fn in_script(frame: &str) -> String {
    let escaped = frame.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", escaped.replace('<', "\\u003c"))
}

#[track_caller]
fn check_stream(
    server: &TestServer,
    request: fn(&str) -> Request,
    transport: &str,
    cover: impl Fn(&str) -> String,
) {
    let session = new_session("/echo");
    let mut connection = stream(server, &request(&format!("{session}/{transport}")));
    assert_eq!(chunks(&mut connection, 2)[1], cover("o"));
    for (sent, wire) in ODD {
        assert_eq!(
            post(server, &format!("{session}/xhr_send"), &format!("[{sent}]")),
            ""
        );
        assert_eq!(chunks(&mut connection, 1), [cover(&format!("a[{wire}]"))]);
    }
}

/// Begins an answer that goes on; the head is read.
#[track_caller]
fn stream(server: &TestServer, request: &Request) -> Connection {
    let mut connection = Connection::open(server.address);
    connection.send_request(request);
    assert_eq!(connection.read_head().status, 200);
    connection
}

#[track_caller]
fn chunks(connection: &mut Connection, count: usize) -> Vec<String> {
    let mut chunk = || connection.read_chunk().expect("a chunk");
    (0..count)
        .map(|_| String::from_utf8(chunk()).expect("UTF-8"))
        .collect()
}
