//! The commands around a hub: a first configuration, hubs by name, the history, and output for other
//! programs.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;

use crate::harness::serving::{Certificate, serve_tls, token, toml};
use crate::harness::{TestHub, command, run, wait_until};

const TOPIC: &str = "https://example.com/books/1";

#[test]
fn shells_and_man_learn_every_command() {
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef tidings"),
        ("fish", "complete -c tidings"),
    ] {
        let (code, script, error) = run(&["completions", shell], &[]);
        assert_eq!(code, 0, "{error}");
        assert!(script.contains(sign), "{shell}: {script:.200}");
        for word in ["publish", "subscribe", "history", "context", "init"] {
            assert!(script.contains(word), "{shell} knows no {word}");
        }
    }
    // Bash takes it and completes a command.
    let (_, script, _) = run(&["completions", "bash"], &[]);
    let ask = "COMP_WORDS=(tidings pub); COMP_CWORD=1; _tidings tidings pub tidings; echo ${COMPREPLY[@]}";
    let shell = Command::new("bash")
        .args(["-c", &format!("{script}\n{ask}")])
        .output();
    let shell = shell.expect("bash");
    assert_eq!(String::from_utf8_lossy(&shell.stdout).trim(), "publish");
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let (code, _, error) = run(&["man", pages.to_str().unwrap()], &[]);
    assert_eq!(code, 0, "{error}");
    for page in ["tidings.1", "tidings-dev.1", "tidings-history-export.1"] {
        let page = std::fs::read_to_string(pages.join(page)).expect(page);
        assert!(
            page.contains(".TH") && page.contains("tidings"),
            "{page:.200}"
        );
    }
}

#[test]
fn init_writes_a_configuration_that_a_hub_starts_with() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let listen = port.to_string();
    let arguments = [
        "init",
        "--public-url",
        "https://example.com",
        "--listen",
        &listen,
        "--anonymous",
        "--origin",
        "https://www.example.com",
        "--data",
        "data",
    ];
    let (code, output, error) = in_folder(folder.path(), &arguments, "");
    assert_eq!((code, output.as_str()), (0, ""), "{error}");
    let text = std::fs::read_to_string(folder.path().join("tidings.toml")).unwrap();
    for part in [
        "public_url = \"https://example.com/.well-known/mercure\"\n",
        "\n# retain_hours = 168\n",
        "origins = [\"https://www.example.com\"]\n",
        "\n# Seconds",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    // What it says to do next works.
    let make = error
        .split_once("make a token:   tidings ")
        .unwrap()
        .1
        .replace('\'', "");
    let make: Vec<&str> = make.split_whitespace().collect();
    let (code, token, error) = in_folder(folder.path(), &make, "");
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = in_folder(folder.path(), &["config", "check", "--json"], "");
    assert_eq!(code, 0, "{error}");
    let mut child = start(folder.path(), &["serve"]);
    wait_until("the hub is ready", || {
        (in_folder(folder.path(), &["health", "--json"], "").0 == 0).then_some(())
    });
    let url = format!("http://{port}/.well-known/mercure");
    let published = in_folder(
        folder.path(),
        &[
            "publish",
            "--hub",
            &url,
            "--token",
            token.trim(),
            TOPIC,
            "x",
        ],
        "",
    );
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(published.0, 0, "{published:?}");
    // Neither is anything overwritten.
    let (code, _, error) = in_folder(folder.path(), &arguments, "");
    assert_eq!(code, 1);
    assert!(error.contains("--force"), "{error}");
}

