//! Key sets of issuers: rotation, outages, and hostile servers.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::harness::key_server::{Behaviour, IssuerKey, KeyServer, document};
use crate::harness::peer::handshake;
use crate::harness::tokens::{self, HUB};
use crate::harness::{HUB_PATH, Request, TestHub, run, wait_until};

/// The issuer whose keys are published.
const ISSUER: &str = "https://id.example.com";

#[test]
fn tokens_are_verified_with_published_keys() {
    let (key, other) = (IssuerKey::new("a"), IssuerKey::new("a"));
    let (hub, server) = hub_with(document(&[&key]));
    wait_until_ready(&hub);
    assert_eq!(publish(&hub, &key.token(ISSUER, HUB)), 200);
    // The right name and a wrong key; the right key and another issuer.
    assert_eq!(publish(&hub, &other.token(ISSUER, HUB)), 401);
    assert_eq!(
        publish(&hub, &key.token("https://other.example.com", HUB)),
        401
    );
    assert_eq!(server.requests(), 1);
    assert!(hub.metric_for("tidings_key_sets_read_total", "ok") > 0.0);
}

#[test]
fn a_new_key_is_found_and_a_removed_one_counts_no_longer() {
    let (old, new) = (IssuerKey::new("old"), IssuerKey::new("new"));
    let (hub, server) = hub_with(document(&[&old]));
    wait_until_ready(&hub);
    let (with_old, with_new) = (old.token(ISSUER, HUB), new.token(ISSUER, HUB));
    assert_eq!(publish(&hub, &with_old), 200);
    server.publish(&[&new]);
    // The hub has never heard of this key and asks for it, once it may ask again.
    wait_until("the new key is known", || {
        (publish(&hub, &with_new) == 200).then_some(())
    });
    // The old token was verified and remembered before; its key is gone, and so is it.
    assert_eq!(publish(&hub, &with_old), 401);
}

#[test]
fn a_websocket_renews_its_token_by_a_new_key() {
    let (old, new) = (IssuerKey::new("old"), IssuerKey::new("new"));
    let (hub, server) = hub_with(document(&[&old]));
    wait_until_ready(&hub);
    let mut peer = hub.websocket_by(&handshake(HUB_PATH).bearer(&old.token(ISSUER, HUB)));
    server.publish(&[&new]);
    let renewal = json!({"authenticate": {"token": new.token(ISSUER, HUB)}});
    wait_until("the new key is known", || {
        let answer = peer.answered(renewal.clone());
        answer["ack"]["expires_at"].is_number().then_some(())
    });
}

#[test]
fn the_last_good_set_stays_through_an_outage() {
    let key = IssuerKey::new("a");
    let (hub, server) = hub_with(document(&[&key]));
    wait_until_ready(&hub);
    let unknown = IssuerKey::new("unknown").token(ISSUER, HUB);
    let good = key.token(ISSUER, HUB);
    for (behaviour, reason) in [
        (Behaviour::Close, "tls"),
        (
            Behaviour::Raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".into()),
            "status",
        ),
        (Behaviour::Document("{\"keys\": 7}".into()), "not_a_set"),
    ] {
        server.behave(behaviour);
        // An unknown key makes the hub fetch the set, and a bad set must not replace the good one.
        wait_until(reason, || {
            assert_eq!(publish(&hub, &unknown), 401);
            (hub.metric_for("tidings_key_sets_read_total", reason) > 0.0).then_some(())
        });
        assert_eq!(publish(&hub, &good), 200, "{reason}");
        assert_eq!(hub.request_admin("/health/ready").status, 200, "{reason}");
    }
}

#[test]
fn a_hub_starts_without_its_issuer_says_so_and_recovers() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    // The port is open, but nobody answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!(
        "https://localhost:{}/keys",
        listener.local_addr().unwrap().port()
    );
    let key = IssuerKey::new("a");
    // The certificate must be there when the hub starts, so it is made for a server that is told to
    // close every connection.
    let server = KeyServer::start_on(listener, folder.path(), Behaviour::Close);
    let hub = start(&folder, &server, &url);
    let ready = wait_until("the failure is known", || {
        let ready = hub.request_admin("/health/ready");
        (hub.metric_for("tidings_key_sets_read_total", "tls") > 0.0).then_some(ready)
    });
    assert_eq!(ready.status, 503);
    let reason = ready.json()["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains(&url), "{reason}");
    wait_until_said(&hub, "key set not read");
    // What needs no key of the issuer works meanwhile.
    assert_eq!(hub.request_admin("/health/live").status, 200);
    server.publish(&[&key]);
    wait_until_ready(&hub);
    assert_eq!(publish(&hub, &key.token(ISSUER, HUB)), 200);
}

