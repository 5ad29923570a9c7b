//! What is refused, in the words an operator reads.

use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use tidings_history::{Kind, PresenceRetention, Retention};

use super::*;

const GOOD: &str = r#"
[[listen]]
address = "127.0.0.1:4400"
[hub]
public_url = "https://hub.example.com/.well-known/mercure"
[[auth.issuers]]
issuer = "https://example.com"
key = "0123456789abcdef0123456789abcdef"
"#;

#[test]
fn a_small_configuration_is_enough_and_the_rest_is_safe() {
    let config = read(GOOD).unwrap();
    assert_eq!(
        config.auth.audiences,
        ["https://hub.example.com/.well-known/mercure"]
    );
    assert_eq!(config.auth.cookie_names, ["__Secure-mercure_access_token"]);
    let path = PathBuf::from("/var/lib/tidings/history.db");
    assert_eq!(config.history.kind, Kind::File { path });
    assert_eq!(
        config.history.retention.age_max,
        Some(Duration::from_secs(7 * 24 * 3600))
    );
    assert_eq!(config.history.retention.updates_max, Some(1_000_000));
    assert_eq!(config.history.retention.bytes_max, Some(1 << 30));
    assert_eq!(config.ring_bytes, 32 << 20);
    assert!(!config.subscribe.anonymous && !config.explain_refusals && config.dev.is_none());
    assert!(config.publish.origins.is_empty() && config.cors.origins.is_empty());
    assert_eq!(
        config.publish.body_bytes_max,
        tidings_core::limits::PUBLISH_BODY_BYTES_MAX
    );
}

#[test]
fn zero_sets_no_limit() {
    let config = read(&format!(
        "{GOOD}[history]\nretain_hours = 0\nretain_updates = 0\nretain_bytes = 0\n\
         [subscribe]\nconnection_secs_max = 0\nkeep_alive_secs = 0\n"
    ))
    .unwrap();
    let retention = Retention {
        age_max: None,
        updates_max: None,
        bytes_max: None,
        presence: PresenceRetention::DEFAULT,
    };
    assert_eq!(config.history.retention, retention);
    assert_eq!(config.subscribe.connection_max, None);
    assert_eq!(config.subscribe.keep_alive, Duration::ZERO);
}