#[test]
fn init_asks_what_it_was_not_told() {
    let folder = tempfile::tempdir().unwrap();
    let answers = "https://push.example.com\n\nhttps://a.example, https://b.example\nyes\n";
    let (code, _, error) = in_folder(folder.path(), &["init", "--ask"], answers);
    assert_eq!(code, 0, "{error}");
    let (code, shown, _) = in_folder(folder.path(), &["config", "show", "--json"], "");
    assert_eq!(code, 0);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown["hub.public_url"]["value"],
        "https://push.example.com/.well-known/mercure"
    );
    assert_eq!(
        shown["cors.origins"]["value"],
        serde_json::json!(["https://a.example", "https://b.example"])
    );
    assert_eq!(shown["subscribe.anonymous"]["value"], true);
    assert_eq!(shown["history.retain_hours"]["origin"], "default");
    // Without a terminal the command does not wait for answers, and reports a wrong one.
    let (code, _, error) = in_folder(folder.path(), &["init", "--force"], "");
    assert_eq!(code, 2);
    assert!(error.contains("--public-url"), "{error}");
    let wrong = [
        "init",
        "--public-url",
        "https://x.example",
        "--origin",
        "x",
        "--force",
    ];
    let (code, _, error) = in_folder(folder.path(), &wrong, "");
    assert_eq!(code, 1);
    assert!(error.contains("does not begin with a scheme"), "{error}");
}

#[test]
fn init_checks_what_it_is_told_before_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let url = ["init", "--public-url", "https://x.example"];
    let certificate = ["--certificate", "chain.pem", "--private-key", "key.pem"];
    let (code, _, error) = in_folder(folder.path(), &[&url[..], &certificate].concat(), "");
    assert_eq!(code, 1);
    assert!(error.contains("chain.pem"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    // Tokens that travel unencrypted are not passed over in silence.
    let (code, _, error) = in_folder(
        folder.path(),
        &["init", "--public-url", "http://x.example", "--anonymous"],
        "",
    );
    assert_eq!(
        (code, error.contains("tokens travel unencrypted")),
        (0, true),
        "{error}"
    );
    // The folder for the history is one that this user can make.
    let (_, shown, _) = in_folder(folder.path(), &["config", "show", "--json"], "");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let own = folder.path().canonicalize().unwrap().join("hub-data");
    let expected = match rustix::process::geteuid().is_root() {
        true => "/var/lib/tidings".to_owned(),
        false => own.display().to_string(),
    };
    assert_eq!(shown["data.dir"]["value"], expected);
}

#[test]
fn where_nothing_is_configured_a_command_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, error) = in_folder(folder.path(), &["serve"], "");
    assert_eq!(
        (code, error.contains("`tidings init`")),
        (2, true),
        "{error}"
    );
    let (code, _, error) = in_folder(folder.path(), &["history", "tail"], "");
    assert_eq!(
        (code, error.contains("history.db cannot be read")),
        (1, true),
        "{error}"
    );
}

#[test]
fn a_context_names_a_hub_and_its_token() {
    let hub = TestHub::dev();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let environment = [("XDG_CONFIG_HOME", home)];
    let url = format!("http://{}/.well-known/mercure", hub.address);
    let token = hub.data().join("publisher.token").display().to_string();
    let tidings = |arguments: &[&str]| run(arguments, &environment);
    let add = [
        "context",
        "add",
        "test",
        "--hub",
        &url,
        "--token-file",
        &token,
    ];
    assert_eq!(tidings(&add).0, 0);
    // The first one is chosen.
    let (code, id, error) = tidings(&["publish", TOPIC, "x", "--json"]);
    assert_eq!(code, 0, "{error}");
    let id: Value = serde_json::from_str(&id).unwrap();
    assert_eq!(id["topics"], serde_json::json!([TOPIC]));
    assert!(error.contains("context test"), "{error}");
    let (_, list, _) = tidings(&["context", "list"]);
    assert!(list.contains("* test") && list.contains(&url), "{list}");
    assert!(!list.contains("eyJ"), "{list}");
    let (_, list, _) = tidings(&["context", "list", "--json"]);
    let list: Value = serde_json::from_str(&list).unwrap();
    let expected = serde_json::json!([
        {"name": "dev", "hub": null, "chosen": false},
        {"name": "test", "hub": url, "chosen": true},
    ]);
    assert_eq!(list, expected);
    // Another can be named, and `dev` is always there.
    let (code, _, error) = tidings(&["publish", "--context", "prod", TOPIC, "x"]);
    assert_eq!(code, 1);
    assert!(
        error.contains("there is no context \"prod\"; there are test"),
        "{error}"
    );
    let (code, _, error) = tidings(&["publish", "--context", "dev", TOPIC, "x"]);
    assert_eq!((code, error.contains("tidings dev")), (2, true), "{error}");
    let file = folder.path().join("tidings/contexts.toml");
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o077, 0);
    assert_eq!(tidings(&["context", "remove", "test"]).0, 0);
    assert_eq!(tidings(&["publish", TOPIC, "x"]).0, 2);
}