#[test]
fn the_last_good_set_outlives_a_crash_while_the_issuer_is_down() {
    let (old, new) = (IssuerKey::new("old"), IssuerKey::new("new"));
    let (mut hub, server) = hub_with(document(&[&old]));
    wait_until_ready(&hub);
    let file = wait_until_kept(&hub);
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    hub.kill();
    server.behave(Behaviour::Close);
    hub.restart();
    // Before anything was fetched, and after that has failed.
    assert_eq!(publish(&hub, &old.token(ISSUER, HUB)), 200);
    wait_until("the issuer was asked", || {
        (hub.metric_for("tidings_key_sets_read_total", "tls") > 0.0).then_some(())
    });
    assert_eq!(publish(&hub, &old.token(ISSUER, HUB)), 200);
    assert_eq!(hub.request_admin("/health/ready").status, 200);
    assert_eq!(hub.metric_for("tidings_key_sets_read_total", "cached"), 1.0);
    wait_until_said(&hub, "using the cached key set until the issuer answers");
    // The issuer's new set then applies, and is cached for the next start.
    server.publish(&[&new]);
    wait_until("the new key is known", || {
        (publish(&hub, &new.token(ISSUER, HUB)) == 200).then_some(())
    });
    assert_eq!(publish(&hub, &old.token(ISSUER, HUB)), 401);
    wait_until("the new key is kept", || {
        std::fs::read_to_string(&file)
            .unwrap()
            .contains("new")
            .then_some(())
    });
    hub.kill();
    server.behave(Behaviour::Close);
    hub.restart();
    assert_eq!(publish(&hub, &new.token(ISSUER, HUB)), 200);
    assert_eq!(publish(&hub, &old.token(ISSUER, HUB)), 401);
}

#[test]
fn a_kept_set_counts_only_if_nobody_else_could_have_written_it_and_if_it_is_wanted() {
    let key = IssuerKey::new("a");
    let (mut hub, server) = hub_with(document(&[&key]));
    wait_until_ready(&hub);
    let file = wait_until_kept(&hub);
    server.behave(Behaviour::Close);
    let check_without = |hub: &mut TestHub, said: &str| {
        hub.kill();
        hub.restart();
        assert_eq!(publish(hub, &key.token(ISSUER, HUB)), 401, "{said}");
        assert_eq!(hub.request_admin("/health/ready").status, 503, "{said}");
        wait_until_said(hub, said);
    };
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o666)).unwrap();
    check_without(&mut hub, "other users can write to it");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let kept = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, kept.trim_end_matches('}')).unwrap();
    check_without(&mut hub, "it is damaged");
    std::fs::write(
        &file,
        kept.replace("\"fetched_secs\":1", "\"fetched_secs\":"),
    )
    .unwrap();
    check_without(&mut hub, "more than auth.jwks_cache_secs");
    let path = hub.folder().join("tidings.toml");
    let toml = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("[auth]\njwks_cache_secs = 0\n{toml}")).unwrap();
    std::fs::write(&file, kept).unwrap();
    check_without(&mut hub, "key set not read");
    assert!(!file.exists());
}

