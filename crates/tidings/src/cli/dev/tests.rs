//! What the developer's hub is made of.

use std::os::unix::fs::PermissionsExt;

use tidings_auth::{Authority, Role};

use super::*;

#[test]
fn the_tokens_are_accepted_for_their_role() {
    let folder = tempfile::tempdir().unwrap();
    let config = at(4400, folder.path());
    let authority = Authority::new(config.auth.clone(), config.hub.clone()).unwrap();
    let tokens = config.dev.unwrap();
    let publisher = authority
        .verify(&tokens.publisher, Role::Publish, unix_secs())
        .unwrap();
    assert_eq!(
        (
            publisher.grants.publish().len(),
            publisher.grants.subscribe().len()
        ),
        (1, 0)
    );
    let subscriber = authority
        .verify(&tokens.subscriber, Role::Subscribe, unix_secs())
        .unwrap();
    assert_eq!(
        (
            subscriber.grants.publish().len(),
            subscriber.grants.subscribe().len()
        ),
        (0, 1)
    );
    let detail = Detail {
        actions: vec!["publish"],
        matchers: vec![("exact", "a".into())],
        payload: None,
    };
    let made = tokens.make(vec![detail], unix_secs(), 60).unwrap();
    assert!(authority.verify(&made, Role::Publish, unix_secs()).is_ok());
    assert!(
        authority
            .verify(&made, Role::Publish, unix_secs() + 61)
            .is_err()
    );
}

#[test]
fn the_key_is_made_once_and_only_for_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("new");
    let first = at(4400, &data);
    let key = std::fs::read(data.join("dev.key")).unwrap();
    let mode = std::fs::metadata(data.join("dev.key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = std::fs::read(data.join("admin.token")).unwrap();
    at(4401, &data);
    assert_eq!(std::fs::read(data.join("dev.key")).unwrap(), key);
    assert_eq!(std::fs::read(data.join("admin.token")).unwrap(), token);
    assert_ne!(token, key);
    assert_eq!(
        first.history.kind,
        Kind::File {
            path: data.join("history.db")
        }
    );
}

#[test]
fn only_loopback_names_with_the_port_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let config = at(4400, folder.path());
    let names = |config: &Config| -> Vec<String> {
        let hosts = config.hosts.iter();
        hosts.map(ToString::to_string).collect()
    };
    assert_eq!(
        names(&config),
        ["localhost:4400", "127.0.0.1:4400", "[::1]:4400"]
    );
    assert_eq!(
        config.auth.audiences,
        [
            "http://localhost:4400/.well-known/mercure",
            "http://127.0.0.1:4400/.well-known/mercure",
            "http://[::1]:4400/.well-known/mercure",
        ]
    );
    assert!(config.publish.origins.allows("http://localhost:4400"));
    assert!(!config.publish.origins.allows("http://localhost:4401"));
    assert!(config.cors.origins.is_empty());
    assert_eq!(
        names(&at(80, folder.path())),
        ["localhost", "127.0.0.1", "[::1]"]
    );
}

#[test]
fn the_banner_has_addresses_and_lines_to_paste() {
    let folder = tempfile::tempdir().unwrap();
    let config = at(4400, folder.path());
    let banner = banner(&config);
    for part in [
        "http://localhost:4400/chat",
        "http://localhost:4400/scores",
        "http://localhost:4400/debugger",
        "http://localhost:4400/admin, with the token ",
        "\ncurl -N 'http://localhost:4400/.well-known/mercure?match=https://example.com/hello'\n",
        "\ncurl 'http://localhost:4400/.well-known/mercure' -H \"Authorization: Bearer $(cat '",
        "publisher.token')\" \\\n  -d topic=https://example.com/hello",
        "history.db",
        "dev.key (HS256), of the issuer urn:tidings:dev",
        "Ctrl-C",
    ] {
        assert!(banner.contains(part), "{part} in {banner}");
    }
}

#[test]
fn a_public_address_is_refused_with_a_way_out() {
    for address in ["0.0.0.0:4400", "[::]:4400", "192.0.2.1:4400"] {
        let error = free_address(address.parse().unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("127.0.0.1:4400") && error.contains("tidings serve"),
            "{error}"
        );
    }
    for address in ["127.0.0.2:0", "[::ffff:127.0.0.1]:0"] {
        assert!(is_loopback(address.parse::<SocketAddr>().unwrap().ip()));
    }
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = free_address(address).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("port {} is taken", address.port())),
        "{error}"
    );
    assert!(error.contains("--listen 127.0.0.1:0"));
    assert_ne!(
        free_address("127.0.0.1:0".parse().unwrap()).unwrap().port(),
        0
    );
}

fn at(port: u16, data: &Path) -> Config {
    config(SocketAddr::from(([127, 0, 0, 1], port)), data, false).unwrap()
}
