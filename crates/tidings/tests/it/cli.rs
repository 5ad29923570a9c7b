//! The commands as people use them: help, `dev`, `publish`, `subscribe`, `token`.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};

use serde_json::{Value, json};

use crate::harness::tokens::{self, claims, header, now_secs, settings, sign, token_for_all, with};
use crate::harness::{DEADLINE, HUB_PATH, Request, TestHub, command, run};

const TOPIC: &str = "https://example.com/books/1";
/// Lines of a program that may wait for the test.
const LINES_MAX: usize = 1024;

#[test]
fn the_help_of_every_command_says_what_it_does_and_shows_examples() {
    for words in [
        &[][..],
        &["dev"],
        &["serve"],
        &["publish"],
        &["subscribe"],
        &["token"],
        &["token", "make"],
        &["token", "inspect"],
        &["context"],
        &["context", "add"],
        &["context", "list"],
        &["init"],
        &["completions"],
        &["man"],
        &["config"],
        &["config", "check"],
        &["config", "show"],
        &["config", "import"],
        &["config", "docs"],
        &["health"],
        &["top"],
        &["connections"],
        &["disconnect"],
        &["revoke"],
        &["purge"],
        &["explain"],
        &["drain"],
        &["history"],
        &["history", "import"],
        &["history", "tail"],
        &["history", "export"],
        &["history", "stats"],
        &["history", "prune"],
    ] {
        let (code, output, error) = run(&[words, &["--help"]].concat(), &[]);
        assert_eq!((code, error.as_str()), (0, ""), "{words:?}");
        let first = output.lines().next().unwrap_or_default();
        assert!(
            first.len() > 15 && !first.starts_with("Usage"),
            "{words:?} begins with {first:?}"
        );
        let (_, examples) = output.split_once("\nExamples:\n").expect("examples");
        assert!(examples.contains("tidings "), "{words:?}: {examples}");
        assert!(
            output.lines().all(|line| line.chars().count() <= 100),
            "{output}"
        );
    }
}

#[test]
fn dev_refuses_an_address_that_others_can_reach() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for address in [
        "0.0.0.0:0",
        "[::]:0",
        "192.0.2.1:4400",
        "[::ffff:192.0.2.1]:4400",
    ] {
        let (code, output, error) = run(
            &["dev", "--listen", address, "--data", data.to_str().unwrap()],
            &[],
        );
        assert_eq!((code, output.as_str()), (1, ""), "{address}");
        assert!(
            error.contains(address) && error.contains("tidings serve"),
            "{error}"
        );
    }
    assert!(!data.exists(), "refused, but the folder was made");
}

#[test]
fn dev_says_that_its_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (code, _, error) = run(
        &[
            "dev",
            "--listen",
            &address,
            "--data",
            data.to_str().unwrap(),
        ],
        &[],
    );
    assert_eq!(code, 1);
    assert!(error.contains(&format!(
        "port {} is taken",
        taken.local_addr().unwrap().port()
    )));
    assert!(error.contains("--listen"), "{error}");
    // Another hub shares no port either.
    let hub = TestHub::dev();
    let address = hub.address.to_string();
    let (code, _, error) = run(
        &[
            "dev",
            "--listen",
            &address,
            "--data",
            data.to_str().unwrap(),
        ],
        &[],
    );
    assert_eq!(code, 1);
    assert!(error.contains("is taken"), "{error}");
}

#[test]
fn a_start_that_fails_does_not_hide_the_hub_that_runs() {
    let hub = TestHub::dev();
    let data = hub.data();
    let told = || std::fs::read_to_string(data.join("dev.json")).unwrap();
    let before = told();
    let data = data.to_str().unwrap();
    let (code, _, error) = run(&["dev", "--listen", "127.0.0.1:0", "--data", data], &[]);
    assert_eq!(code, 1);
    assert!(error.contains("another hub"), "{error}");
    assert_eq!(told(), before);
}

