//! The settings of another Mercure hub: its environment and its Caddyfile.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{HUB_PATH, Request, TestHub, run};

/// Long enough for HS256.
const KEY: &str = "a secret that was the other hub's before";

#[test]
fn the_environment_of_another_hub_is_enough_to_start() {
    let hub = TestHub::serve_by_environment(&[
        ("SERVER_NAME", ":0"),
        ("MERCURE_PUBLISHER_JWT_KEY", KEY),
        ("MERCURE_SUBSCRIBER_JWT_KEY", KEY),
        (
            "MERCURE_EXTRA_DIRECTIVES",
            "anonymous\ncors_origins https://app.example\nmax_request_body_size 1KiB\nbogus\n",
        ),
    ]);
    let mut stream = hub.subscribe("match=a");
    let token = make_token("http://localhost:0/.well-known/mercure");
    let answer = hub.publish_as(&token, &[("topic", "a"), ("data", "1")]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(stream.data(1), ["1"]);
    // The directives count: whose pages may read, and how long a body may be.
    let asked =
        Request::get(&format!("{HUB_PATH}?match=a")).header("Origin", "https://app.example");
    let head = Request {
        method: "HEAD".into(),
        ..asked
    };
    let allowed = hub.request(head);
    assert_eq!(
        allowed.header("Access-Control-Allow-Origin"),
        Some("https://app.example")
    );
    let long = "x".repeat(2000);
    assert_eq!(
        hub.publish_as(&token, &[("topic", "a"), ("data", &long)])
            .status,
        413
    );
    // The log says which settings are used and which are not.
    let log = hub.log();
    assert!(
        log.contains("using settings of another Mercure hub"),
        "{log}"
    );
    assert!(log.contains("MERCURE_EXTRA_DIRECTIVES: bogus"), "{log}");
    assert!(!log.contains(KEY), "{log}");
}

#[test]
fn config_show_says_which_foreign_name_each_value_is_from() {
    let environment = [
        ("JWT_KEY", KEY),
        ("ALLOW_ANONYMOUS", "1"),
        ("CORS_ALLOWED_ORIGINS", "http://a.example"),
        ("COMPRESS", "0"),
        ("TIDINGS_CORS__ORIGINS", "https://b.example"),
    ];
    let (code, shown, error) = run(&["config", "show"], &environment);
    assert_eq!(code, 0, "{error}");
    for line in [
        "address = \"[::]:80\" # ADDR, not set",
        "key = \"(hidden)\" # JWT_KEY",
        "anonymous = true # ALLOW_ANONYMOUS",
        "origins = [\"https://b.example\"] # environment",
        "# CORS_ALLOWED_ORIGINS (cors.origins): a setting of our own says it",
        "# COMPRESS: answers are not compressed; a proxy may do it for pages",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let (code, _, error) = run(&["config", "check"], &environment);
    assert_eq!(code, 0, "{error}");
}

#[test]
fn a_site_that_asks_for_https_needs_certificate_files() {
    let environment = [
        ("SERVER_NAME", "hub.example.com"),
        ("MERCURE_PUBLISHER_JWT_KEY", KEY),
    ];
    let (code, _, error) = run(&["config", "check"], &environment);
    assert_eq!(code, 2);
    assert!(
        error.contains("listen.0.tls") && error.contains("tls.certificate"),
        "{error}"
    );
}

#[test]
fn a_caddyfile_becomes_a_configuration_that_its_owner_alone_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (caddyfile, toml) = (path("Caddyfile"), path("tidings.toml"));
    let text = format!(
        ":8080 {{\n\tencode gzip\n\tmercure {{\n\t\tpublisher_jwt \"{KEY}\"\n\t\tanonymous\n\t}}\n}}\n"
    );
    fs::write(&caddyfile, text).unwrap();
    let import = ["config", "import", &caddyfile, "--output", &toml];
    let (code, _, said) = run(&import, &[]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("not imported: line 2 encode"), "{said}");
    assert!(said.contains("config check --config"), "{said}");
    assert_eq!(
        fs::metadata(&toml).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let (code, output, error) = run(&["config", "check", "--config", &toml], &[]);
    assert_eq!((code, output.as_str()), (0, "ok\n"), "{error}");
    // One that is there is not replaced without being told.
    let (code, _, said) = run(&import, &[]);
    assert_eq!(code, 1);
    assert!(said.contains("--force"), "{said}");
    assert_eq!(run(&[&import[..], &["--force"]].concat(), &[]).0, 0);
    let (code, output, _) = run(&["config", "import", &caddyfile, "--output", "-"], &[]);
    assert_eq!((code, output), (0, fs::read_to_string(&toml).unwrap()));
}

#[test]
fn a_caddyfile_with_placeholders_for_algorithms_is_usable() {
    // The usual file of that hub names a variable for each algorithm, and hardly anybody sets it.
    let directives = "publisher_jwt {env.KEY} {env.PUBLISHER_ALG}\n\
                      subscriber_jwt {env.KEY} {$SUBSCRIBER_ALG}\n";
    for (environment, algorithm) in [
        (&[("KEY", KEY)][..], None),
        (&[("KEY", KEY), ("PUBLISHER_ALG", "")], None),
        (&[("KEY", KEY), ("PUBLISHER_ALG", "HS384")], Some("HS384")),
    ] {
        let toml = import(
            &format!(":80 {{\nmercure {{\n{directives}}}\n}}\n"),
            environment,
        );
        let lines: Vec<&str> = toml
            .lines()
            .filter(|line| line.starts_with("algorithm"))
            .collect();
        match algorithm {
            None => assert!(lines.is_empty(), "{toml}"),
            Some(name) => assert!(lines.len() == 1 && lines[0].contains(name), "{toml}"),
        }
        check_usable(&toml, environment);
    }
}

#[test]
fn inherited_settings_count_for_nothing_beside_what_replaces_them() {
    let own = "[[listen]]\naddress = \"127.0.0.1:4400\"\n[hub]\npublic_url = \
               \"https://hub.test/.well-known/mercure\"\n[[auth.issuers]]\nissuer = \"i\"\n\
               key = \"0123456789abcdef0123456789abcdef\"\n";
    for left_over in [
        &[
            ("MERCURE_PUBLISHER_JWT_KEY", KEY),
            ("MERCURE_SUBSCRIBER_JWT_KEY", KEY),
        ][..],
        // A key that is none is no error where it counts for nothing.
        &[("MERCURE_PUBLISHER_JWT_KEY", "!ChangeMe!")],
        &[(
            "MERCURE_EXTRA_DIRECTIVES",
            "publisher_jwt {env.UNSET}\ndemo",
        )],
        &[("JWT_KEY", "short"), ("DEMO", "1")],
        // Host names and TLS of an address that is not in use.
        &[
            ("MERCURE_PUBLISHER_JWT_KEY", KEY),
            ("SERVER_NAME", "http://old.example"),
        ],
        &[
            ("JWT_KEY", KEY),
            ("CERT_FILE", "/nowhere/crt"),
            ("KEY_FILE", "/nowhere/key"),
        ],
    ] {
        check_usable(own, left_over);
        let (code, shown, error) = show(own, left_over);
        assert_eq!(code, 0, "{error}");
        let values = shown.lines().filter(|line| !line.starts_with('#'));
        let values: Vec<&str> = values.collect();
        for line in ["v0 = false", "v2019 = false", "demo = false", "hosts = []"] {
            assert!(
                values.iter().any(|shown| shown.starts_with(line)),
                "{line}\n{shown}"
            );
        }
        assert!(
            !values.iter().any(|line| line.contains("nowhere")),
            "{shown}"
        );
    }
}

#[test]
fn an_error_names_the_foreign_setting_that_a_value_comes_from() {
    let environment = [
        ("MERCURE_PUBLISHER_JWT_KEY", "'quoted key'"),
        ("SERVER_NAME", ":80"),
    ];
    let (code, _, error) = run(&["config", "check"], &environment);
    assert_eq!(code, 2);
    let named = "MERCURE_PUBLISHER_JWT_KEY (auth.issuers.0.key)";
    assert!(
        error.contains(named) && error.contains("quotation marks"),
        "{error}"
    );
}

#[test]
fn older_names_beside_newer_ones_are_listed() {
    let names = [
        "JWT_KEY",
        "PUBLISHER_JWT_KEY",
        "SUBSCRIBER_JWT_KEY",
        "JWT_ALGORITHM",
        "ALLOW_ANONYMOUS",
        "CORS_ALLOWED_ORIGINS",
        "PUBLISH_ALLOWED_ORIGINS",
        "ACME_HOSTS",
        "HISTORY_SIZE",
        "HEARTBEAT_INTERVAL",
        "DEMO",
        "ADDR",
    ];
    let mut environment = vec![("MERCURE_PUBLISHER_JWT_KEY", KEY), ("SERVER_NAME", ":80")];
    environment.extend(names.map(|name| (name, "1")));
    let (code, shown, error) = run(&["config", "show"], &environment);
    assert_eq!(code, 0, "{error}");
    for name in names {
        let listed = format!("# {name}: a name of 2019");
        assert!(
            shown.lines().any(|line| line.starts_with(&listed)),
            "{name}\n{shown}"
        );
    }
    // Names that any program may have say nothing of a hub of 2019 by themselves.
    let environment = [
        ("MERCURE_PUBLISHER_JWT_KEY", KEY),
        ("SERVER_NAME", ":80"),
        ("DEBUG", "1"),
    ];
    let (_, shown, _) = run(&["config", "show"], &environment);
    assert!(!shown.contains("# DEBUG"), "{shown}");
}

#[test]
fn playground_and_demo_mean_what_they_meant() {
    let value = |toml: &str, key: &str| {
        let line = toml
            .lines()
            .find(|line| line.starts_with(&format!("{key} =")));
        line.map(|line| line.split(" #").next().unwrap_or_default().to_owned())
    };
    let hub = |directives: &str| {
        import(
            &format!(":80 {{\nmercure {{\npublisher_jwt {{env.KEY}}\n{directives}\n}}\n}}\n"),
            &[("KEY", KEY)],
        )
    };
    let toml = hub("playground");
    for (key, line) in [
        ("anonymous", "anonymous = true"),
        ("enabled", "enabled = true"),
        ("cookie_names", "cookie_names = [\"mercure_access_token\"]"),
        ("debugger", "debugger = true"),
    ] {
        assert_eq!(value(&toml, key).as_deref(), Some(line), "{toml}");
    }
    assert_eq!(toml.matches("origins = [\"*\"]").count(), 2, "{toml}");
    assert!(!toml.contains("chat") && !toml.contains("scores"), "{toml}");
    check_usable(&toml, &[]);
    // Other directives in the block override it, before and after it.
    for directives in [
        "playground\ncors_origins https://a.example\ncookie_name own",
        "cors_origins https://a.example\ncookie_name own\nplayground",
    ] {
        let toml = hub(directives);
        assert!(toml.contains("origins = [\"https://a.example\"]"), "{toml}");
        assert!(toml.contains("cookie_names = [\"own\"]"), "{toml}");
    }
    let toml = hub("demo\nanonymous");
    assert_eq!(
        value(&toml, "demo").as_deref(),
        Some("demo = true"),
        "{toml}"
    );
    assert!(!toml.contains("chat") && !toml.contains("scores"), "{toml}");
    check_usable(&toml, &[]);
    // The chat lets everybody publish: no older name may switch it on.
    let environment = [("JWT_KEY", KEY), ("DEMO", "1"), ("ALLOW_ANONYMOUS", "1")];
    let (_, shown, _) = run(&["config", "show"], &environment);
    assert!(
        shown.lines().any(|line| line.starts_with("chat = false")),
        "{shown}"
    );
}

#[test]
fn a_site_with_certificate_files_is_served_over_tls_on_any_port() {
    for (site, url) in [
        (":8443", "https://localhost:8443/"),
        ("hub.example:8443", "https://hub.example:8443/"),
        ("hub.example", "https://hub.example/"),
    ] {
        let toml = import(
            &format!(
                "{site} {{\ntls {{env.CRT}} /etc/hub.key\nmercure {{\npublisher_jwt {KEY_WORD}\n\
                 anonymous\n}}\nrespond /healthz 200\nrespond 404\n}}\n"
            ),
            &[("CRT", "/etc/hub.crt")],
        );
        assert!(toml.contains("tls = true"), "{toml}");
        assert!(toml.contains("certificate = \"/etc/hub.crt\""), "{toml}");
        assert!(
            toml.contains(&format!("public_url = \"{url}.well-known")),
            "{toml}"
        );
    }
    let toml = import(
        &format!(
            "http://a.example:8080 {{\nmercure {{\npublisher_jwt {KEY_WORD}\nanonymous\n}}\n}}\n"
        ),
        &[],
    );
    assert!(toml.contains("tls = false"), "{toml}");
}

#[test]
fn what_the_hub_serves_itself_is_not_called_missing() {
    let text = format!(
        ":80 {{\nmercure {{\npublisher_jwt {KEY_WORD}\nanonymous\n}}\nrespond /healthz 200\n\
         respond \"Not Found\" 404\n}}\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Caddyfile").display().to_string();
    fs::write(&path, text).unwrap();
    let (code, _, said) = run(&["config", "import", &path, "--output", "-"], &[]);
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("line 6"), "{said}");
    assert!(said.contains("line 7 respond"), "{said}");
}

#[test]
fn a_key_that_replaces_another_leaves_no_second_way_in() {
    let toml = import(
        &format!(
            ":80 {{\nmercure {{\npublisher_jwt {{env.OLD}}\npublisher_jwt {KEY_WORD}\nanonymous\n}}\n}}\n"
        ),
        &[("OLD", KEY)],
    );
    assert_eq!(toml.matches("[[auth.issuers]]").count(), 1, "{toml}");
    assert!(toml.contains(KEY_WORD) && !toml.contains(KEY), "{toml}");
    let environment = [
        ("MERCURE_PUBLISHER_JWT_KEY", KEY),
        (
            "MERCURE_EXTRA_DIRECTIVES",
            "publisher_jwks_url file:///keys.json\nanonymous",
        ),
        ("SERVER_NAME", ":80"),
    ];
    let (_, shown, _) = run(&["config", "show"], &environment);
    assert_eq!(shown.matches("[[auth.issuers]]").count(), 1, "{shown}");
    assert!(shown.contains("jwks_file = \"/keys.json\""), "{shown}");
}

#[test]
fn wildcards_of_origins_that_were_valid_there_are_so_here() {
    let toml = import(
        &format!(
            ":80 {{\nmercure {{\npublisher_jwt {KEY_WORD}\nanonymous\n\
             cors_origins https://pr-*.example.com http://localhost:* file://\n}}\n}}\n"
        ),
        &[],
    );
    check_usable(&toml, &[]);
    let hub = TestHub::served(
        "[cors]\norigins = [\"https://pr-*.example.com\", \"file://\"]\n\
         [subscribe]\nanonymous = true\n",
    );
    for (origin, allowed) in [
        ("https://pr-12.example.com", true),
        ("file://", true),
        ("https://pr-.example.com", false),
        ("https://pr-12.example.com.evil.test", false),
        ("https://www.example.com", false),
        ("null", false),
    ] {
        let head = Request {
            method: "HEAD".into(),
            ..Request::get(&format!("{HUB_PATH}?match=a")).header("Origin", origin)
        };
        let answer = hub.request(head);
        let expected = allowed.then_some(origin);
        assert_eq!(
            answer.header("Access-Control-Allow-Origin"),
            expected,
            "{origin}"
        );
    }
}

/// A key without spaces.
const KEY_WORD: &str = "0123456789abcdef0123456789abcdef";

/// Imports a Caddyfile and returns the written configuration.
#[track_caller]
fn import(caddyfile: &str, environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Caddyfile").display().to_string();
    fs::write(&path, caddyfile).unwrap();
    let (code, toml, error) = run(&["config", "import", &path, "--output", "-"], environment);
    assert_eq!(code, 0, "{error}");
    toml
}

#[track_caller]
fn check_usable(toml: &str, environment: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml").display().to_string();
    fs::write(&path, toml).unwrap();
    let (code, _, error) = run(&["config", "check", "--config", &path], environment);
    assert_eq!(code, 0, "{error}\n{toml}");
}

fn show(toml: &str, environment: &[(&str, &str)]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml").display().to_string();
    fs::write(&path, toml).unwrap();
    run(&["config", "show", "--config", &path], environment)
}

/// Makes a token that publishes everything on the hub of this URL.
fn make_token(audience: &str) -> String {
    let arguments = [
        "token",
        "make",
        "--issuer",
        "https://localhost",
        "--audience",
        audience,
        "--key",
        KEY,
        "--publish",
        "*",
    ];
    let (code, token, error) = run(&arguments, &[]);
    assert_eq!(code, 0, "{error}");
    token.trim().to_owned()
}
