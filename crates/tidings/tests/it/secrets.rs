//! No output of the process contains a secret: log, errors, metrics, health, help.

use std::sync::Arc;

use crate::harness::peer::{Peer, handshake};
use crate::harness::tokens::{SECRET, settings, token_for_all};
use crate::harness::tunnel;
use crate::harness::{Connection, HUB_PATH, Request, TestHub, run, wait_until};

/// A token of another system, of which nothing but the place tells that it is one.
const OPAQUE: &str = "7Fsd9opaque3QxLw5";
/// Everything is logged, a line for each request too.
const EVERYTHING: &str = "[admin]\naddress = \"127.0.0.1:0\"\n[subscribe]\nanonymous = true\n\
    [sockjs]\nenabled = true\n[rooms]\naccess = \"token\"\ntopics = [\"*\"]\n\
    [dialects]\nv0 = true\n[[auth.issuers]]\nissuer = \"https://issuer.example.com\"\n\
    key = \"0123456789abcdef0123456789abcdef\"\ndialects = [\"1.0\", \"0.x\"]\n[log]\nlevel = \"trace\"\naccess = true\n";

#[test]
fn nothing_that_the_hub_says_of_its_requests_has_a_token_in_it() {
    for format in ["json", "logfmt"] {
        let hub = TestHub::serve(&settings(&format!("{EVERYTHING}format = \"{format}\"\n")));
        let address = hub.address;
        let token = token_for_all();
        let answers = ask_with_tokens(address, &token);
        let target = format!("{HUB_PATH}?token={OPAQUE}");
        drop(tunnel::tunnels(address, &[target], &token));
        let marker = "/the-last-request";
        Connection::open(address).request(&Request::get(marker));
        wait_until("all is logged", || hub.log().contains(marker).then_some(()));
        let metrics = hub.request_admin("/metrics").text();
        let health = hub.request_admin("/health/ready").text();
        let log = hub.log();
        assert!(
            log.contains("token not accepted"),
            "nothing of interest is logged: {log}"
        );
        for said in [&log, &metrics, &health, &answers] {
            check_free_of(said, &token);
        }
    }
}

#[test]
fn an_address_of_a_key_set_is_shown_without_what_it_says_beside_the_place() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let url = format!("https://127.0.0.1:1/keys?v={OPAQUE}");
    let issuer = format!("[[auth.issuers]]\nissuer = \"https://a.test\"\njwks_url = \"{url}\"\n");
    let toml = settings(&format!("[admin]\naddress = \"127.0.0.1:0\"\n{issuer}"));
    let hub = TestHub::serve_in(Arc::clone(&folder), &toml, &[]);
    let said = "key set not read";
    wait_until(said, || hub.log().contains(said).then_some(()));
    let health = hub.request_admin("/health/ready").text();
    assert!(
        health.contains("https://127.0.0.1:1/keys?hidden"),
        "{health}"
    );
    let path = folder.path().join("tidings.toml");
    let path = path.to_str().unwrap();
    let (code, shown, errors) = run(&["config", "show", "--config", path], &[]);
    assert_eq!(code, 0, "{errors}");
    assert!(
        shown.contains("jwks_url = \"https://127.0.0.1:1/keys?hidden\""),
        "{shown}"
    );
    let token = token_for_all();
    let (_, inspected, told) = run(&["token", "inspect", &token, "--config", path], &[]);
    assert!(told.contains("https://127.0.0.1:1/keys?hidden"), "{told}");
    for said in [&hub.log(), &health, &shown, &inspected, &told] {
        assert!(!said.contains(OPAQUE), "{said}");
    }
    // What is wrong with an address is told without it as well.
    for wrong in [
        format!("http://a.test/keys?v={OPAQUE}"),
        format!("https://user:{OPAQUE}@a.test/keys"),
        format!("keys?v={OPAQUE}"),
        format!("https:///?v={OPAQUE}"),
    ] {
        let toml = toml.replace(&url, &wrong);
        std::fs::write(path, toml).unwrap();
        let (code, _, errors) = run(&["config", "check", "--config", path], &[]);
        assert_eq!(code, 2, "{wrong}");
        assert!(
            errors.contains("jwks_url") && !errors.contains(OPAQUE),
            "{errors}"
        );
    }
}

#[test]
fn a_mistake_in_a_file_is_shown_without_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml");
    let path = path.to_str().unwrap();
    for (line, place) in [
        (format!("key = {OPAQUE}"), "line 2, column "),
        (format!("key = \"{OPAQUE}"), "line 2, column "),
        (format!("key = \"{OPAQUE}\" x"), "line 2, column "),
        (OPAQUE.to_owned(), "line 2, column "),
        (
            format!("key = \"{OPAQUE}\"\nkey = \"{OPAQUE}\""),
            "line 3, column ",
        ),
        (format!("key = \"\\{OPAQUE}\""), "line 2, column "),
        (format!("key = [\"{OPAQUE}\""), "line 2, column "),
    ] {
        std::fs::write(path, format!("[[auth.issuers]]\n{line}\n")).unwrap();
        for words in [&["config", "check"][..], &["config", "show"], &["serve"]] {
            let (code, output, errors) = run(&[words, &["--config", path]].concat(), &[]);
            assert_eq!((code, output.as_str()), (2, ""), "{line}");
            assert!(errors.contains(place), "{errors}");
            assert!(!errors.contains(OPAQUE), "{errors}");
        }
    }
    // Neither does a value of the wrong form show itself, wherever it comes from.
    for (name, value) in [
        ("TIDINGS_AUTH__ISSUERS__0__KEYS", OPAQUE),
        ("TIDINGS_PAGES__CHAT", OPAQUE),
        (
            "TIDINGS_AUTH__ISSUERS__0__JWKS_URL",
            "https://u:7Fsd9opaque3QxLw5@a.test/",
        ),
        (
            "TIDINGS_HUB__PUBLIC_URL",
            "https://u:7Fsd9opaque3QxLw5@a.test/hub",
        ),
        (
            "TIDINGS_SOCKJS__LIBRARY_URL",
            "ftp://u:7Fsd9opaque3QxLw5@a.test/hub",
        ),
    ] {
        let (code, _, errors) = run(&["config", "check"], &[(name, value)]);
        assert_eq!(code, 2, "{name}");
        assert!(!errors.contains(OPAQUE), "{name}: {errors}");
    }
}

