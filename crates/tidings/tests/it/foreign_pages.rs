//! What pages of other sites can make a visitor's browser do. Each URL that acts on what a browser sends
//! by itself, or on the network of the visitor's machine, checks which page asks.

use tidings_wire::sse_decoder::Event;

use crate::harness::sockjs::new_session;
use crate::harness::tokens::{settings, token_for_all};
use crate::harness::{Answer, HUB_PATH, Request, TestHub, run};

const OWN: &str = "https://hub.example.com";
const NAMED: &str = "https://app.example.com";
const FOREIGN: &str = "https://evil.example";

#[test]
fn the_chat_takes_nothing_from_pages_of_other_sites() {
    let hub = TestHub::serve(&settings(
        "[pages]\nchat = true\n[subscribe]\nanonymous = true\n\
         [publish]\norigins = [\"https://app.example.com\", \"*\", \"null\"]\n",
    ));
    let mut stream = hub.subscribe_by(Request::get("/event/fetch"));
    for (fields, status) in [
        (&[("Origin", OWN)][..], 200),
        (&[("Origin", NAMED)], 200),
        (&[("Sec-Fetch-Site", "same-origin")], 200),
        (&[("Referer", "https://hub.example.com/chat/")], 200),
        // No page: a program.
        (&[], 200),
        (&[("Origin", FOREIGN)], 403),
        (&[("Origin", "null")], 403),
        (&[("Origin", "")], 403),
        (
            &[("Origin", FOREIGN), ("Sec-Fetch-Site", "cross-site")],
            403,
        ),
        (
            &[("Origin", FOREIGN), ("Referer", "https://hub.example.com/")],
            403,
        ),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Sec-Fetch-Site", "same-site")], 403),
        (&[("Referer", "https://evil.example/x")], 403),
        (&[("Referer", "nonsense")], 403),
    ] {
        let answer = say(&hub, fields, &format!("{status}"));
        assert_eq!(answer.status, status, "{fields:?}: {}", answer.text());
        if status == 403 {
            assert_eq!(answer.problem(), "origin-refused");
        }
    }
    for _ in 0..5 {
        assert_eq!(text_of(&stream.event()), "200");
    }
    say(&hub, &[], "last");
    assert_eq!(text_of(&stream.event()), "last");
}

#[test]
fn a_developers_chat_is_for_its_own_pages_and_those_of_the_developer() {
    let hub = TestHub::dev_with(&["--origin", "http://localhost:3000"]);
    let port = hub.address.port();
    for name in ["localhost", "127.0.0.1", "[::1]"] {
        let own = format!("http://{name}:{port}");
        assert_eq!(say(&hub, &[("Origin", &own)], "x").status, 200, "{own}");
    }
    let status = |origin: &str| say(&hub, &[("Origin", origin)], "x").status;
    assert_eq!(status("http://localhost:3000"), 200);
    assert_eq!(status("http://localhost:3001"), 403);
    assert_eq!(status(FOREIGN), 403);
}

#[test]
fn a_developers_tokens_are_for_its_own_pages() {
    let hub = TestHub::dev();
    let own = format!("http://127.0.0.1:{}", hub.address.port());
    let referer = format!("{own}/chat/");
    for (fields, status) in [
        (&[][..], 200),
        (&[("Origin", own.as_str())], 200),
        (&[("Sec-Fetch-Site", "same-origin")], 200),
        // Typed into the address bar.
        (&[("Sec-Fetch-Site", "none")], 200),
        (&[("Referer", referer.as_str())], 200),
        (&[("Origin", FOREIGN)], 403),
        (&[("Origin", "null")], 403),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        // Another port of this machine.
        (&[("Sec-Fetch-Site", "same-site")], 403),
        (&[("Referer", "https://evil.example/")], 403),
    ] {
        let make = Request::post("/dev/token")
            .header("Content-Type", "application/json")
            .body("{}");
        for request in [Request::get("/settings.json"), make] {
            let answer = hub.request(with(request, fields));
            assert_eq!(answer.status, status, "{fields:?}");
            assert_eq!(answer.text().contains("eyJ"), status == 200);
        }
    }
}

