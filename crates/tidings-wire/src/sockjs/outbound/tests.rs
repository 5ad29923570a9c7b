//! Frames and the framing of each transport, byte for byte as in the protocol.

use super::*;

fn framing(transport: Transport) -> Framing {
    Framing::new(transport, Some("callback")).expect("a framing")
}

#[test]
fn frames() {
    let texts = [Text::from("x"), Text::from("\u{2028}\"")];
    assert_eq!(text_frame(&texts), r#"a["x","\u2028\""]"#);
    assert_eq!(text_frame([]), "a[]");
    assert_eq!(unicode_frame("x"), r#"a["x"]"#);
    assert_eq!(close_frame(3000, "Go away!"), r#"c[3000,"Go away!"]"#);
}

#[test]
fn wraps() {
    let wrap = |transport| framing(transport).wrap("a[\"x\"]");
    assert_eq!(wrap(Transport::WebSocket), "a[\"x\"]");
    assert_eq!(wrap(Transport::Xhr), "a[\"x\"]\n");
    assert_eq!(wrap(Transport::XhrStreaming), "a[\"x\"]\n");
    assert_eq!(wrap(Transport::EventSource), "data: a[\"x\"]\r\n\r\n");
    assert_eq!(
        wrap(Transport::HtmlFile),
        "<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n"
    );
    assert_eq!(
        wrap(Transport::Jsonp),
        "/**/callback(\"a[\\\"x\\\"]\");\r\n"
    );
}

/// sockjs-client applies `decodeURI` to the data of each event, and to nothing else.
#[test]
fn only_event_streams_escape_percent_signs() {
    let frame = text_frame(&[Text::from("100%"), Text::from("%25\n"), Text::from("é%20")]);
    assert_eq!(frame, r#"a["100%","%25\n","é%20"]"#);
    let wrap = |transport| framing(transport).wrap(&frame);
    assert_eq!(
        wrap(Transport::EventSource),
        "data: a[\"100%25\",\"%2525\\n\",\"é%2520\"]\r\n\r\n"
    );
    assert_eq!(
        framing(Transport::EventSource).wrap(&close_frame(4000, "5% left")),
        "data: c[4000,\"5%25 left\"]\r\n\r\n"
    );
    assert_eq!(wrap(Transport::WebSocket), frame);
    for transport in [Transport::Xhr, Transport::XhrStreaming] {
        assert_eq!(wrap(transport), format!("{frame}\n"));
    }
    let script = r#""a[\"100%\",\"%25\\n\",\"é%20\"]""#;
    assert_eq!(
        wrap(Transport::HtmlFile),
        format!("<script>\np({script});\n</script>\r\n")
    );
    assert_eq!(
        wrap(Transport::Jsonp),
        format!("/**/callback({script});\r\n")
    );
}

#[test]
fn preludes() {
    let prelude = framing(Transport::XhrStreaming).prelude();
    assert_eq!(prelude.len(), 2049);
    assert!(prelude.starts_with(b"hh") && prelude.ends_with(b"h\n"));
    assert_eq!(framing(Transport::EventSource).prelude(), "\r\n");
    assert_eq!(framing(Transport::Xhr).prelude(), "");
    let page = framing(Transport::HtmlFile).prelude();
    let page = std::str::from_utf8(&page).expect("text");
    assert!(
        page.trim_end().len() < 1024 && page.len() > 1024,
        "{}",
        page.len()
    );
    assert!(page.contains("var c = parent.callback;"), "{page}");
}

#[test]
fn a_text_cannot_end_the_script_around_it() {
    let wrap = framing(Transport::HtmlFile).wrap(&unicode_frame("</script><script>alert(1)"));
    let wrap = std::str::from_utf8(&wrap).expect("text");
    assert_eq!(wrap.matches("</script>").count(), 1, "{wrap}");
    assert!(wrap.ends_with("</script>\r\n"));
}

#[test]
fn only_plain_names_are_functions() {
    for transport in [Transport::HtmlFile, Transport::Jsonp] {
        for none in [None, Some("")] {
            assert_eq!(Framing::new(transport, none), Err(CallbackError::Missing));
        }
        for name in [
            "a(",
            "a b",
            "alert<",
            "é",
            "a%20",
            "%63allback",
            "a;b",
            &"a".repeat(200),
        ] {
            assert_eq!(
                Framing::new(transport, Some(name)),
                Err(CallbackError::Invalid),
                "{name}"
            );
        }
        assert!(Framing::new(transport, Some("_sockjs.cb-1.A")).is_ok());
    }
}

#[test]
fn frames_are_joined_to_one() {
    let join = |frames: &[&str]| joined_frame(frames.iter().copied());
    assert_eq!(join(&[]), None);
    assert_eq!(join(&["h"]).as_deref(), Some("h"));
    assert_eq!(join(&["h", "h"]).as_deref(), Some("h"));
    assert_eq!(join(&["h", "a[\"1\"]", "h"]).as_deref(), Some("a[\"1\"]"));
    assert_eq!(
        join(&["a[\"1\",\"2\"]", "h", "a[\"]\"]"]).as_deref(),
        Some("a[\"1\",\"2\",\"]\"]")
    );
}