#[test]
fn why_there_is_no_answer_is_said_in_words() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let said = |url: &str, more: &[&str]| {
        let arguments = [&["subscribe", "--hub", url, "t"][..], more].concat();
        let (code, _, error) = run(&arguments, &[]);
        assert_eq!(code, 1, "{error}");
        assert!(
            !error.contains("os error") && !error.contains('{'),
            "{error}"
        );
        error
    };
    let error = said(&format!("http://{unused}/hub"), &[]);
    let expected = format!("nothing listens at {unused}; is `tidings dev` running?");
    assert!(error.contains(&expected), "{error}");
    let (plain, (sealed, _certificate)) = (TestHub::dev(), serve_tls(""));
    let port = sealed.address.port();
    let error = said(&format!("https://localhost:{port}/hub"), &[]);
    assert!(error.contains("--ca FILE"), "{error}");
    let ca = sealed
        .folder()
        .join("certificate.pem")
        .display()
        .to_string();
    let error = said(&format!("https://127.0.0.1:{port}/hub"), &["--ca", &ca]);
    assert!(error.contains("not for the name 127.0.0.1"), "{error}");
    let error = said(&format!("https://{}/hub", plain.address), &[]);
    assert!(error.contains("does not use TLS: write http://"), "{error}");
    let error = said(&format!("http://localhost:{port}/hub"), &[]);
    assert!(
        error.contains("write https:// instead of http://"),
        "{error}"
    );
    // With the authority it works.
    let url = format!("https://localhost:{port}/.well-known/mercure");
    let token = token();
    let arguments = [
        "publish", "--hub", &url, "--ca", &ca, "--token", &token, TOPIC, "x",
    ];
    assert_eq!(run(&arguments, &[]).0, 0);
}

/// As `openssl req -x509` makes it by itself.
#[test]
fn a_certificate_of_an_authority_is_refused_with_what_to_do() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let ca = folder.path().join("certificate.pem");
    std::fs::write(&ca, parameters.self_signed(&key).unwrap().pem()).unwrap();
    std::fs::write(folder.path().join("key.pem"), key.serialize_pem()).unwrap();
    let hub = TestHub::serve_in(folder, &toml(Certificate::toml()), &[]);
    let url = format!("https://localhost:{}/hub", hub.address.port());
    let ca = ca.display().to_string();
    let (code, _, error) = run(&["subscribe", "--hub", &url, "--ca", &ca, "t"], &[]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("basicConstraints=CA:FALSE"), "{error}");
}

#[test]
fn the_history_is_read_while_its_hub_runs() {
    let hub = TestHub::dev();
    for number in 0..30 {
        let topic = format!("https://example.com/{}", number % 3);
        let private = if number == 29 { "on" } else { "" };
        let form = [
            ("topic", topic.as_str()),
            ("data", &number.to_string()),
            ("private", private),
        ];
        hub.published(if private.is_empty() {
            &form[..2]
        } else {
            &form
        });
    }
    let file = hub.data().join("history.db").display().to_string();
    let history = |command: &str, more: &[&str]| {
        let arguments = [&["history", command, "--file", &file][..], more].concat();
        let (code, output, error) = run(&arguments, &[]);
        assert_eq!(code, 0, "{error}");
        output
    };
    let data = |lines: &str| -> Vec<String> {
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .map(|update| update["data"].as_str().unwrap().to_owned())
            .collect()
    };
    let all: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    let exported = history("export", &[]);
    assert_eq!(data(&exported), all);
    let last: Value = serde_json::from_str(exported.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["private"], &last["topics"][0]),
        (&true.into(), &"https://example.com/2".into())
    );
    assert_eq!(
        data(&history("export", &["--topic", "https://example.com/1"])).len(),
        10
    );
    assert_eq!(data(&history("export", &["--since", "1h"])).len(), 30);
    assert_eq!(data(&history("tail", &["-n", "2", "--json"])), ["28", "29"]);
    let text = history("tail", &["-n", "1", "--topic", "https://example.com/0"]);
    assert!(
        text.contains("  https://example.com/0  id urn:uuid:") && text.ends_with("\n27\n\n"),
        "{text}"
    );
    let stats: Value = serde_json::from_str(&history("stats", &["--json", "--topics"])).unwrap();
    assert_eq!(
        (&stats["updates"], &stats["topics"]["https://example.com/0"]),
        (&30.into(), &10.into())
    );
    assert!(history("stats", &[]).contains("updates   30\n"));
    // Nothing is removed from under a hub.
    let (code, _, error) = run(&["history", "prune", "--file", &file, "--keep", "1"], &[]);
    assert_eq!(code, 1);
    assert!(error.contains("stop the hub first"), "{error}");
}