/// A script of a page that sends no `Referer` is such a request.
#[test]
fn a_page_that_hides_its_origin_is_none_of_those_that_may() {
    let hub = TestHub::serve(&settings(
        "[subscribe]\nanonymous = true\n[sockjs]\nenabled = true\n\
         [rooms]\naccess = \"anonymous\"\ntopics = [\"*\"]\n",
    ));
    for base in ["/sockjs", "/sockjs/room/chat"] {
        let status = |fields: &[(&str, &str)]| {
            let target = format!("{}/jsonp?c=f", new_session(base));
            hub.request(with(Request::get(&target), fields)).status
        };
        assert_eq!(status(&[]), 200);
        assert_eq!(status(&[("Sec-Fetch-Site", "same-origin")]), 200);
        assert_eq!(status(&[("Sec-Fetch-Site", "cross-site")]), 403, "{base}");
        assert_eq!(status(&[("Sec-Fetch-Site", "same-site")]), 403, "{base}");
        assert_eq!(status(&[("Referer", "about:blank")]), 403, "{base}");
    }
}

#[test]
fn sockjs_allows_credentials_to_named_pages_alone() {
    let hub = TestHub::serve(&settings(
        "[subscribe]\nanonymous = true\n[sockjs]\nenabled = true\n\
         [cors]\norigins = [\"*\", \"null\", \"https://app.example.com\"]\n\
         [rooms]\naccess = \"anonymous\"\ntopics = [\"*\"]\norigins = [\"*\"]\n\
         [publish]\norigins = [\"https://pages.example.com\"]\n",
    ));
    for (base, named) in [
        ("/sockjs", &[NAMED, OWN, "https://pages.example.com"][..]),
        ("/sockjs/room/chat", &[OWN, "https://pages.example.com"]),
    ] {
        let requests = || {
            let session = new_session(base);
            [
                Request::get(&format!("{base}/info")),
                Request::new("OPTIONS", &format!("{base}/info")),
                Request::post(&format!("{session}/xhr")),
                Request::new("OPTIONS", &format!("{session}/xhr")),
                Request::get(base),
            ]
        };
        // A new session each time: a second request of one would wait for its heartbeat.
        for origin in named {
            for request in requests() {
                let answer = hub.request(request.clone().header("Origin", origin));
                assert_eq!(
                    allowed(&answer),
                    (Some(*origin), Some("true")),
                    "{request:?}"
                );
            }
        }
        for origin in [FOREIGN, "null"] {
            for request in requests() {
                let answer = hub.request(request.clone().header("Origin", origin));
                assert_eq!(allowed(&answer), (Some(origin), None), "{request:?}");
            }
        }
    }
}

#[test]
fn a_list_that_lets_every_page_publish_is_warned_of() {
    for (entry, warned) in [("*", true), ("null", true), (NAMED, false)] {
        let text = settings(&format!(
            "[publish]\norigins = [{entry:?}]\n[[listen]]\naddress = \"127.0.0.1:0\"\n"
        ));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidings.toml");
        std::fs::write(&path, &text).unwrap();
        let path = path.display().to_string();
        let (code, output, errors) = run(&["config", "check", "--config", &path], &[]);
        assert_eq!((code, output.as_str()), (0, "ok\n"), "{errors}");
        let said = |text: &str| text.contains("publish.origins") && text.contains(entry);
        assert_eq!(said(&errors), warned, "{entry}: {errors}");
        let hub = TestHub::serve(&text);
        assert_eq!(said(&hub.log()), warned, "{entry}: {}", hub.log());
        // It is allowed all the same.
        let request = Request::post(HUB_PATH)
            .header(
                "Cookie",
                &format!("__Secure-mercure_access_token={}", token_for_all()),
            )
            .header("Origin", if entry == "*" { FOREIGN } else { entry })
            .form(&[("topic", "a")]);
        assert_eq!(hub.request(request).status, 200);
    }
}

fn text_of(event: &Event) -> String {
    let said: serde_json::Value = serde_json::from_str(&event.data).expect("JSON");
    said["text"].as_str().expect("a text").to_owned()
}

fn say(hub: &TestHub, fields: &[(&str, &str)], text: &str) -> Answer {
    let request = Request::post("/message/broadcast").form(&[("from", "x"), ("text", text)]);
    hub.request(with(request, fields))
}

fn with(mut request: Request, fields: &[(&str, &str)]) -> Request {
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request
}

fn allowed(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (
        answer.header("access-control-allow-origin"),
        answer.header("access-control-allow-credentials"),
    )
}
