//! Settings that were written for another Mercure hub: its environment and its Caddyfile.

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
    // What is in use and what is not stands in the log.
    let log = hub.log();
    assert!(
        log.contains("settings of another Mercure hub are in use"),
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
    assert!(said.contains("not taken over: line 2 encode"), "{said}");
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