#[test]
fn what_must_be_written_is_said() {
    check(
        "",
        expect![[r#"
            listen.0.address is missing: write a [[listen]] table with address = "127.0.0.1:4400" behind a proxy, or address = "0.0.0.0:443" and tls = true (or set TIDINGS_LISTEN__0__ADDRESS)
            hub.public_url is missing: write the URL under which browsers reach the hub, such as "https://example.com/.well-known/mercure" (or set TIDINGS_HUB__PUBLIC_URL)
            auth.issuers.0.issuer is missing: write an [[auth.issuers]] table with issuer and key_file; without one nobody could publish (or set TIDINGS_AUTH__ISSUERS__0__ISSUER)
        "#]],
    );
}

#[test]
fn addresses_and_urls_are_checked() {
    check(
        &GOOD
            .replace("127.0.0.1:4400", "localhost:4400")
            .replace(".well-known/mercure", "?a"),
        expect![[r#"
            listen.0.address: "localhost:4400" is not an IP address with a port: write it like "127.0.0.1:4400" or "[::]:443"
            hub.public_url: the hub's URL contains a query or a fragment ("https://hub.example.com/?hidden"): write it like "https://example.com/.well-known/mercure"
        "#]],
    );
    check(
        &format!("{GOOD}[[listen]]\naddress = \"127.0.0.1:4400\"\n[admin]\naddress = \":80\"\n"),
        expect![[r#"
            listen.1.address: 127.0.0.1:4400 is already used by listen.0.address (127.0.0.1:4400): write another port
            admin.address: ":80" is not an IP address with a port: write it like "127.0.0.1:4400" or "[::]:443"
        "#]],
    );
    for url in [
        "/.well-known/mercure",
        "ftp://example.com/x",
        "https://a@example.com/x",
        "",
    ] {
        let file = GOOD.replace("https://hub.example.com/.well-known/mercure", url);
        assert!(read(&file).is_err(), "{url}");
    }
}

#[test]
fn tokens_travel_in_the_clear_only_if_that_is_allowed() {
    let plain = GOOD.replace("https://hub", "http://hub");
    check(
        &plain,
        expect![[r#"
            hub.public_url: begins with http://, so that tokens would travel in the clear: write https:// (also behind a proxy that terminates TLS), or hub.allow_plaintext = true in a network that is protected in another way
        "#]],
    );
    assert!(read(&plain.replace("[hub]", "[hub]\nallow_plaintext = true")).is_ok());
    for host in [
        "localhost:4400",
        "127.0.0.1:4400",
        "[::1]:4400",
        "hub.localhost",
    ] {
        assert!(
            read(&plain.replace("hub.example.com", host)).is_ok(),
            "{host}"
        );
    }
}

#[test]
fn tls_needs_both_files_and_a_listener() {
    check(
        &GOOD.replace("4400\"", "4400\"\ntls = true"),
        expect![[r#"
            listen.0.tls: is true, but there is no certificate: write tls.certificate and tls.key, or tls.acme.names, or tls = false
        "#]],
    );
    check(
        &format!("{GOOD}[tls]\ncertificate = \"c.pem\"\n"),
        expect![[r#"
            tls.key is missing: write the path of the certificate's private key (or set TIDINGS_TLS__KEY)
        "#]],
    );
    check(
        &format!("{GOOD}[tls]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n"),
        expect![[r#"
            tls.certificate: is set, but no [[listen]] has tls = true: write it there, or remove [tls]
        "#]],
    );
}

#[test]
fn keys_are_checked() {
    check(
        &GOOD.replace("0123456789abcdef0123456789abcdef", "short"),
        expect![[r#"
            auth.issuers.0.key: the secret has 5 bytes, but HS256 needs at least 32: make one with `openssl rand -hex 32`
        "#]],
    );
    check(
        &GOOD.replace(
            "0123456789abcdef0123456789abcdef",
            "-----BEGIN PUBLIC KEY-----",
        ),
        expect![[r#"
            auth.issuers.0.algorithm: this is a PEM key, but HS256 takes a shared secret: write the algorithm of the key, such as RS256, ES256 or EdDSA
        "#]],
    );
    check(
        &GOOD.replace(
            "0123456789abcdef0123456789abcdef",
            "!ChangeThisMercureHubJWTSecretKey!",
        ),
        expect![[r#"
            auth.issuers.0.key: this is a publicly known example key: make your own with `openssl rand -hex 32`
        "#]],
    );
    check(
        &format!("{GOOD}key_file = \"k\"\n[[auth.issuers]]\nissuer = \"b\"\n"),
        expect![[r#"
            auth.issuers.0.key_file: key, key_file, jwks_url and jwks_file exclude each other: remove one
            auth.issuers.1.key is missing: write the secret or public key in key, its file in key_file, or the issuer's key set in jwks_url or jwks_file (or set TIDINGS_AUTH__ISSUERS__1__KEY)
        "#]],
    );
}

#[test]
fn a_key_file_may_end_with_a_line_break() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef0123456789abcdef\n").unwrap();
    let key = "key = \"0123456789abcdef0123456789abcdef\"";
    let good = GOOD.replace(key, &format!("key_file = {:?}", file.path()));
    assert!(read(&good).is_ok());
    std::fs::write(file.path(), "0123456789abcdef0123456789abcde\n").unwrap();
    assert!(read(&good).is_err());
    let missing = read(&GOOD.replace(key, "key_file = \"/nowhere/key\"")).unwrap_err();
    assert!(
        missing
            .to_string()
            .contains("auth.issuers.0.key_file: /nowhere/key: ")
    );
}

#[test]
fn settings_that_lock_everyone_out_are_refused() {
    check(
        &format!("{GOOD}publish = false\n[auth]\naudiences = []\n")
            .replace("[auth]\naudiences = []\n", ""),
        expect![[r#"
            auth.issuers.0.publish: is false for every issuer, so that nobody could publish: write true
        "#]],
    );
    check(
        &format!("{GOOD}subscribe = false\n"),
        expect![[r#"
            subscribe.anonymous: is false, and no issuer has subscribe = true, so that nobody could subscribe: write true in one of the two
        "#]],
    );
    check(
        &GOOD.replace(
            "[[auth.issuers]]",
            "[auth]\naudiences = []\n[[auth.issuers]]",
        ),
        expect![[r#"
            auth.audiences: is empty, so that every token would be refused: write the hub's URL, or remove the key
        "#]],
    );
}

#[test]
fn other_values_are_checked() {
    check(
        &format!(
            "{GOOD}[publish]\norigins = [\"example.com\"]\n[cors]\norigins = [\"https://a/b\"]\n\
             [history]\nkind = \"memory\"\npath = \"x\"\n[limits]\nconnections_max = 0\n\
             accepts_per_second_max = 5000000000\n[server]\nshards = 0\ndrain_secs = 9000000000\n[log]\nlevel = \"a=b=c\"\n"
        ),
        expect![[r#"
            history.path: is set, but history.kind is not "file": remove one of the two
            publish.origins: origin "example.com" does not begin with a scheme such as https://: write it like https://example.com
            cors.origins: origin "https://a/b" is more than scheme://host:port: write it like https://example.com
            limits.connections_max: 0 is too small: write at least 1
            limits.accepts_per_second_max: 5000000000 is too large
            server.shards: 0 is too small: write at least 1
            server.drain_secs: 9000000000 is more than ten years: write at most 315360000
            log.level: "b=c" is not a level: write one of error, warn, info, debug, trace, off, such as off, or a level for one target as in info,tidings=debug
        "#]],
    );
}

#[test]
fn what_may_be_sent_but_not_held_is_warned_of() {
    let held = "[limits]\npeer_memory_bytes_per_connection_max = 1048576\n";
    assert!(read(&format!("{GOOD}{held}")).unwrap().warnings.is_empty());
    let config = read(&format!(
        "{GOOD}{held}[websocket]\nmessage_bytes_max = 1048577\n[publish]\nbody_bytes_max = 2000000\n\
         [sockjs]\nbody_bytes_max = 3000000\n"
    ));
    let warnings = config.unwrap().warnings;
    expect![[r#"
        publish.body_bytes_max: 2000000 is more than limits.peer_memory_bytes_per_connection_max (1048576), beyond which a peer is refused: write at most 1048576, or raise that limit
        websocket.message_bytes_max: 1048577 is more than limits.peer_memory_bytes_per_connection_max (1048576), beyond which a peer is refused: write at most 1048576, or raise that limit
        sockjs.body_bytes_max: 3000000 is more than limits.peer_memory_bytes_per_connection_max (1048576), beyond which a peer is refused: write at most 1048576, or raise that limit"#]].assert_eq(&warnings.join("\n"));
}

#[test]
fn what_nats_is_told_is_checked() {
    let cluster = |more: &str| format!("{GOOD}[cluster]\nengine = \"nats\"\n{more}\n");
    check(
        &cluster(""),
        expect![[r#"
        cluster.url is missing: write where the engine is, such as "nats://127.0.0.1:4222" (or set TIDINGS_CLUSTER__URL)
    "#]],
    );
    check(
        &cluster("url = \"redis://a\""),
        expect![[r#"
        cluster.url: "redis" is neither nats nor tls
    "#]],
    );
    let good = "url = \"nats://a,b\"\n";
    let more = "acknowledge = \"replicated\"\nreplicas = 3\nca_file = \"x\"\nusername = \"u\"\n\
                nkey_file = \"x\"\ncredentials_file = \"y\"\n";
    check(
        &cluster(&format!("{good}{more}")),
        expect![[r#"
        cluster.credentials_file: is set beside another secret: a hub logs in by one of password_file, nkey_file and credentials_file
        cluster.ca_file: is set, but cluster.url does not ask for TLS: write tls instead of nats there
        cluster.replicas: 3 is more than NATS has: 1 is a stream on three servers, 2 one on five
    "#]],
    );
    check(
        &cluster(&format!("{good}nkey_file = \"/nonexistent/seed\"")),
        expect![[r#"
            cluster.nkey_file: cannot read /nonexistent/seed
        "#]],
    );
    let other = "engine = \"redis\"\nurl = \"redis://a\"\nnkey_file = \"x\"";
    check(
        &format!("{GOOD}[cluster]\n{other}\n"),
        expect![[r#"
        cluster.nkey_file: is set, but cluster.engine is not "nats": remove one of the two
    "#]],
    );
}

#[test]
fn what_postgresql_is_told_is_checked() {
    let cluster = |more: &str| format!("{GOOD}[cluster]\nengine = \"postgresql\"\n{more}\n");
    check(
        &cluster(""),
        expect![[r#"
            cluster.url is missing: write where the engine is, such as "postgresql://127.0.0.1:5432/tidings" (or set TIDINGS_CLUSTER__URL)
        "#]],
    );
    check(
        &cluster("url = \"postgresql://db/app?sslmode=require\""),
        expect![[r#"
            cluster.url: sslmode=require does not check who answers: use verify-full, with `ca_file` for an authority of your own, or disable
        "#]],
    );
    let here = "url = \"postgresql://localhost/app\"\n";
    check(
        &cluster(&format!(
            "{here}name = \"public\"\nca_file = \"x\"\nread_url = \"redis://a\""
        )),
        expect![[r#"
            cluster.read_url: "redis" is neither postgresql nor postgres
        "#]],
    );
    check(
        &cluster(&format!("{here}name = \"public\"\nca_file = \"x\"")),
        expect![[r#"
            cluster.ca_file: is set, but cluster.url does not ask for TLS: write ?sslmode=verify-full at its end
            cluster.name: the cluster needs a schema of its own, and this one is PostgreSQL's
        "#]],
    );
    let other = "engine = \"redis\"\nurl = \"redis://a\"\nnotify_url = \"postgresql://a\"";
    check(
        &format!("{GOOD}[cluster]\n{other}\n"),
        expect![[r#"
            cluster.notify_url: is set, but cluster.engine is not "postgresql": remove one of the two
        "#]],
    );
    check(
        &cluster(&format!(
            "{here}sentinel_username = \"watch\"\nallow_unguarded = true"
        )),
        expect![[r#"
            cluster.sentinel_username: is set, but cluster.engine is not "redis": remove one of the two
            cluster.allow_unguarded: is set, but cluster.engine is not "redis": remove one of the two
        "#]],
    );
    let nats = "engine = \"nats\"\nurl = \"nats://a\"\nusername = \"hub\"\nnkey_file = \"x\"";
    check(
        &format!("{GOOD}[cluster]\n{nats}\n"),
        expect![[r#"
            cluster.username: is set beside a secret that has a user of its own: remove it
        "#]],
    );
}

#[track_caller]
fn check(file: &str, expected: Expect) {
    let errors = read(file).unwrap_err().0;
    expected.assert_eq(
        &errors
            .iter()
            .map(|error| format!("{error}\n"))
            .collect::<String>(),
    );
}

fn read(text: &str) -> Result<Config, ConfigErrors> {
    let mut errors = Vec::new();
    let settings = Settings::read(Some((Path::new("t.toml"), text)), &[], &mut errors);
    assert!(errors.is_empty(), "{errors:?}");
    super::check(&settings)
}