#[test]
fn the_history_is_followed() {
    let hub = TestHub::dev();
    hub.published(&[("topic", "a"), ("data", "before")]);
    let file = hub.data().join("history.db").display().to_string();
    let arguments = [
        "history", "tail", "--file", &file, "-n", "1", "-f", "--json",
    ];
    let mut follow = start(hub.folder(), &arguments);
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    assert_eq!(next()["data"], "before");
    hub.published(&[("topic", "a"), ("data", "later")]);
    assert_eq!(next()["data"], "later");
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn a_history_is_pruned_by_number_and_by_age() {
    let mut hub = TestHub::dev();
    for number in 0..20 {
        hub.published(&[("topic", "a"), ("data", &number.to_string())]);
    }
    assert!(hub.stop());
    let file = hub.data().join("history.db").display().to_string();
    let prune = |more: &[&str]| {
        let arguments = [&["history", "prune", "--file", &file][..], more].concat();
        run(&arguments, &[])
    };
    let (code, output, error) = prune(&["--keep", "5"]);
    assert_eq!(
        (code, output.as_str()),
        (0, "15 updates removed, 5 kept\n"),
        "{error}"
    );
    assert_eq!(
        prune(&["--older-than", "1h"]).1,
        "0 updates removed, 5 kept\n"
    );
    wait_until("all are older than a second", || {
        let (code, output, error) = prune(&["--older-than", "1s"]);
        assert_eq!(code, 0, "{error}");
        output.ends_with(" removed, 1 kept\n").then_some(())
    });
    let output = prune(&["--keep", "1", "--json"]).1;
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap()["kept"], 1);
    assert_eq!(prune(&[]).0, 2);
    let nothing = hub.folder().join("nothing.db").display().to_string();
    let (code, _, error) = run(
        &["history", "prune", "--file", &nothing, "--keep", "1"],
        &[],
    );
    assert_eq!(code, 1, "{error}");
    assert!(!Path::new(&nothing).exists());
    // The hub takes it, with what was kept.
    hub.restart();
    let mut stream = hub.subscribe("match=a&last_event_id=earliest");
    assert_eq!(stream.data(1), ["19"]);
}

#[test]
fn subscribe_shows_topic_and_time_and_raw_data() {
    let hub = TestHub::dev();
    let data = hub.data().display().to_string();
    hub.published(&[("topic", TOPIC), ("topic", "alternate"), ("data", "one")]);
    let subscribe = |more: &[&str]| {
        let arguments = [
            "subscribe",
            "--dev-data",
            &data,
            "*",
            "--earliest",
            "--count",
            "1",
        ];
        let (code, output, error) = run(&[&arguments[..], more].concat(), &[]);
        assert_eq!(code, 0, "{error}");
        output
    };
    let text = subscribe(&[]);
    assert!(text.starts_with("20"), "{text}");
    assert!(
        text.contains(&format!("Z  {TOPIC}  alternate  id urn:uuid:")),
        "{text}"
    );
    let object: Value = serde_json::from_str(&subscribe(&["--json"])).unwrap();
    assert_eq!(object["topics"], serde_json::json!([TOPIC, "alternate"]));
    assert_eq!(subscribe(&["--raw"]), "one\n");
}

