//! The engine of a cluster: settings of a real server that lose updates.

use std::path::Path;

use super::{LISTEN, ask, check, configured, said};
use crate::harness::TestHub;
use crate::harness::redis::Redis;

#[test]
fn an_engine_with_safe_settings_is_fine() {
    let redis = Redis::start(&["--appendonly", "yes"]);
    let folder = tempfile::tempdir().unwrap();
    let toml = member(folder.path(), &redis, "");
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 0, "{findings}");
    check(&findings, "engine", "ok", "");
    said(&findings, "engine", "it has no cluster tidings yet");
    let hub = TestHub::joined(&redis, "");
    let (_, findings) = ask(&toml, &[]);
    said(
        &findings,
        "engine",
        "the cluster tidings is there: 1 hubs alive, 0 updates",
    );
    drop(hub);
}

#[test]
fn settings_of_the_engine_that_lose_updates_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, code, level, change) in [
        (
            &["--appendonly", "no"][..],
            0,
            "warning",
            "CONFIG SET appendonly yes",
        ),
        (
            &["--appendonly", "yes", "--appendfsync", "no"],
            0,
            "warning",
            "CONFIG SET appendfsync everysec",
        ),
        (
            &["--appendonly", "yes", "--maxmemory-policy", "allkeys-lru"],
            1,
            "problem",
            "CONFIG SET maxmemory-policy noeviction",
        ),
        (
            &["--appendonly", "yes", "--maxmemory", "10mb"],
            0,
            "warning",
            "raise maxmemory",
        ),
    ] {
        let redis = Redis::start(arguments);
        let toml = member(folder.path(), &redis, "");
        let (given, findings) = ask(&toml, &[]);
        assert_eq!(given, code, "{arguments:?}: {findings}");
        check(&findings, "engine", level, change);
        // Follow it, as an operator would.
        if change.starts_with("CONFIG SET") {
            redis.ask(change);
            let (given, findings) = ask(&toml, &[]);
            assert_eq!(given, 0, "{findings}");
            check(&findings, "engine", "ok", "");
        }
    }
}

#[test]
fn hubs_that_cannot_fetch_updates_from_each_other_are_warned_of() {
    let redis = Redis::start(&["--appendonly", "yes"]);
    let folder = tempfile::tempdir().unwrap();
    let token = "peer_token = \"0123456789abcdef0123456789abcdef\"\n";
    let address = "address = \"http://10.0.0.11:4401\"\n";
    for (more, change) in [
        (String::new(), Some("cluster.peer_token_file")),
        (token.to_owned(), Some("cluster.address")),
        (format!("{token}{address}"), None),
    ] {
        let toml = member(folder.path(), &redis, &more);
        let (code, findings) = ask(&toml, &[]);
        assert_eq!(code, 0, "{findings}");
        if let Some(change) = change {
            check(&findings, "engine", "warning", change);
        } else {
            let text = findings.to_string();
            assert!(!text.contains("cannot fetch updates"), "{text}");
        }
    }
}

#[test]
fn a_user_who_may_not_see_settings_is_told_what_was_not_looked_at() {
    let redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "no"]);
    redis.ask("ACL SETUSER hub on >secret ~* +@all -config");
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "secret").unwrap();
    let login = format!(
        "username = \"hub\"\npassword_file = {:?}\n",
        password.display().to_string()
    );
    let toml = member(folder.path(), &redis, &login);
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 0, "{findings}");
    said(&findings, "engine", "appendfsync was not looked at");
}

#[test]
fn an_engine_that_is_not_there_is_a_problem() {
    let mut redis = Redis::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let toml = member(folder.path(), &redis, "start_timeout_secs = 1\n");
    redis.kill();
    let (code, findings) = ask(&toml, &[]);
    assert_eq!(code, 1, "{findings}");
    check(&findings, "engine", "problem", "cluster.url");
}

fn member(folder: &Path, redis: &Redis, more: &str) -> String {
    let url = redis.url();
    let cluster = format!("{LISTEN}[cluster]\nengine = \"redis\"\nurl = \"{url}\"\n{more}");
    configured(folder, &cluster)
}