#[test]
fn dev_lets_pages_of_this_machine_read_the_hub_and_nothing_else() {
    let hub = TestHub::dev_with(&["--origin", "https://app.test"]);
    let allowed = |path: &str, origin: &str| {
        let answer = hub.request(Request::new("HEAD", path).header("Origin", origin));
        let field = |name: &str| answer.header(name).map(str::to_owned);
        (
            field("Access-Control-Allow-Origin"),
            field("Access-Control-Allow-Credentials").is_some(),
        )
    };
    let path = "/.well-known/mercure?match=a";
    for origin in [
        "https://app.test",
        "http://localhost:3000",
        "http://localhost",
        "https://localhost:8443",
        "http://127.0.0.1:5173",
        "http://[::1]:8000",
        "http://shop.localhost:3000",
    ] {
        assert_eq!(allowed(path, origin), (Some(origin.to_owned()), true));
        assert_eq!(allowed("/settings.json", origin), (None, false), "{origin}");
    }
    // A file; it may read what is public.
    assert_eq!(allowed(path, "null"), (Some("null".to_owned()), false));
    for origin in [
        "https://other.test",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example:3000",
        "http://192.0.2.1:3000",
    ] {
        assert_eq!(allowed(path, origin), (None, false), "{origin}");
    }
}

#[test]
fn dev_gives_pages_of_other_ports_and_of_files_no_token_and_no_publishing() {
    let hub = TestHub::dev();
    let cookie = format!("mercure_access_token={}", hub.publisher_token());
    for origin in ["http://localhost:3000", "null"] {
        let publish = Request::post(HUB_PATH)
            .header("Cookie", &cookie)
            .header("Origin", origin);
        let publish = publish.form(&[("topic", "a")]);
        let mut token = Request::post("/dev/token").header("Origin", origin);
        token = token.header("Content-Type", "application/json");
        for request in [publish, token.body(b"{\"publish\":[{\"match\":\"*\"}]}")] {
            assert_eq!(hub.request(request).status, 403, "{origin}");
        }
    }
    // Private updates need a token, which a page without an origin never sends along.
    let reader = Request::get(&format!("{HUB_PATH}/subscriptions")).header("Origin", "null");
    assert_ne!(hub.request(reader).status, 200);
    let strict = TestHub::dev_with(&["--no-file-pages"]);
    let asked = Request::new("HEAD", &format!("{HUB_PATH}?match=a")).header("Origin", "null");
    let answer = strict.request(asked);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
}

#[test]
fn dev_lets_the_pages_it_is_told_publish_with_the_cookie_that_its_metadata_names() {
    let hub = TestHub::dev_with(&["--origin", "http://localhost:3000"]);
    let metadata = format!("/.well-known/oauth-protected-resource{HUB_PATH}");
    let metadata = hub.request(Request::get(&metadata)).json();
    // Over plain HTTP a browser does not take the other one.
    assert_eq!(metadata["mercure_cookie"], "mercure_access_token");
    let cookie = format!("mercure_access_token={}", hub.publisher_token());
    let status = |hub: &TestHub, origin: &str| {
        let request = Request::post(HUB_PATH)
            .header("Cookie", &cookie)
            .header("Origin", origin);
        hub.request(request.form(&[("topic", "a")])).status
    };
    assert_eq!(status(&hub, "http://localhost:3000"), 200);
    let own = format!("http://127.0.0.1:{}", hub.address.port());
    assert_eq!(status(&hub, &own), 200);
    assert_eq!(status(&hub, "http://localhost:3001"), 403);
    // Pages of anybody may read, if the developer says so.
    let hub = TestHub::dev_with(&["--origin", "*", "--origin", "null"]);
    let cookie = format!("mercure_access_token={}", hub.publisher_token());
    for origin in ["https://evil.example", "null"] {
        let request = Request::post(HUB_PATH)
            .header("Cookie", &cookie)
            .header("Origin", origin);
        let answer = hub.request(request.form(&[("topic", "a")]));
        assert_eq!(answer.status, 403, "{origin}");
    }
}

#[test]
fn the_curl_lines_of_the_banner_work_when_pasted() {
    let hub = TestHub::dev();
    let banner = hub.log();
    let subscribe = between(&banner, "Subscribe, in one terminal:\n\n", "\n\nPublish");
    let publish = between(&banner, "Publish, in another:\n\n", "\n\nStop");
    assert!(publish.len() < 400, "too long to read: {publish}");
    let reader = Reader::start(bash(subscribe));
    hub.wait_for_metric("tidings_subscribers", |count| count >= 1.0);
    let output = bash(publish).output().expect("bash");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let id = String::from_utf8(output.stdout).unwrap();
    assert_eq!(reader.line(), ":");
    assert_eq!(reader.line(), format!("id: {id}"));
    assert_eq!(reader.line(), "data: Hello, world");
}

