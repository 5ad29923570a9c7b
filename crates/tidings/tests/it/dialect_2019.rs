//! Mercure 2019 at its own path, as the hub of the article answered; docs/reference/dialects.md lists
//! the rows.

use std::sync::Arc;

use serde_json::json;

use crate::harness::dialects::{
    PATH_2019, all_dialects, hub, old_token, old_token_with, publish_at, subscribe_at,
};
use crate::harness::tokens::{now_secs, settings, sign, token_for_all};
use crate::harness::{Answer, Connection, HUB_PATH, Request, TestHub, run};

const SCORE: &str = "http://localhost/score/1";
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
/// The article's own key: 28 bytes, less than what 1.0 takes.
const ARTICLES_KEY: &str = "clef-privee-2-romaric-net1nf";

#[test]
fn the_articles_short_key_works_and_is_warned_of() {
    let more = format!(
        "[hub]\npublic_url = \"http://localhost/.well-known/mercure\"\n[subscribe]\nanonymous = true\n\
         [cors]\norigins = [\"*\"]\n[dialects]\nv2019 = true\n\
         [[auth.issuers]]\nkey = \"{ARTICLES_KEY}\"\ndialects = [\"2019\"]\n"
    );
    let hub = TestHub::serve(&more);
    let mut stream = subscribe_at(&hub, PATH_2019, &format!("topic={SCORE}"), None);
    for alg in ["HS256", "HS384", "HS512"] {
        let claims = json!({"mercure": {"publish": []}});
        let token = hmac_token(alg, ARTICLES_KEY, &claims);
        let form = [("topic", SCORE), ("data", "{\"home\":1}")];
        let answer = publish_at(&hub, PATH_2019, &token, &form);
        assert_eq!(answer.status, 200, "{alg}: {}", answer.text());
        let event = stream.event();
        assert_eq!(
            (event.data.as_str(), event.last_event_id),
            ("{\"home\":1}", answer.text())
        );
    }
    assert!(hub.log().contains("needs at least 32"), "{}", hub.log());
    // The same key is good for nothing else: 1.0 has none here.
    let modern = sign(
        ARTICLES_KEY,
        &json!({"alg": "HS256", "typ": "at+jwt"}),
        &json!({"iss": ""}),
    );
    assert_eq!(
        publish_at(&hub, HUB_PATH, &modern, &[("topic", SCORE)]).status,
        401
    );
}

#[test]
fn a_short_key_is_for_old_dialects_alone() {
    for dialects in ["[\"1.0\"]", "[\"1.0\", \"2019\"]"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidings.toml");
        let toml = settings(&format!(
            "[dialects]\nv2019 = true\n[[auth.issuers]]\nissuer = \"x\"\nkey = \"{ARTICLES_KEY}\"\n\
             dialects = {dialects}\n[[listen]]\naddress = \"127.0.0.1:0\"\n"
        ));
        std::fs::write(&path, toml).unwrap();
        let (code, _, error) = run(
            &["config", "check", "--config", path.to_str().unwrap()],
            &[],
        );
        assert_eq!(code, 2, "{error}");
        assert!(error.contains("needs at least 32"), "{error}");
    }
}

#[test]
fn without_anonymous_subscribers_a_token_is_needed_and_a_wrong_one_never_passes() {
    let closed = TestHub::serve(&all_dialects(""));
    let open = hub();
    let get = || Request::new("HEAD", &format!("{PATH_2019}?topic=a"));
    let good = old_token(json!({"subscribe": []}));
    assert_eq!(closed.request(get()).status, 401);
    assert_eq!(closed.request(get().bearer(&good)).status, 200);
    assert_eq!(open.request(get()).status, 200);
    for hub in [&closed, &open] {
        let wrong = Request::get(&format!("{PATH_2019}?topic=a")).bearer("x.y.z");
        check_text(&hub.request(wrong), 401, "Unauthorized\n");
        let other_key = sign(
            "another key",
            &json!({"alg": "HS256"}),
            &json!({"mercure": {}}),
        );
        assert_eq!(hub.request(get().bearer(&other_key)).status, 401);
        let early = old_token_with(&json!({"mercure": {}, "iat": now_secs() + 600}));
        assert_eq!(hub.request(get().bearer(&early)).status, 401);
        // A token of 1.0 means nothing here.
        assert_eq!(hub.request(get().bearer(&token_for_all())).status, 401);
    }
    let cookie = format!("mercureAuthorization={good}");
    assert_eq!(closed.request(get().header("Cookie", &cookie)).status, 200);
    let by_query = Request::new("HEAD", &format!("{PATH_2019}?topic=a&authorization={good}"));
    assert_eq!(closed.request(by_query).status, 401);
}

