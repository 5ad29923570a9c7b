//! What the environment of another hub means here.

use expect_test::{Expect, expect};

use super::*;

#[test]
fn the_names_since_0_11_are_read_together() {
    check(
        &[
            ("SERVER_NAME", ":80"),
            ("MERCURE_PUBLISHER_JWT_KEY", "p"),
            ("MERCURE_SUBSCRIBER_JWT_KEY", "s"),
            ("MERCURE_SUBSCRIBER_JWT_ALG", "HS512"),
            (
                "MERCURE_EXTRA_DIRECTIVES",
                "anonymous\nsubscriptions\ncors_origins https://a.example *\nheartbeat 1500ms\nui\nbogus 1\n",
            ),
            ("MERCURE_LICENSE", "x"),
            ("MERCURE_URL", "http://hub/"),
            ("EDITOR", "vi"),
        ],
        expect![[r#"
            listen.0.address = "[::]:80" (SERVER_NAME)
            listen.0.tls = false (SERVER_NAME)
            hub.public_url = "http://localhost/.well-known/mercure" (SERVER_NAME)
            auth.issuers.0.issuer = "https://localhost" (MERCURE_PUBLISHER_JWT_KEY)
            auth.issuers.0.key = "p" (MERCURE_PUBLISHER_JWT_KEY)
            auth.issuers.0.publish = true (MERCURE_PUBLISHER_JWT_KEY)
            auth.issuers.0.subscribe = false (MERCURE_PUBLISHER_JWT_KEY)
            auth.issuers.0.dialects = ["0.x"] (MERCURE_PUBLISHER_JWT_KEY)
            dialects.v0 = true (MERCURE_SUBSCRIBER_JWT_KEY)
            auth.issuers.1.issuer = "https://localhost" (MERCURE_SUBSCRIBER_JWT_KEY)
            auth.issuers.1.key = "s" (MERCURE_SUBSCRIBER_JWT_KEY)
            auth.issuers.1.algorithm = "HS512" (MERCURE_SUBSCRIBER_JWT_KEY)
            auth.issuers.1.publish = false (MERCURE_SUBSCRIBER_JWT_KEY)
            auth.issuers.1.subscribe = true (MERCURE_SUBSCRIBER_JWT_KEY)
            auth.issuers.1.dialects = ["0.x"] (MERCURE_SUBSCRIBER_JWT_KEY)
            subscribe.anonymous = true (MERCURE_EXTRA_DIRECTIVES: anonymous)
            presence.enabled = true (MERCURE_EXTRA_DIRECTIVES: subscriptions)
            cors.origins = ["https://a.example", "*"] (MERCURE_EXTRA_DIRECTIVES: cors_origins)
            subscribe.keep_alive_secs = 2 (MERCURE_EXTRA_DIRECTIVES: heartbeat)
            pages.debugger = true (MERCURE_EXTRA_DIRECTIVES: ui)
            unread: MERCURE_EXTRA_DIRECTIVES: bogus: no such setting of that hub is known
            unread: MERCURE_LICENSE: Tidings needs no licence
            unread: MERCURE_URL: not a setting of the hub; applications have settings with such names
        "#]],
    );
}

#[test]
fn a_server_name_without_keys_is_somebody_elses() {
    check(
        &[("SERVER_NAME", ":80"), ("MERCURE_URL", "x"), ("DEBUG", "1")],
        expect![""],
    );
}

#[test]
fn the_names_of_2019_are_read_together() {
    check(
        &[
            ("JWT_KEY", "k"),
            ("DEMO", "1"),
            ("ALLOW_ANONYMOUS", "1"),
            ("CORS_ALLOWED_ORIGINS", "*,http://a.example"),
            (
                "PUBLISH_ALLOWED_ORIGINS",
                "http://a.example http://b.example",
            ),
            ("ADDR", ":3000"),
            ("HEARTBEAT_INTERVAL", "0s"),
            ("DB_PATH", "/data/updates.db"),
            ("HISTORY_SIZE", "100"),
            ("COMPRESS", "0"),
            ("LOG_FORMAT", "JSON"),
        ],
        expect![[r#"
            auth.issuers.0.issuer = "https://localhost" (JWT_KEY)
            auth.issuers.0.key = "k" (JWT_KEY)
            auth.issuers.0.publish = true (JWT_KEY)
            auth.issuers.0.subscribe = false (JWT_KEY)
            auth.issuers.0.dialects = ["2019", "0.x"] (JWT_KEY)
            dialects.v0 = true (JWT_KEY)
            dialects.v2019 = true (JWT_KEY)
            auth.issuers.1.issuer = "https://localhost" (JWT_KEY)
            auth.issuers.1.key = "k" (JWT_KEY)
            auth.issuers.1.publish = false (JWT_KEY)
            auth.issuers.1.subscribe = true (JWT_KEY)
            auth.issuers.1.dialects = ["2019", "0.x"] (JWT_KEY)
            listen.0.address = "[::]:3000" (ADDR)
            listen.0.tls = false (ADDR)
            hub.public_url = "http://localhost:3000/.well-known/mercure" (ADDR)
            subscribe.anonymous = true (ALLOW_ANONYMOUS)
            dialects.demo = true (DEMO)
            pages.debugger = true (DEMO)
            cors.origins = ["*", "http://a.example"] (CORS_ALLOWED_ORIGINS)
            publish.origins = ["http://a.example", "http://b.example"] (PUBLISH_ALLOWED_ORIGINS)
            subscribe.keep_alive_secs = 0 (HEARTBEAT_INTERVAL)
            data.dir = "/data" (DB_PATH)
            history.retain_updates = 100 (HISTORY_SIZE)
            log.format = "json" (LOG_FORMAT)
            log.access = true (LOG_FORMAT)
            unread: DB_PATH: updates are kept in an own file; `tidings history import` takes over what is in the old one
            unread: COMPRESS: answers are not compressed; a proxy may do it for pages
        "#]],
    );
}

#[test]
fn sites_say_where_to_listen_and_by_what_name() {
    let urls = |name: &str| {
        let mut into = Translation::default();
        site::translate(name, "/h", site::Tls::ByAddress, "SERVER_NAME", &mut into);
        let values = into.values.iter().filter(|value| {
            value.path.ends_with("address")
                || value.path.ends_with("url")
                || value.path.ends_with("tls")
        });
        values
            .map(|value| value.value.to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    for (name, expected) in [
        ("localhost", r#""[::]:443" true "https://localhost/h""#),
        (":80", r#""[::]:80" false "http://localhost/h""#),
        (":8080", r#""[::]:8080" false "http://localhost:8080/h""#),
        ("example.com", r#""[::]:443" true "https://example.com/h""#),
        (
            "http://example.com",
            r#""[::]:80" false "http://example.com/h""#,
        ),
        (
            "Example.com:8443",
            r#""[::]:8443" true "https://example.com:8443/h""#,
        ),
        (
            "http://a.example, https://a.example",
            r#""[::]:80" false "[::]:443" true "http://a.example/h""#,
        ),
        ("[::1]:80", r#""[::]:80" false "http://[::1]/h""#),
    ] {
        assert_eq!(urls(name), expected, "{name}");
    }
}

#[test]
fn urls_of_the_hub_are_taken_over() {
    check_directives(
        "public_urls https://a.example http://b.example:8080",
        expect![[r#"
            hub.hosts = ["a.example", "b.example:8080"]
            hub.public_url = "https://a.example/.well-known/mercure"
        "#]],
    );
    check_directives(
        "resource_identifier https://a.example/.well-known/mercure",
        expect![[r#"
            auth.audiences = ["https://a.example/.well-known/mercure"]
            hub.public_url = "https://a.example/.well-known/mercure"
        "#]],
    );
    check_directives(
        "resource_identifier urn:example:hub",
        expect![[r#"
            auth.audiences = ["urn:example:hub"]
        "#]],
    );
}

#[test]
fn transports_become_histories() {
    let kept = "MERCURE_EXTRA_DIRECTIVES: transport_url: updates are kept in an own file; \
                `tidings history import` takes over what is in the old one";
    for (line, values, unread) in [
        ("transport local", &["history.kind = \"none\""][..], None),
        (
            "transport_url local://local",
            &["history.kind = \"none\""],
            None,
        ),
        (
            "transport_url bolt://x.db?size=7&cleanup_frequency=0.5",
            &["history.kind = \"file\"", "history.retain_updates = 7"],
            Some(kept),
        ),
        (
            "transport redis",
            &[],
            Some(
                "MERCURE_EXTRA_DIRECTIVES: transport: this transport does not exist here: each hub \
                 keeps its own history, and `[cluster]` makes several hubs one (docs/guide/cluster.md)",
            ),
        ),
    ] {
        let translation = directives_of(line);
        let read = translation.values.iter();
        let read: Vec<String> = read
            .map(|read| format!("{} = {}", read.path, read.value))
            .collect();
        assert_eq!(read, values, "{line}");
        let left = translation.unread.first();
        let left = left.map(|left| format!("{}: {}", left.name, left.why));
        assert_eq!(left.as_deref(), unread, "{line}");
    }
}

#[test]
fn times_and_sizes_are_read_as_go_writes_them() {
    let secs = |text| units::duration(text).map(units::whole_secs);
    for (text, expected) in [
        ("0", Some(0)),
        ("0s", Some(0)),
        ("40s", Some(40)),
        ("1m30s", Some(90)),
        ("1.5h", Some(5400)),
        ("500ms", Some(1)),
        ("1d", Some(86400)),
        ("", None),
        ("40", None),
        ("s", None),
        ("1y", None),
        ("-1s", None),
        ("1..2s", None),
        ("99999999999999999999999h", None),
    ] {
        assert_eq!(secs(text), expected, "{text}");
    }
    assert_eq!(units::bytes("1MiB"), Some(1 << 20));
    assert_eq!(units::bytes("2 mb"), Some(2_000_000));
    assert_eq!(units::bytes("1048576"), Some(1 << 20));
    for text in ["", "MB", "1 parsec", "99999999999999999999"] {
        assert_eq!(units::bytes(text), None, "{text}");
    }
}

#[test]
fn what_cannot_be_understood_is_said() {
    check(
        &[
            ("MERCURE_PUBLISHER_JWT_KEY", "p"),
            ("SERVER_NAME", "ftp://x"),
            (
                "MERCURE_EXTRA_DIRECTIVES",
                "heartbeat soon\nmax_request_body_size much",
            ),
        ],
        expect![[r#"
            auth.issuers.0.issuer = "https://localhost" (MERCURE_PUBLISHER_JWT_KEY)
            auth.issuers.0.key = "p" (MERCURE_PUBLISHER_JWT_KEY)
            auth.issuers.0.publish = true (MERCURE_PUBLISHER_JWT_KEY)
            auth.issuers.0.subscribe = false (MERCURE_PUBLISHER_JWT_KEY)
            auth.issuers.0.dialects = ["0.x"] (MERCURE_PUBLISHER_JWT_KEY)
            dialects.v0 = true (MERCURE_PUBLISHER_JWT_KEY)
            SERVER_NAME: write site addresses such as :80 or https://example.com, not "ftp://x"
            MERCURE_EXTRA_DIRECTIVES: heartbeat: write a duration such as 40s or 10m
            MERCURE_EXTRA_DIRECTIVES: max_request_body_size: write a size such as 1MiB
        "#]],
    );
}

#[track_caller]
fn check(variables: &[(&str, &str)], expected: Expect) {
    let variables: Vec<Variable> = variables
        .iter()
        .map(|&(name, value)| Variable {
            name: name.to_owned(),
            value: Some(value.to_owned()),
        })
        .collect();
    let translation = of_environment(&variables);
    let mut text = String::new();
    for value in &translation.values {
        text += &format!("{} = {} ({})\n", value.path, value.value, value.source);
    }
    for unread in &translation.unread {
        text += &format!("unread: {}: {}\n", unread.name, unread.why);
    }
    for error in &translation.errors {
        text += &format!("{error}\n");
    }
    expected.assert_eq(&text);
}

/// Translates directives alone.
fn directives_of(text: &str) -> Translation {
    let mut into = Translation::default();
    let lines = caddyfile::parse(text, &|_| None).unwrap();
    let context = |_: &caddyfile::Line| "MERCURE_EXTRA_DIRECTIVES".to_owned();
    directives::translate(&lines, &|_| None, &context, &mut into);
    into
}

#[track_caller]
fn check_directives(text: &str, expected: Expect) {
    let values = directives_of(text).values;
    let lines = values
        .iter()
        .map(|value| format!("{} = {}\n", value.path, value.value));
    expected.assert_eq(&lines.collect::<String>());
}