#[test]
fn a_line_break_at_the_end_of_the_input_is_not_sent() {
    let hub = TestHub::dev();
    let data = hub.data().display().to_string();
    for (input, expected) in [
        ("{\"a\":1}\n", "{\"a\":1}"),
        ("x\r\n", "x"),
        ("x\n\n", "x\n"),
        ("x\r", "x\r"),
    ] {
        let arguments = ["publish", "--dev-data", &data, TOPIC, "-"];
        let (code, id, error) = in_folder(hub.folder(), &arguments, input);
        assert_eq!(code, 0, "{error}");
        let stream = format!(
            "{}?match={TOPIC}&last_event_id=earliest",
            crate::harness::HUB_PATH
        );
        let poll = crate::harness::Request::get(&stream).header("Prefer", "wait=0");
        let polled = hub.request(poll).json();
        let updates = polled["updates"].as_array().unwrap();
        let update = updates
            .iter()
            .find(|update| update["id"] == id.trim())
            .unwrap();
        assert_eq!(update["data"], expected);
    }
}

#[test]
fn tokens_are_made_and_judged_as_json() {
    let hub = TestHub::dev();
    let data = hub.data().display().to_string();
    let (code, made, error) = run(
        &[
            "token",
            "make",
            "--dev-data",
            &data,
            "--publish",
            "*",
            "--json",
        ],
        &[],
    );
    assert_eq!(code, 0, "{error}");
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["claims"]["iss"], "urn:tidings:dev");
    let token = made["token"].as_str().unwrap();
    let inspect = [
        "token",
        "inspect",
        "--dev",
        "--dev-data",
        &data,
        "--json",
        token,
    ];
    let (code, verdict, error) = run(&inspect, &[]);
    assert_eq!(code, 0, "{error}");
    let verdict: Value = serde_json::from_str(&verdict).unwrap();
    assert_eq!(verdict["verdicts"]["publish"]["accepted"], true);
    assert_eq!(verdict["header"]["typ"], "at+jwt");
    let (code, verdict, _) = run(
        &["config", "check", "--json"],
        &[("TIDINGS_LOG__LEVEL", "x")],
    );
    assert_eq!(code, 2);
    let verdict: Value = serde_json::from_str(&verdict).unwrap();
    assert_eq!(verdict["ok"], false);
    assert!(
        verdict["errors"].to_string().contains("log.level"),
        "{verdict}"
    );
}

#[test]
fn dev_opens_its_page_in_the_browser() {
    let folder = tempfile::tempdir().unwrap();
    let opened = folder.path().join("opened");
    let browser = folder.path().join("browser");
    std::fs::write(
        &browser,
        format!(
            "#!/bin/sh\necho \"$1\" > '{}.new'\nmv '{0}.new' '{0}'\n",
            opened.display()
        ),
    )
    .unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&browser, executable).unwrap();
    let mut command = program(folder.path(), &["dev", "--listen", "127.0.0.1:0", "--open"]);
    let mut child = command.env("BROWSER", &browser).spawn().unwrap();
    wait_until("the browser is opened", || opened.exists().then_some(()));
    let address = std::fs::read_to_string(&opened).unwrap();
    assert!(address.starts_with("http://localhost:"), "{address}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Runs a command in a folder, with this standard input.
fn in_folder(folder: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = program(folder, arguments);
    let mut child = command
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("piped");
    // It may have ended before it read anything.
    drop(stdin.write_all(input.as_bytes()));
    drop(stdin);
    let output = child.wait_with_output().expect("an end");
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn start(folder: &Path, arguments: &[&str]) -> std::process::Child {
    program(folder, arguments)
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

fn program(folder: &Path, arguments: &[&str]) -> Command {
    let arguments: Vec<String> = arguments
        .iter()
        .map(|&argument| argument.to_owned())
        .collect();
    let path = ("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    let mut command = command(&arguments, &[path]);
    command.current_dir(folder);
    command
}
