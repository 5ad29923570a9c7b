//! Reading `INFO`. Findings are tested on real servers (`tests/it/checks.rs`).

use super::*;

#[test]
fn a_version_is_the_one_that_commands_follow() {
    for (text, expected) in [
        ("redis_version:7.0.15\r\n", Version(7, 0)),
        ("# Server\r\nredis_version:6.2.0\r\n", Version(6, 2)),
        // Valkey says what it is like.
        (
            "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n",
            Version(7, 2),
        ),
        ("redis_version:5\r\n", Version(5, 0)),
        ("", Version(0, 0)),
    ] {
        assert_eq!(Info(text).version(), expected);
    }
    assert!(Version(6, 0) < VERSION_MIN);
    assert!(Version(6, 2) >= VERSION_MIN);
    assert!(Version(10, 0) >= VERSION_MIN);
}

#[test]
fn a_field_is_found_by_its_whole_name() {
    let info = Info("maxmemory_human:0B\r\nmaxmemory:5\r\n");
    assert_eq!(info.number("maxmemory"), Some(5));
    assert_eq!(info.text("memory"), None);
}

#[test]
fn the_document_has_the_permissions() {
    let document = include_str!("../../../../docs/formats/cluster-redis.md");
    let rules = permissions(&"NAME".parse().unwrap());
    assert!(document.contains(&format!("ACL SETUSER hub on >PASSWORD {rules}\n")));
}
