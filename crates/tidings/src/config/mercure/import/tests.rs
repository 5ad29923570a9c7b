//! A whole Caddyfile, and what cannot be taken over.

use expect_test::expect;

use super::*;

/// The shape of the file in that hub's image, in our words.
const USUAL: &str = r#"
{
	{$GLOBAL_OPTIONS}
	metrics
}

{$SERVER_NAME:localhost} {
	log
	encode zstd gzip
	tls /etc/hub.crt /etc/hub.key
	route {
		mercure {
			transport bolt {
				path /data/mercure.db
				size 1000
			}
			publisher_jwt {env.MERCURE_PUBLISHER_JWT_KEY} {$MERCURE_PUBLISHER_JWT_ALG:HS256}
			subscriber_jwt "a secret with spaces and \"quotes\", long"
			anonymous
			write_timeout 10m
			issuer https://id.example.com {
				authorization_server https://id.example.com
				subscriber {
					jwks_uri https://id.example.com/keys ES256 RS256
				}
			}
			topic_selector_cache 10
		}
		respond / "hello"
	}
}
"#;

#[test]
fn an_only_site_needs_no_braces() {
    let hub =
        "mercure {\n publisher_jwt 0123456789abcdef0123456789abcdef\n}\nrespond /healthz 200\n";
    for (head, url) in [
        ("hub.example.com\n", "https://hub.example.com/"),
        ("{\n debug\n}\n:8080\nlog {\n}\n", "http://localhost:8080/"),
        ("http://a.example,\nhttp://b.example\n", "http://a.example/"),
        (
            "import common\nhub.example.com\nroute {\n}\n",
            "https://hub.example.com/",
        ),
        (
            "a.example {\n}\nb.example,\nc.example {\n}\nhub.example.com\n",
            "https://hub.example.com/",
        ),
    ] {
        let import = caddyfile(&format!("{head}{hub}"), &|_| None).unwrap();
        let wanted = format!("public_url = \"{url}.well-known/mercure\"");
        assert!(import.toml.contains(&wanted), "{head}{}", import.toml);
    }
}

#[test]
fn the_usual_block_becomes_a_configuration() {
    let lookup = |name: &str| match name {
        "SERVER_NAME" => Some("hub.example.com".to_owned()),
        "MERCURE_PUBLISHER_JWT_KEY" => Some("from the environment".to_owned()),
        _ => None,
    };
    let import = caddyfile(USUAL, &lookup).unwrap();
    expect![[r##"
        # Made by `tidings config import`.

        [[listen]]
        address = "[::]:443" # line 7 site
        tls = true # line 7 site

        [tls]
        certificate = "/etc/hub.crt" # line 10 tls
        key = "/etc/hub.key" # line 10 tls

        [hub]
        public_url = "https://hub.example.com/.well-known/mercure" # line 7 site
        hosts = ["hub.example.com"] # line 7 site

        [[auth.issuers]]
        issuer = "https://localhost" # line 17: publisher_jwt
        algorithm = "HS256" # line 17: publisher_jwt
        key = "from the environment" # line 17: publisher_jwt
        publish = true # line 17: publisher_jwt
        subscribe = false # line 17: publisher_jwt
        dialects = ["0.x"] # line 17: publisher_jwt

        [[auth.issuers]]
        issuer = "https://localhost" # line 18: subscriber_jwt
        key = 'a secret with spaces and "quotes", long' # line 18: subscriber_jwt
        publish = false # line 18: subscriber_jwt
        subscribe = true # line 18: subscriber_jwt
        dialects = ["1.0", "0.x"] # line 18: subscriber_jwt

        [[auth.issuers]]
        issuer = "https://id.example.com" # line 21: issuer
        jwks_url = "https://id.example.com/keys" # line 21: issuer
        publish = false # line 21: issuer
        subscribe = true # line 21: issuer
        dialects = ["1.0"] # line 21: issuer

        [dialects]
        v0 = true # line 18: subscriber_jwt

        [subscribe]
        anonymous = true # line 19: anonymous
        connection_secs_max = 600 # line 20: write_timeout

        [history]
        kind = "file" # line 13: transport
        retain_updates = 1000 # line 13: transport
    "##]]
    .assert_eq(&import.toml);
    assert!(import.toml.parse::<toml::Table>().is_ok());
    let unread: Vec<String> = import
        .translation
        .unread
        .iter()
        .map(|unread| format!("{}: {}", unread.name, unread.why))
        .collect();
    expect![[r#"
        line 13: transport path: updates are kept in an own file; `tidings history import` takes over what is in the old one
        line 21: issuer authorization_server: the metadata names the issuers of tokens by themselves
        line 27: topic_selector_cache: not needed: matchers are indexed, and each update is encoded once
        line 2 global options: it is not part of the hub; keep Caddy in front if you need it
        line 8 log: it is Caddy's; keep Caddy in front of the hub if you need it
        line 9 encode: it is Caddy's; keep Caddy in front of the hub if you need it
        line 29 respond: it is Caddy's; keep Caddy in front of the hub if you need it"#]].assert_eq(&unread.join("\n"));
}

#[test]
fn a_file_with_no_hub_or_several_is_refused() {
    let read = |text: &str| caddyfile(text, &|_| None).unwrap_err().to_string();
    assert_eq!(read(":80 {\n respond hi\n}\n"), "it has no mercure block");
    assert_eq!(
        read("a.example {\n mercure {\n }\n}\nb.example {\n mercure\n}\n"),
        "it has 2 mercure blocks; import one at a time (lines 2, 6)"
    );
    assert_eq!(
        read(":80 {\n mercure {\n  heartbeat soon\n }\n}\n"),
        "line 3: heartbeat: write a duration such as 40s or 10m"
    );
}