#[test]
fn commands_do_not_show_the_secrets_that_they_are_given() {
    let token = token_for_all();
    let hub = format!("http://user:{OPAQUE}@127.0.0.1:1/hub?key={OPAQUE}");
    let environment = [
        ("TIDINGS_HUB", hub.as_str()),
        ("TIDINGS_TOKEN", &token),
        ("TIDINGS_TOKEN_KEY", SECRET),
        ("TIDINGS_BROKER_PASSWORD", OPAQUE),
        ("HTTPS_PROXY", "http://user:7Fsd9opaque3QxLw5@127.0.0.1:1"),
    ];
    for words in [
        &["--help"][..],
        &["publish", "--help"],
        &["subscribe", "--help"],
        &["token", "make", "--help"],
        &["token", "inspect", "--help"],
        &["broker", "--help"],
        // Mistakes with the secret as the word that is too much.
        &["publish", "--topic", "a", &token],
        &["token", "inspect", "a", &token],
        &["serve", &token],
        &[&token],
        // A hub that cannot be reached, or named.
        &["publish", "--topic", "a"],
        &["subscribe", "--topic", "a"],
        &[
            "publish",
            "--topic",
            "a",
            "--hub",
            &hub.replace("http", "https"),
        ],
        &[
            "publish",
            "--topic",
            "a",
            "--hub",
            &hub.replace("127.0.0.1:1", "%"),
        ],
        &[
            "publish",
            "--topic",
            "a",
            "--hub",
            &hub.replace("http:", ":"),
        ],
    ] {
        let (_, output, errors) = run(words, &environment);
        for said in [&output, &errors] {
            check_free_of(said, &token);
            assert!(!said.contains(SECRET), "{words:?}: {said}");
        }
    }
}

/// Sends tokens in every place that takes one, or that people put one into. Returns the answers.
fn ask_with_tokens(address: std::net::SocketAddr, token: &str) -> String {
    let wrong = format!("{token}x");
    let escaped = token.replace('.', "%2e");
    let queries = [
        format!("match=a&authorization={token}"),
        format!("Authorization={OPAQUE}&AUTHORIZATION={OPAQUE}"),
        format!("topic=a&token={OPAQUE}&Access_Token={OPAQUE}"),
        format!("%61uthorization={OPAQUE}&t%6Fken={OPAQUE}&token%5B%5D={OPAQUE}"),
        format!("match=a&anything={token}&{escaped}"),
    ];
    let mut requests: Vec<Request> = queries
        .iter()
        .map(|query| Request::get(&format!("{HUB_PATH}/nothing?{query}")))
        .collect();
    // A poll ends, also where a cookie of another dialect counts as none.
    let hub =
        Request::get(&format!("{HUB_PATH}?match=a&last_event_id=x")).header("Prefer", "wait=0");
    requests.extend([
        hub.clone().bearer(&wrong),
        hub.clone()
            .header("Authorization", &format!("Basic {OPAQUE}{OPAQUE}")),
        hub.clone()
            .header("Cookie", &format!("mercureAuthorization={wrong}")),
        hub.clone()
            .header("Cookie", &format!("__Secure-mercure_access_token={wrong}")),
        hub.clone()
            .bearer("x.y")
            .header("User-Agent", &format!("curl {token}")),
        hub.clone()
            .bearer("x.y")
            .header("User-Agent", &format!("Bearer {OPAQUE}")),
        hub.clone()
            .bearer("x.y")
            .header("Referer", &format!("https://a.test/?q={OPAQUE}")),
        hub.bearer("x.y")
            .header("Referer", &format!("https://u:{OPAQUE}@a.test/{token}")),
        Request::get(&format!("/ws/{token}?jwt={OPAQUE}")),
        Request::get(&format!("/sockjs/000/{escaped}/xhr?token={OPAQUE}")),
        Request::post(HUB_PATH)
            .bearer(&wrong)
            .form(&[("topic", "a")]),
        Request::post(HUB_PATH).form(&[("topic", "a"), ("authorization", token)]),
    ]);
    let answers = requests
        .iter()
        .map(|request| Connection::open(address).request(request).text());
    let answers = answers.collect::<Vec<_>>().join("\n");
    let target = format!("{HUB_PATH}?access_token={OPAQUE}");
    let mut peer = Peer::open(address, &handshake(&target).bearer(token));
    peer.ask(&serde_json::json!({"authenticate": {"token": wrong}}));
    peer.json();
    answers
}

/// A text must have neither the token nor its signature in it, nor the secret of another system.
#[track_caller]
fn check_free_of(said: &str, token: &str) {
    let signature = token.rsplit('.').next().unwrap();
    for secret in [token, signature, OPAQUE] {
        let place = said.lines().find(|line| line.contains(secret));
        assert_eq!(place, None, "{secret} is shown");
    }
}