#[test]
fn dev_keeps_its_keys_and_tokens_where_only_their_owner_reads_them() {
    let hub = TestHub::dev();
    let key = std::fs::read_to_string(hub.data().join("dev.key")).unwrap();
    let secrets = [
        key.trim().to_owned(),
        hub.publisher_token(),
        hub.subscriber_token(),
    ];
    let mut found = 0;
    for entry in std::fs::read_dir(hub.data()).unwrap().flatten() {
        if !entry.file_type().unwrap().is_file() {
            continue;
        }
        let text = std::fs::read(entry.path()).unwrap();
        let text = String::from_utf8_lossy(&text);
        if secrets.iter().any(|secret| text.contains(secret)) {
            found += 1;
            let mode = entry.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{:?} has the mode {mode:o}", entry.path());
        }
    }
    assert_eq!(found, 3, "the key, the tokens, and the publisher's token");
}

#[test]
fn publish_prints_the_id_and_subscribe_what_comes() {
    let hub = TestHub::dev();
    let data = hub.data().display().to_string();
    let subscriber = subscribe(&hub, &["--count", "2"]);
    hub.wait_for_metric("tidings_subscribers", |count| count >= 1.0);
    let publish = |more: &[&str]| {
        let arguments = ["publish", "--dev-data", &data, "--topic", TOPIC];
        let (code, id, error) = run(&[&arguments[..], more].concat(), &[]);
        assert_eq!(code, 0, "{error}");
        id.trim_end().to_owned()
    };
    let first = publish(&["--data", "one\ntwo", "--type", "greeting"]);
    let second = publish(&["--data", "-x", "--private", "--id", "urn:x:1"]);
    assert_eq!(second, "urn:x:1");
    let lines: Vec<String> = (0..6).map(|_| subscriber.line()).collect();
    let shown: Vec<&str> = lines
        .iter()
        .map(|line| {
            line.split_once("Z  ")
                .map_or(line.as_str(), |(_time, rest)| rest)
        })
        .collect();
    let (first, second) = (
        format!("{TOPIC}  type greeting  id {first}"),
        format!("{TOPIC}  private  id urn:x:1"),
    );
    assert_eq!(shown, [&first, "one", "two", "", &second, "-x"]);
    assert!(subscriber.ends_well());
}

#[test]
fn publish_reads_the_data_from_the_standard_input() {
    let hub = TestHub::dev();
    let data = hub.data().display().to_string();
    let arguments = [
        "publish",
        "--dev-data",
        &data,
        "--topic",
        TOPIC,
        "--data",
        "-",
    ];
    let arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
    let mut child = command(&arguments, &[])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all("from the input é".as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success());
    let mut stream = hub.subscribe(&format!("match={TOPIC}&last_event_id=earliest"));
    assert_eq!(stream.event().data, "from the input é");
}

#[test]
fn refusals_are_told_with_the_hubs_reason() {
    let hub = TestHub::dev();
    let data = hub.data().display().to_string();
    let (code, output, error) = run(&["publish", "--dev-data", &data, "--topic", "*"], &[]);
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(error.contains("400") && error.contains('*'), "{error}");
    let url = format!("http://{}/.well-known/mercure", hub.address);
    let arguments = ["publish", "--hub", &url, "--topic", TOPIC];
    let (code, _, error) = run(&arguments, &[("TIDINGS_TOKEN", "a.b.c")]);
    assert_eq!(code, 1);
    assert!(error.contains("401"), "{error}");
    let (code, _, error) = run(&arguments, &[]);
    assert_eq!(code, 2);
    assert!(
        error.contains("no token") && error.contains("TIDINGS_TOKEN"),
        "{error}"
    );
    // An address alone is not the hub's URL.
    let bare = format!("http://{}", hub.address);
    let arguments = [
        "publish", "--hub", &bare, "--topic", TOPIC, "--token", "a.b.c",
    ];
    let (code, _, error) = run(&arguments, &[]);
    assert_eq!(code, 1);
    assert!(error.contains("/.well-known/mercure"), "{error}");
}