#[test]
fn a_token_without_the_claim_receives_what_is_public() {
    let hub = TestHub::serve(&all_dialects(""));
    let publisher = old_token(json!({"publish": ["*"]}));
    for claims in [json!({}), json!({"mercure": null})] {
        let token = old_token_with(&claims);
        let mut stream = subscribe_at(&hub, PATH_2019, &format!("topic={SCORE}"), Some(&token));
        let targeted = [("topic", SCORE), ("data", "secret"), ("target", "foo")];
        let public = [("topic", SCORE), ("data", "open")];
        for form in [&targeted[..], &public[..]] {
            assert_eq!(publish_at(&hub, PATH_2019, &publisher, form).status, 200);
        }
        assert_eq!(stream.data(1), ["open"], "{claims}");
        let refused = publish_at(&hub, PATH_2019, &token, &public);
        check_text(&refused, 401, "Unauthorized\n");
    }
}

#[test]
fn another_scheme_is_refused_and_the_cookie_beside_it() {
    let hub = hub();
    let token = old_token(json!({"publish": ["*"], "subscribe": ["*"]}));
    let cookie = format!("mercureAuthorization={token}");
    let get = Request::get(&format!("{PATH_2019}?topic=a"));
    let post = Request::post(PATH_2019).header("Origin", "https://hub.example.com");
    let form = [("topic", SCORE), ("data", "x")];
    for request in [get, post.form(&form)] {
        let request = request.header("Cookie", &cookie);
        let basic = request.header("Authorization", "Basic eDp5");
        check_text(&hub.request(basic), 401, "Unauthorized\n");
    }
}

#[test]
fn a_targeted_update_reaches_those_who_are_among_its_targets() {
    let hub = hub();
    let reader = |targets: &[&str]| old_token(json!({"subscribe": targets}));
    let query = "topic=http://localhost/score/{id}";
    let mut foo = subscribe_at(&hub, PATH_2019, query, Some(&reader(&["foo", "bar"])));
    let mut other = subscribe_at(&hub, PATH_2019, query, Some(&reader(&["other"])));
    let mut all = subscribe_at(&hub, PATH_2019, query, Some(&reader(&["*"])));
    let mut anonymous = subscribe_at(&hub, PATH_2019, query, None);
    let publisher = old_token(json!({"publish": ["*"]}));
    for (data, targets) in [
        ("1", &["foo"][..]),
        ("2", &["baz", "bar"]),
        ("3", &[""]),
        ("4", &[]),
    ] {
        let mut form = vec![("topic", SCORE), ("data", data)];
        form.extend(targets.iter().map(|&target| ("target", target)));
        assert_eq!(publish_at(&hub, PATH_2019, &publisher, &form).status, 200);
    }
    assert_eq!(foo.data(3), ["1", "2", "4"]);
    assert_eq!(other.data(1), ["4"]);
    assert_eq!(all.data(4), ["1", "2", "3", "4"]);
    assert_eq!(anonymous.data(1), ["4"]);
    // Replay asks the same.
    let again = |token: Option<&str>, count: usize| {
        let query = format!("{query}&Last-Event-ID=earliest");
        subscribe_at(&hub, PATH_2019, &query, token).data(count)
    };
    assert_eq!(again(None, 1), ["4"]);
    assert_eq!(again(Some(&reader(&["foo"])), 2), ["1", "4"]);
    assert_eq!(again(Some(&reader(&["bar"])), 2), ["2", "4"]);
    assert_eq!(again(Some(&reader(&["*"])), 4), ["1", "2", "3", "4"]);
}

