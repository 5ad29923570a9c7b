//! Placeholders that another system should have resolved (`{env.NAME}`, `${NAME}`, `%NAME%`, quoted keys): each
//! is refused, from every source of the configuration.

use std::fs;

use crate::harness::{Request, TestHub, run};

/// Long enough for every HMAC.
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Keys that are no keys. Each is long enough to pass for one.
const UNFILLED: [&str; 14] = [
    "{env.MERCURE_PUBLISHER_JWT_KEY_OF_THE_STAGING_SITE_OF_THE_SHOP__}",
    "{!env.MERCURE_PUBLISHER_JWT_KEY_OF_THE_STAGING_SITE_OF_THE_SHOP_}",
    "{$MERCURE_PUBLISHER_JWT_KEY_OF_THE_STAGING_SITE_OF_THE_SHOP_____}",
    "{file./run/secrets/mercure_publisher_jwt_key_of_the_staging_site}",
    "{vars.mercure_publisher_jwt_key_of_the_staging_site_of_the_shop_}",
    "{mercure_publisher_jwt_key_of_the_staging_site_of_the_shop______}",
    "${MERCURE_PUBLISHER_JWT_KEY_OF_THE_STAGING_SITE_OF_THE_SHOP_____}",
    "${MERCURE_PUBLISHER_JWT_KEY:-a default that a shell would use____}",
    "the prefix of every key ${MERCURE_PUBLISHER_JWT_KEY_OF_THE_SITE}",
    "$MERCURE_PUBLISHER_JWT_KEY_OF_THE_STAGING_SITE_OF_THE_SHOP_______",
    "%MERCURE_PUBLISHER_JWT_KEY_OF_THE_STAGING_SITE_OF_THE_SHOP______%",
    "%env(MERCURE_PUBLISHER_JWT_KEY_OF_THE_STAGING_SITE_OF_THE_SHOP)%_",
    "{{ .Values.mercure.publisherJwtKeyOfTheStagingSiteOfTheShop }}___",
    "file:///run/secrets/mercure_publisher_jwt_key_of_the_staging_site",
];

#[test]
fn a_key_that_nothing_filled_in_is_refused_wherever_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key").display().to_string();
    let quoted = ['"', '\'', '`'].map(|quote| format!("{quote}{KEY}{quote}"));
    let jwk = format!("{{\"kty\":\"oct\",\"k\":\"{KEY}\"}}");
    let others = [quoted.as_slice(), &[jwk]].concat();
    for key in UNFILLED
        .into_iter()
        .chain(others.iter().map(String::as_str))
    {
        let own = |line: &str| {
            format!(
                "[[listen]]\naddress = \"127.0.0.1:4400\"\n[hub]\npublic_url = \
                 \"https://hub.test/.well-known/mercure\"\n[[auth.issuers]]\nissuer = \"i\"\n{line}\n"
            )
        };
        check_refused(&own(&format!("key = '''{key}'''")), &[]);
        fs::write(&file, format!("{key}\n")).unwrap();
        check_refused(&own(&format!("key_file = \"{file}\"")), &[]);
        check_refused(&own(""), &[("TIDINGS_AUTH__ISSUERS__0__KEY", key)]);
        // Keys for old dialects alone may be short, but not these.
        let old = format!("key = '''{key}'''\ndialects = [\"0.x\"]\n[dialects]\nv0 = true");
        check_refused(&own(&old), &[]);
        for name in ["MERCURE_PUBLISHER_JWT_KEY", "JWT_KEY"] {
            check_refused(
                "",
                &[
                    (name, key),
                    ("SERVER_NAME", ":80"),
                    ("ALLOW_ANONYMOUS", "1"),
                ],
            );
        }
    }
    let (code, _, error) = run(&make_with(KEY), &[]);
    assert_eq!(code, 0, "{error}");
    let (code, _, error) = run(&make_with(UNFILLED[0]), &[]);
    assert_ne!(code, 0, "{error}");
}