#[test]
fn token_make_refuses_what_no_hub_would_accept() {
    let make = |key: &str, pattern: &str| {
        let (code, output, error) = run(
            &[
                "token",
                "make",
                "--issuer",
                "https://a.example",
                "--audience",
                "https://a.example/h",
                "--key",
                key,
                "--publish-urlpattern",
                pattern,
            ],
            &[],
        );
        assert_eq!((code, output.as_str()), (1, ""), "{error}");
        error
    };
    let good = "0123456789abcdef0123456789abcdef";
    assert!(make("short", "*").contains("the secret has 5 bytes, but HS256 needs at least 32"));
    assert!(make("!ChangeThisMercureHubJWTSecretKey!", "*").contains("publicly known"));
    let error = make(good, "https://a.example/(");
    assert!(
        error.contains("urlpattern \"https://a.example/(\""),
        "{error}"
    );
    assert!(make(good, "a\u{7}").contains("cannot stand in a token"));
}

#[test]
fn subscribe_prints_json_and_survives_a_restart_without_loss() {
    let mut hub = TestHub::dev();
    hub.keep_address();
    let subscriber = subscribe(&hub, &["--json"]);
    hub.wait_for_metric("tidings_subscribers", |count| count >= 1.0);
    let mut sent = vec![hub.published(&[("topic", TOPIC), ("data", "1"), ("type", "t")])];
    let mut first: Value = serde_json::from_str(&subscriber.line()).expect("a line of JSON");
    let time = first.as_object_mut().unwrap().remove("time").unwrap();
    assert!(time.as_str().unwrap().starts_with("20"), "{time}");
    let expected = json!({"id": sent[0], "topics": [TOPIC], "type": "t", "data": "1"});
    assert_eq!(first, expected);
    for life in 0..2 {
        // Once as a crash, once in good form.
        if life == 0 {
            hub.kill();
        } else {
            assert!(hub.stop());
        }
        hub.restart();
        let missed = hub.published(&[("topic", TOPIC), ("data", "missed")]);
        hub.wait_for_metric("tidings_subscribers", |count| count >= 1.0);
        sent.extend([missed, hub.published(&[("topic", TOPIC), ("data", "live")])]);
    }
    let ids: Vec<String> = (0..4)
        .map(|_| {
            let event: Value = serde_json::from_str(&subscriber.line()).expect("a line of JSON");
            assert_eq!(event["type"], "message");
            event["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    assert_eq!(ids, sent[1..]);
}

#[test]
fn subscribe_begins_where_it_is_told() {
    let hub = TestHub::dev();
    let ids: Vec<String> = ["a", "b", "c"]
        .iter()
        .map(|data| hub.published(&[("topic", TOPIC), ("data", data)]))
        .collect();
    let data_of = |reader: &Reader| {
        let event: Value = serde_json::from_str(&reader.line()).expect("a line of JSON");
        event["data"].as_str().expect("data").to_owned()
    };
    let all = subscribe(&hub, &["--json", "--earliest", "--count", "3"]);
    assert_eq!(
        [data_of(&all), data_of(&all), data_of(&all)],
        ["a", "b", "c"]
    );
    assert!(all.ends_well());
    let rest = subscribe(
        &hub,
        &["--json", "--last-event-id", &ids[1], "--count", "1"],
    );
    assert_eq!(data_of(&rest), "c");
}

#[test]
fn token_make_makes_what_the_hub_accepts() {
    let hub = TestHub::dev();
    let data = hub.data().display().to_string();
    let make = |more: &[&str]| {
        let arguments = ["token", "make", "--dev-data", &data];
        let (code, token, error) = run(&[&arguments[..], more].concat(), &[]);
        assert_eq!(code, 0, "{error}");
        token.trim_end().to_owned()
    };
    let narrow = make(&["--publish-urlpattern", "https://example.com/books/:id"]);
    assert_eq!(hub.publish_as(&narrow, &[("topic", TOPIC)]).status, 200);
    assert_eq!(
        hub.publish_as(&narrow, &[("topic", "https://example.com/a")])
            .status,
        403
    );
    let short = make(&["--publish", "*", "--ttl", "1s"]);
    crate::harness::wait_until("the token ends", || {
        (hub.publish_as(&short, &[("topic", TOPIC)]).status == 401).then_some(())
    });
    let (code, _, error) = run(&["token", "make", "--dev-data", &data], &[]);
    assert_eq!(code, 2);
    assert!(error.contains("--publish"), "{error}");
}

#[test]
fn token_inspect_says_why_a_token_would_be_refused() {
    let hub = TestHub::serve(&settings(""));
    let config = hub.folder().join("tidings.toml").display().to_string();
    let inspect = |token: &str| run(&["token", "inspect", token, "--config", &config], &[]);
    let (code, output, error) = inspect(&token_for_all());
    assert_eq!(code, 0, "{error}");
    for part in [
        "accepted to publish",
        "accepted to subscribe",
        "every topic",
        tokens::ISSUER,
    ] {
        assert!(output.contains(part), "{part:?} is not in\n{output}");
    }
    let wrong_key = sign("another secret of at least 32 bytes", &header(), &claims());
    for (token, reason) in [
        (
            tokens::token(&with("exp", now_secs() - 60)),
            "the token expired at",
        ),
        (
            tokens::token(&with("aud", "https://x.example")),
            "https://x.example",
        ),
        (
            tokens::token(&with("iss", "https://x.example")),
            "not a trusted issuer",
        ),
        (wrong_key, "the signature was not made with a key"),
        (
            sign(
                tokens::SECRET,
                &json!({"alg": "HS256", "typ": "JWT"}),
                &claims(),
            ),
            "at+jwt",
        ),
    ] {
        let (code, output, error) = inspect(&token);
        assert_eq!(code, 1, "{output}");
        assert!(output.contains("refused to publish: "), "{output}");
        assert!(output.contains(reason), "{reason:?} is not in\n{output}");
        assert!(error.contains("would refuse"), "{error}");
        // The hub does what the command says.
        assert_eq!(
            hub.publish_as(&token, &[("topic", TOPIC)]).status,
            401,
            "{reason}"
        );
    }
}

#[test]
fn a_token_can_be_made_and_inspected_in_one_line() {
    let hub = TestHub::dev();
    let data = hub.data().display().to_string();
    let program = env!("CARGO_BIN_EXE_tidings");
    let line = format!(
        "set -o pipefail; '{program}' token make --publish '*' --dev-data '{data}' \
         | '{program}' token inspect - --dev --dev-data '{data}'"
    );
    let output = bash(&line).output().expect("bash");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("accepted to publish"),
        "{text}"
    );
}

/// Starts `tidings subscribe` for [`TOPIC`] on a developer's hub.
fn subscribe(hub: &TestHub, more: &[&str]) -> Reader {
    let data = hub.data().display().to_string();
    let arguments = ["subscribe", "--dev-data", &data, "--topic", TOPIC];
    let arguments: Vec<String> = arguments
        .iter()
        .chain(more)
        .map(|&argument| argument.to_owned())
        .collect();
    Reader::start(command(&arguments, &[]))
}

fn bash(line: &str) -> Command {
    let mut command = Command::new("bash");
    // The hub is on this machine, whatever proxy the machine needs for others.
    command
        .args(["-c", line])
        .env("no_proxy", "*")
        .stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect("the start");
    rest.split_once(end).expect("the end").0
}

/// A running program whose lines are read as they come; killed when dropped.
struct Reader {
    child: std::cell::RefCell<Child>,
    lines: Receiver<String>,
}

impl Reader {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("piped");
        let (sender, lines) = sync_channel(LINES_MAX);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child: child.into(),
            lines,
        }
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines
            .recv_timeout(DEADLINE)
            .expect("a line comes in time")
    }

    /// Waits for the end and returns whether it was a success.
    fn ends_well(&self) -> bool {
        let wait = || self.child.borrow_mut().try_wait().expect("a status");
        crate::harness::wait_until("the program ends", wait).success()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.get_mut().kill());
        drop(self.child.get_mut().wait());
    }
}