#[test]
fn targets_survive_a_restart() {
    let mut hub = hub();
    let publisher = old_token(json!({"publish": ["*"]}));
    for (data, target) in [("1", Some("foo")), ("2", Some("bar")), ("3", None)] {
        let mut form = vec![("topic", SCORE), ("data", data)];
        form.extend(target.map(|target| ("target", target)));
        assert_eq!(publish_at(&hub, PATH_2019, &publisher, &form).status, 200);
    }
    assert!(hub.stop());
    hub.restart();
    let query = format!("topic={SCORE}&Last-Event-ID=earliest");
    let foo = old_token(json!({"subscribe": ["foo"]}));
    assert_eq!(
        subscribe_at(&hub, PATH_2019, &query, Some(&foo)).data(2),
        ["1", "3"]
    );
    assert_eq!(subscribe_at(&hub, PATH_2019, &query, None).data(1), ["3"]);
}

#[test]
fn a_publisher_names_only_targets_of_its_claim() {
    let hub = hub();
    let publish = |claim: serde_json::Value, targets: &[&str]| {
        let mut form = vec![("topic", SCORE), ("data", "x")];
        form.extend(targets.iter().map(|&target| ("target", target)));
        publish_at(&hub, PATH_2019, &old_token(claim), &form)
    };
    for (claim, targets, status) in [
        (json!({"publish": []}), &[][..], 200),
        (json!({"publish": []}), &["foo"], 401),
        (json!({"publish": ["foo"]}), &[], 200),
        (json!({"publish": ["foo"]}), &["foo"], 200),
        (json!({"publish": ["foo"]}), &["foo", "bar"], 401),
        (json!({"publish": ["*"]}), &["foo", "bar"], 200),
        (json!({"publish": null}), &[], 401),
        (json!({}), &[], 401),
        (json!({"subscribe": ["*"]}), &[], 401),
    ] {
        let answer = publish(claim.clone(), targets);
        assert_eq!(
            answer.status,
            status,
            "{claim} {targets:?}: {}",
            answer.text()
        );
        if status == 401 {
            check_text(&answer, 401, "Unauthorized\n");
        }
    }
    // What no one else could say in one token: topics are not granted here at all.
    let token = old_token(json!({"publish": [SCORE]}));
    assert_eq!(
        publish_at(&hub, PATH_2019, &token, &[("topic", "x"), ("data", "y")]).status,
        200
    );
}

#[test]
fn refusals_are_said_as_that_hub_said_them() {
    let hub = hub();
    let token = old_token(json!({"publish": []}));
    for (form, text) in [
        (&[("data", "x")][..], "Missing \"topic\" parameter\n"),
        (&[("topic", "x")], "Missing \"data\" parameter\n"),
        (
            &[("topic", "x"), ("data", "")],
            "Missing \"data\" parameter\n",
        ),
        (
            &[("topic", "x"), ("data", "y"), ("retry", "z")],
            "Invalid \"retry\" parameter\n",
        ),
    ] {
        check_text(&publish_at(&hub, PATH_2019, &token, form), 400, text);
    }
    let answer = hub.request(Request::get(PATH_2019));
    check_text(&answer, 400, "Missing \"topic\" parameter.\n");
    let answer = hub.request(Request::post(PATH_2019).form(&[("topic", "x")]));
    check_text(&answer, 401, "Unauthorized\n");
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("x-xss-protection", "1; mode=block"),
        ("content-security-policy", "default-src 'self'"),
    ] {
        assert_eq!(answer.header(name), Some(value));
    }
    assert_eq!(hub.request(Request::new("PUT", PATH_2019)).status, 405);
}

#[test]
fn a_cookie_publishes_from_listed_origins_only() {
    let more =
        "[publish]\norigins = [\"http://localhost\", \"*\"]\n[subscribe]\nanonymous = true\n";
    let hub = TestHub::serve(&all_dialects(more));
    let cookie = format!("mercureAuthorization={}", old_token(json!({"publish": []})));
    for (field, value, status) in [
        ("Origin", "http://localhost", 200),
        ("Referer", "http://localhost/page", 200),
        ("Origin", "https://hub.example.com", 200),
        // `*` on this list let nobody publish then.
        ("Origin", "http://localhost:8080", 401),
        ("Origin", "null", 401),
        ("X-Nothing", "", 401),
    ] {
        let request = Request::post(PATH_2019)
            .header("Cookie", &cookie)
            .header(field, value);
        let answer = hub.request(request.form(&[("topic", "x"), ("data", "y")]));
        assert_eq!(answer.status, status, "{field}: {value}");
    }
}