#[test]
fn redirects_are_refused_and_lead_nowhere() {
    let inside = TcpListener::bind("127.0.0.1:0").unwrap();
    let location = format!("http://{}/latest/meta-data", inside.local_addr().unwrap());
    for status in [
        "301 Moved",
        "302 Found",
        "303 See",
        "307 Temporary",
        "308 Permanent",
    ] {
        let answer =
            format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        check_unusable(Behaviour::Raw(answer), "redirect");
    }
    inside.set_nonblocking(true).unwrap();
    assert_eq!(inside.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn documents_without_end_or_of_another_kind_are_refused() {
    check_unusable(Behaviour::Endless, "too_long");
    let announced = "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{";
    check_unusable(Behaviour::Raw(announced.into()), "too_long");
    check_unusable(Behaviour::Document("<html>".into()), "not_a_set");
    check_unusable(Behaviour::Raw("SSH-2.0-x\r\n\r\n".into()), "http");
    check_unusable(Behaviour::Stall, "timeout");
}

#[test]
fn a_server_with_another_certificate_is_refused() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = KeyServer::start(folder.path(), document(&[&IssuerKey::new("a")]));
    // Another authority is written over the one that the server has.
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("issuer.pem"), made.cert.pem()).unwrap();
    let hub = start(&folder, &server, &server.url());
    wait_until("it is refused", || {
        (hub.metric_for("tidings_key_sets_read_total", "tls") > 0.0).then_some(())
    });
    assert_eq!(hub.request_admin("/health/ready").status, 503);
}

#[test]
fn a_flood_of_unknown_keys_makes_few_fetches() {
    let key = IssuerKey::new("a");
    let (hub, server) = hub_with(document(&[&key]));
    wait_until_ready(&hub);
    let before = server.requests();
    let start = std::time::Instant::now();
    for number in 0..300 {
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": format!("k{number}")});
        let claims = tokens::with("iss", ISSUER);
        assert_eq!(publish(&hub, &tokens::sign("any", &header, &claims)), 401);
    }
    // One for each five seconds that it took, and one for the part that is not full.
    let allowed = usize::try_from(start.elapsed().as_secs() / 5 + 1).unwrap();
    let fetched = server.requests() - before;
    assert!(
        fetched <= allowed,
        "{fetched} fetches in {:?}",
        start.elapsed()
    );
    assert_eq!(publish(&hub, &key.token(ISSUER, HUB)), 200);
}

#[test]
fn a_key_set_holds_no_secrets_and_confuses_no_algorithm() {
    let key = IssuerKey::new("a");
    let secret = "an HMAC key that a set has no business with";
    let mut entries = vec![key.public.clone()];
    entries.push(json!({"kty": "oct", "kid": "s", "k": tokens::encoded(&json!(secret))}));
    let document = json!({"keys": entries}).to_string();
    let (hub, _server) = hub_with(Behaviour::Document(document));
    wait_until_ready(&hub);
    assert_eq!(publish(&hub, &key.token(ISSUER, HUB)), 200);
    let claims = tokens::with("iss", ISSUER);
    for (kid, secret) in [("s", secret), ("a", key.public["x"].as_str().unwrap())] {
        let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": kid});
        assert_eq!(
            publish(&hub, &tokens::sign(secret, &header, &claims)),
            401,
            "{kid}"
        );
    }
    let none = json!({"alg": "none", "typ": "at+jwt", "kid": "a"});
    assert_eq!(publish(&hub, &tokens::sign("", &none, &claims)), 401);
}

#[test]
fn a_key_set_in_a_file_is_read_again_when_it_changes() {
    let (old, new) = (IssuerKey::new("old"), IssuerKey::new("new"));
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let file = folder.path().join("keys.json");
    let write = |key: &IssuerKey| {
        let next = folder.path().join("next.json");
        std::fs::write(&next, json!({"keys": [key.public]}).to_string()).unwrap();
        std::fs::rename(next, &file).unwrap();
    };
    write(&old);
    let toml = settings("jwks_file = \"FOLDER/keys.json\"");
    let hub = TestHub::serve_in(Arc::clone(&folder), &toml, &[]);
    wait_until_ready(&hub);
    assert_eq!(publish(&hub, &old.token(ISSUER, HUB)), 200);
    write(&new);
    let (with_old, with_new) = (old.token(ISSUER, HUB), new.token(ISSUER, HUB));
    wait_until("the file is read again", || {
        (publish(&hub, &with_new) == 200).then_some(())
    });
    assert_eq!(publish(&hub, &with_old), 401);
}