#[test]
fn a_caddyfile_whose_key_is_not_set_is_not_taken_over() {
    let unset = [
        "publisher_jwt {env.UNSET_KEY} HS256\nsubscriber_jwt {env.UNSET_KEY}",
        "publisher_jwt {env.UNSET_KEY}\nsubscriber_jwt {env.SET_KEY}",
        "publisher_jwt {env.EMPTY_KEY}\nanonymous",
        "publisher_jwt {!env.SET_KEY}\nanonymous",
        "publisher_jwt {env.UNSET_KEY:a default that Caddy does not know, long enough}\nanonymous",
        "publisher_jwt {env.UNSET_KEY:0123456789abcdef0123456789abcdef}\nanonymous",
        "publisher_jwt {file./nowhere/key}\nanonymous",
        "publisher_jwt {vars.key_that_is_long_enough_to_be_one_of_hs256}\nanonymous",
        "publisher_jwt ${SET_KEY}\nanonymous",
        "publisher_jwt `\"0123456789abcdef0123456789abcdef\"`\nanonymous",
        "publisher_jwt \"\"\nanonymous",
        // Without `anonymous`, that hub asks for a key of subscribers too.
        "publisher_jwt {env.SET_KEY}\nsubscriber_jwt {env.UNSET_KEY}",
        "issuer https://id.example {\npublisher {\njwt {env.UNSET_KEY}\n}\n}\nanonymous",
        "publisher_jwt {env.SET_KEY}\nsubscriber_jwks_url https://{host}/keys",
        "publisher_jwt {env.SET_KEY}\nanonymous\ncookie_name {vars.cookie}",
        "publisher_jwt {env.SET_KEY}\nanonymous\ncors_origins https://${HOST}",
        "publisher_jwt {env.SET_KEY}\nanonymous\npublish_origins https://{http.request.host}",
        "publisher_jwt {env.SET_KEY}\nanonymous\npublic_urls https://{{host}}.example",
    ];
    let environment = [("SET_KEY", KEY), ("EMPTY_KEY", "")];
    for directives in unset {
        let (code, toml, error) = import(directives, &environment);
        assert_eq!(code, 1, "{directives}\n{toml}{error}");
        assert!(error.contains("line "), "{directives}\n{error}");
        // The same directives of the environment do not start a hub either.
        let mut with_extra = environment.to_vec();
        with_extra.extend([
            ("MERCURE_EXTRA_DIRECTIVES", directives),
            ("SERVER_NAME", ":80"),
        ]);
        check_refused("", &with_extra);
    }
    // What is set is filled in, a default counts where nothing is set, and anonymous subscribers need
    // no key.
    for directives in [
        "publisher_jwt {env.SET_KEY}\nsubscriber_jwt {env.SET_KEY}",
        "publisher_jwt {$UNSET_KEY:0123456789abcdef0123456789abcdef}\nanonymous",
        "publisher_jwt {env.SET_KEY}\nsubscriber_jwt {env.UNSET_KEY}\nanonymous",
        "publisher_jwt \"prefix-{env.SET_KEY}\"\nanonymous",
    ] {
        let (code, toml, error) = import(directives, &environment);
        assert_eq!(code, 0, "{directives}\n{error}");
        assert!(!toml.contains("_KEY"), "{toml}");
    }
    // A variable that is set to nothing is set: its default does not count.
    let (code, toml, error) = import(
        &format!("publisher_jwt {{$EMPTY_KEY:{KEY}}} HS256\nanonymous"),
        &environment,
    );
    assert!(code == 1 || !toml.contains(KEY), "{toml}{error}");
}

#[test]
fn no_value_of_any_other_kind_is_used_where_it_asks_to_be_looked_up() {
    for (line, key) in [
        (
            "[hub]\npublic_url = \"https://${HOST}/.well-known/mercure\"",
            "hub.public_url",
        ),
        ("[hub]\nhosts = [\"{env.HOST}\"]", "hub.hosts"),
        ("[cors]\norigins = [\"https://{$HOST}\"]", "cors.origins"),
        ("[publish]\norigins = [\"{env.ORIGIN}\"]", "publish.origins"),
        (
            "[auth]\ncookie_names = [\"{env.COOKIE}\"]",
            "auth.cookie_names",
        ),
        (
            "[auth]\naudiences = [\"%env(AUDIENCE)%\"]",
            "auth.audiences",
        ),
        ("[data]\ndir = \"$HOME/tidings\"", "data.dir"),
        ("[data]\ndir = \"%APPDATA%/tidings\"", "data.dir"),
        ("[history]\npath = \"${DATA}/history.db\"", "history.path"),
        ("[admin]\naddress = \"${ADMIN}\"", "admin.address"),
        (
            "[rooms]\naccess = \"anonymous\"\ntopics = [\"{{ topic }}\"]",
            "rooms.topics",
        ),
        (
            "[zeromq]\nusername = \"u\"\npassword = \"${PASSWORD}\"",
            "zeromq.password",
        ),
    ] {
        let base = "[[listen]]\naddress = \"127.0.0.1:4400\"\n";
        let hub = match line.starts_with("[hub]") {
            true => "",
            false => "[hub]\npublic_url = \"https://hub.test/.well-known/mercure\"\n",
        };
        let issuer = format!("[[auth.issuers]]\nissuer = \"i\"\nkey = \"{KEY}\"\n");
        let error = check_refused(&format!("{base}{hub}{line}\n{issuer}"), &[]);
        let named = error.lines().any(|said| said.trim().starts_with(key));
        assert!(named && error.contains("placeholder"), "{line}\n{error}");
        assert!(!error.contains("${PASSWORD}"), "{error}");
    }
    // Braces and dollars that are not placeholders stay unchanged.
    let hub = TestHub::served(
        "[rooms]\naccess = \"anonymous\"\ntopics = [\"price-in-$\", \"{id}\"]\n\
         [auth]\naudiences = [\"urn:hub:{1}\", \"$audience\"]\n",
    );
    assert_eq!(hub.request(Request::get("/health/ready")).status, 200);
}

/// Imports a Caddyfile with these directives of a hub.
fn import(directives: &str, environment: &[(&str, &str)]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Caddyfile").display().to_string();
    fs::write(&path, format!(":80 {{\nmercure {{\n{directives}\n}}\n}}\n")).unwrap();
    run(&["config", "import", &path, "--output", "-"], environment)
}

/// Checks that a configuration is refused, and returns the errors.
#[track_caller]
fn check_refused(toml: &str, environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tidings.toml").display().to_string();
    fs::write(&path, toml).unwrap();
    let (code, output, error) = run(&["config", "check", "--config", &path], environment);
    assert_eq!(code, 2, "{toml}{environment:?}\n{output}{error}");
    error
}

fn make_with(key: &str) -> [&str; 10] {
    [
        "token",
        "make",
        "--issuer",
        "i",
        "--audience",
        "a",
        "--key",
        key,
        "--publish",
        "*",
    ]
}