#[test]
fn pages_of_other_origins_are_answered_as_then() {
    let of = |origins: &str| {
        let cors = format!("[cors]\norigins = [{origins}]\n[subscribe]\nanonymous = true\n");
        TestHub::serve(&all_dialects(&cors))
    };
    let head = |hub: &TestHub, origin: &str| {
        let request = Request::new("HEAD", &format!("{PATH_2019}?topic=a"));
        let answer = hub.request(request.header("Origin", origin));
        let field = |name: &str| answer.header(name).map(str::to_owned);
        (
            field("access-control-allow-origin"),
            field("access-control-allow-credentials"),
        )
    };
    let text = |text: &str| Some(text.to_owned());
    let any = of("\"*\"");
    assert_eq!(head(&any, "null"), (text("*"), text("true")));
    assert_eq!(head(&any, "https://a.example"), (text("*"), text("true")));
    let listed = of("\"https://a.example\", \"https://b.example\"");
    let own = "https://a.example";
    assert_eq!(head(&listed, own), (text(own), text("true")));
    assert_eq!(head(&listed, "null"), (None, None));
    let null = of("\"null\"");
    assert_eq!(head(&null, "null"), (text("null"), None));

    let preflight = |origin: &str, method: Option<&str>, fields: Option<&str>| {
        let mut request = Request::new("OPTIONS", PATH_2019).header("Origin", origin);
        if let Some(method) = method {
            request = request.header("Access-Control-Request-Method", method);
        }
        if let Some(fields) = fields {
            request = request.header("Access-Control-Request-Headers", fields);
        }
        listed.request(request)
    };
    assert_eq!(
        preflight(own, Some("POST"), Some("Authorization")).status,
        200
    );
    let answer = preflight(own, Some("POST"), Some("authorization, cache-control"));
    assert_eq!(
        answer.header("access-control-allow-headers"),
        Some("authorization,cache-control")
    );
    assert_eq!(preflight(own, Some("POST"), Some("x-other")).status, 403);
    assert_eq!(preflight(own, Some("PUT"), None).status, 405);
    assert_eq!(preflight(own, None, None).status, 400);
    let answer = preflight("https://c.example", Some("PUT"), None);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[test]
fn events_and_the_head_of_a_stream_are_as_then() {
    let hub = hub();
    let mut connection = Connection::open(hub.address);
    connection.send_request(&Request::get(&format!("{PATH_2019}?topic={SCORE}")).http10());
    let head = connection.read_head();
    assert_eq!(head.header("content-type"), Some("text/event-stream"));
    assert_eq!(head.header("pragma"), Some("no-cache"));
    assert_eq!(head.header("x-accel-buffering"), Some("no"));
    let token = old_token(json!({"publish": []}));
    let form = [
        ("topic", "http://localhost/x"),
        ("topic", SCORE),
        ("data", "a\rb\nc\r\nd"),
        ("id", "7"),
        ("type", "t"),
        ("retry", "1"),
    ];
    // PHP of that time sent HTTP/1.0.
    let request = Request::post(PATH_2019).bearer(&token).form(&form).http10();
    let answer = Connection::open(hub.address).request(&request);
    assert_eq!((answer.status, answer.text().as_str()), (200, "7"));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    let expected = ":\nevent: t\nretry: 1\nid: 7\ndata: a\ndata: b\ndata: c\ndata: d\n\n";
    let mut text = String::new();
    while text.len() < expected.len() {
        let bytes = connection.read_some().expect("the stream goes on");
        text.push_str(&String::from_utf8(bytes).unwrap());
    }
    assert_eq!(text, expected);
}

#[test]
fn a_subscriber_resumes_by_the_header_or_the_query() {
    let hub = hub();
    let token = old_token(json!({"publish": []}));
    for id in ["a", "b", "c"] {
        let form = [("topic", SCORE), ("id", id), ("data", id)];
        assert_eq!(publish_at(&hub, PATH_2019, &token, &form).status, 200);
    }
    let get = |more: &str| Request::get(&format!("{PATH_2019}?topic={SCORE}{more}"));
    let mut stream = hub.subscribe_by(get("").header("Last-Event-ID", "a"));
    assert_eq!(stream.head.header("mercure-last-event-id"), None);
    assert_eq!(stream.head.header("last-event-id"), None);
    assert_eq!(stream.data(2), ["b", "c"]);
    assert_eq!(hub.subscribe_by(get("&Last-Event-ID=b")).data(1), ["c"]);
}

#[test]
fn the_demonstration_echoes_what_its_link_says_where_nothing_can_run() {
    let all = all_dialects("").replace("[dialects]", "[dialects]\ndemo = true");
    let hub = TestHub::serve(&all);
    let answer = hub.request(Request::get("/demo/books/1.jsonld?body=%7B%7D&jwt=a.b-c_d"));
    assert_eq!((answer.status, answer.text().as_str()), (200, "{}"));
    assert_eq!(answer.header("content-type"), Some("application/ld+json"));
    let links: Vec<&str> = answer.headers("link");
    assert_eq!(
        links,
        [
            "</hub>; rel=\"mercure\"",
            "<https://hub.example.com/demo/books/1.jsonld?body=%7B%7D&jwt=a.b-c_d>; rel=\"self\"",
        ]
    );
    let cookie = answer.header("set-cookie").unwrap();
    assert!(
        cookie.starts_with("mercureAuthorization=a.b-c_d; Path=/hub;"),
        "{cookie}"
    );
    assert!(
        cookie.ends_with("Secure; HttpOnly; SameSite=Strict"),
        "{cookie}"
    );
    assert_eq!(
        answer.header("content-security-policy"),
        Some("default-src 'none'; sandbox")
    );
    let answer = hub.request(Request::get("/demo/x.html?jwt=a;b"));
    assert_eq!(answer.header("set-cookie"), None);
    let answer = hub.request(Request::get("/.well-known/mercure/ui/demo/x.html"));
    assert!(
        answer
            .header("set-cookie")
            .unwrap()
            .contains("Path=/.well-known/mercure; Expires=")
    );
    let without = TestHub::serve(&all_dialects(""));
    assert_eq!(without.request(Request::get("/demo/x.html")).status, 404);
}

#[test]
fn the_log_has_the_lines_of_that_hub() {
    let more = "[subscribe]\nanonymous = true\n[log]\nformat = \"logfmt\"\n\
                [admin]\naddress = \"127.0.0.1:0\"\n";
    let mut hub = TestHub::serve(&all_dialects(more));
    let token = old_token(json!({"publish": []}));
    let mut stream = subscribe_at(&hub, PATH_2019, &format!("topic={SCORE}"), None);
    let form = [("topic", SCORE), ("data", "x"), ("id", "2c7d")];
    assert_eq!(publish_at(&hub, PATH_2019, &token, &form).status, 200);
    assert_eq!(stream.event().last_event_id, "2c7d");
    drop(stream);
    hub.wait_for_metric("tidings_subscribers", |count| count == 0.0);
    let query = format!("topic={SCORE}&Last-Event-ID=earliest");
    assert_eq!(subscribe_at(&hub, PATH_2019, &query, None).data(1), ["x"]);
    assert!(hub.stop());
    let log = hub.log();
    for (message, fields) in [
        ("New subscriber", " remote_addr=\"127.0.0.1:"),
        (
            "Update published",
            " event_id=2c7d remote_addr=\"127.0.0.1:",
        ),
        ("Event sent", " event_id=2c7d remote_addr=\"127.0.0.1:"),
        ("Subscriber disconnected", " remote_addr=\"127.0.0.1:"),
    ] {
        let wanted = format!("Z\" level=info msg=\"{message}\"{fields}");
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&wanted)).collect();
        assert!(!lines.is_empty(), "{message}: {log}");
        for line in lines {
            assert!(
                line.starts_with("time=\"20") && line.ends_with('"'),
                "{line}"
            );
        }
    }
    assert_eq!(log.matches("Event sent").count(), 2, "{log}");
    assert!(log.contains("level=info msg=ready "), "{log}");
}