#[test]
fn addresses_of_key_sets_are_checked_before_the_hub_starts() {
    for (line, expected) in [
        ("jwks_url = \"http://id.example.com/keys\"", "is not https"),
        (
            "jwks_url = \"https://a:b@id.example.com/keys\"",
            "credentials",
        ),
        ("jwks_url = \"keys\"", "relative URL"),
        ("jwks_file = \"/nowhere/keys.json\"", "/nowhere/keys.json"),
        (
            "jwks_url = \"https://a.example/k\"\nkey = \"x\"",
            "exclude each other",
        ),
        (
            "jwks_url = \"https://a.example/k\"\nalgorithm = \"HS256\"",
            "not for public keys",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tidings.toml");
        let toml = format!("{}[[listen]]\naddress = \"127.0.0.1:1\"\n", settings(line));
        std::fs::write(&path, toml).unwrap();
        let (code, _, error) = run(
            &["config", "check", "--config", path.to_str().unwrap()],
            &[],
        );
        assert_eq!(code, 2, "{line}");
        assert!(
            error.contains("auth.issuers.0.") && error.contains(expected),
            "{line}: {error}"
        );
    }
}

#[test]
fn token_inspect_fetches_the_keys_once() {
    let key = IssuerKey::new("a");
    let folder = tempfile::tempdir().unwrap();
    let server = KeyServer::start(folder.path(), document(&[&key]));
    let path = folder.path().join("tidings.toml");
    let line = format!("jwks_url = \"{}\"", server.url());
    let toml = format!("{}[[listen]]\naddress = \"127.0.0.1:1\"\n", settings(&line));
    std::fs::write(&path, toml).unwrap();
    let arguments = [
        "token",
        "inspect",
        &key.token(ISSUER, HUB),
        "--config",
        path.to_str().unwrap(),
    ];
    let (code, output, error) = run(&arguments, &server.environment());
    assert_eq!(code, 0, "{output}{error}");
    assert_eq!(server.requests(), 1);
}

/// Starts a hub that gets nothing of use from its issuer; `reason` is the word of the metric.
#[track_caller]
fn check_unusable(behaviour: Behaviour, reason: &str) {
    let (hub, server) = hub_with(behaviour);
    wait_until(reason, || {
        (hub.metric_for("tidings_key_sets_read_total", reason) > 0.0).then_some(())
    });
    assert_eq!(hub.request_admin("/health/ready").status, 503, "{reason}");
    let key = IssuerKey::new("a");
    server.publish(&[&key]);
    wait_until_ready(&hub);
}

/// Waits for a line of the log, which comes by another way than the metrics.
#[track_caller]
fn wait_until_said(hub: &TestHub, words: &str) {
    wait_until(words, || hub.log().contains(words).then_some(()));
}

/// Waits for the file that the hub keeps its issuer's keys in.
fn wait_until_kept(hub: &TestHub) -> std::path::PathBuf {
    wait_until("the set is kept", || {
        let files = std::fs::read_dir(hub.data().join("key-sets")).ok()?;
        let mut paths = files.map(|file| file.unwrap().path());
        paths.find(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
    })
}

/// Starts an issuer's server and a hub that trusts it.
fn hub_with(behaviour: Behaviour) -> (TestHub, KeyServer) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let server = KeyServer::start(folder.path(), behaviour);
    (start(&folder, &server, &server.url()), server)
}

fn start(folder: &Arc<TempDir>, server: &KeyServer, url: &str) -> TestHub {
    let toml = settings(&format!("jwks_url = \"{url}\""));
    TestHub::serve_in(Arc::clone(folder), &toml, &server.environment())
}

/// Returns a configuration with one issuer, whose keys are where `line` says.
fn settings(line: &str) -> String {
    format!(
        "[hub]\npublic_url = \"{HUB}\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[auth.issuers]]\nissuer = \"{ISSUER}\"\n{line}\n"
    )
}

#[track_caller]
fn wait_until_ready(hub: &TestHub) {
    wait_until("the hub is ready", || {
        (hub.request_admin("/health/ready").status == 200).then_some(())
    });
}

fn publish(hub: &TestHub, token: &str) -> u16 {
    let form = Request::post(HUB_PATH)
        .bearer(token)
        .form(&[("topic", "a")]);
    hub.request(form).status
}

/// Bounds what a test may take; the slowest waits for a fetch that times out after ten seconds.
const _: () = assert!(crate::harness::DEADLINE.as_secs() > Duration::from_secs(20).as_secs());