#[test]
fn the_log_has_a_line_for_each_request_as_apache_writes_it() {
    let environment = [
        ("JWT_KEY", ARTICLES_KEY),
        ("ALLOW_ANONYMOUS", "1"),
        ("DEMO", "1"),
    ];
    // What is written here leaves the environment's word on everything that is looked at.
    let text = "[log]\nlevel = \"info\"\n[admin]\naddress = \"127.0.0.1:0\"\n";
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut hub = TestHub::serve_in(folder, text, &environment);
    let token = hmac_token("HS256", ARTICLES_KEY, &json!({"mercure": {"publish": []}}));
    let asked = Request::get(&format!("{PATH_2019}?topic={SCORE}&Last-Event-ID=earliest"));
    let asked = asked.header("User-Agent", "Mozilla/5.0 \"x\"");
    let mut stream = hub.subscribe_by(asked.header("Referer", "http://localhost/"));
    let form = [("topic", SCORE), ("data", "two\nlines"), ("id", "2c7d")];
    assert_eq!(publish_at(&hub, PATH_2019, &token, &form).status, 200);
    assert_eq!(stream.event().data, "two\nlines");
    let before = hub.log();
    assert!(!before.contains("\"GET /hub"), "{before}");
    drop(stream);
    hub.wait_for_metric("tidings_subscribers", |count| count == 0.0);
    let refused = Request::post(&format!("{PATH_2019}?authorization={token}")).bearer("a.b.c");
    assert_eq!(hub.request(refused.form(&[("topic", SCORE)])).status, 401);
    let demo = Request::new("HEAD", &format!("/demo/x.html?jwt={token}&body=abc"));
    assert_eq!(hub.request(demo).status, 200);
    assert!(hub.stop());
    let log = hub.log();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.starts_with("127.0.0.1"))
        .collect();
    // Time by time the same but for the moment, which is held against what it looks like.
    let shown: Vec<String> = lines
        .iter()
        .map(|line| {
            let (before, rest) = line.split_once('[').unwrap();
            let (moment, after) = rest.split_once(']').unwrap();
            let shape: String = moment
                .chars()
                .map(|c| if c.is_ascii_digit() { '0' } else { c })
                .collect();
            let parts: Vec<&str> = shape.split('/').collect();
            assert!(MONTHS.contains(&parts[1]), "{line}");
            assert_eq!(
                (parts[0], parts[2]),
                ("00", "0000:00:00:00 +0000"),
                "{line}"
            );
            format!("{before}[]{after}")
        })
        .collect();
    // The content of the stream: a comment, then the event.
    let content = ":\nid: 2c7d\ndata: two\ndata: lines\n\n".len();
    assert_eq!(
        shown,
        [
            "127.0.0.1 - - [] \"POST /hub HTTP/1.1\" 200 4 \"\" \"\"".to_owned(),
            format!(
                "127.0.0.1 - - [] \"GET /hub?topic=http://localhost/score/1&Last-Event-ID=earliest \
                 HTTP/1.1\" 200 {content} \"http://localhost/\" \"Mozilla/5.0 \\\"x\\\"\""
            ),
            "127.0.0.1 - - [] \"POST /hub?authorization=hidden HTTP/1.1\" 401 13 \"\" \"\""
                .to_owned(),
            "127.0.0.1 - - [] \"HEAD /demo/x.html?jwt=hidden&body=abc HTTP/1.1\" 200 0 \"\" \"\""
                .to_owned(),
        ]
    );
    assert!(!log.contains(&token), "{log}");
}

#[test]
fn switched_off_it_says_which_setting_switches_it_on() {
    let hub = TestHub::serve(&settings("[subscribe]\nanonymous = true\n"));
    for request in [
        Request::get("/hub?topic=a"),
        Request::post("/hub").form(&[("topic", "a"), ("data", "b")]),
    ] {
        let answer = hub.request(request);
        assert_eq!(answer.status, 404);
        assert!(
            answer.text().contains("dialects.v2019 = true"),
            "{}",
            answer.text()
        );
    }
}

fn hmac_token(alg: &str, secret: &str, claims: &serde_json::Value) -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let algorithm = match alg {
        "HS384" => aws_lc_rs::hmac::HMAC_SHA384,
        "HS512" => aws_lc_rs::hmac::HMAC_SHA512,
        _ => aws_lc_rs::hmac::HMAC_SHA256,
    };
    let encoded = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!(
        "{}.{}",
        encoded(&json!({"alg": alg, "typ": "JWT"})),
        encoded(claims)
    );
    let key = aws_lc_rs::hmac::Key::new(algorithm, secret.as_bytes());
    let signature = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[track_caller]
fn check_text(answer: &Answer, status: u16, text: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (status, text));
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
}
