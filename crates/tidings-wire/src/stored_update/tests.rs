//! Entries of both generations.

use super::*;

#[test]
fn an_update_of_either_generation_is_read() {
    let key = b"\0\0\0\0\0\0\0\x01id";
    let value = br#"{"Data":"d","ID":"id","Type":"t","Retry":3,"Topics":["a","b"],"Private":true,"Debug":false}"#;
    let update = StoredUpdate::decode(key, value).unwrap();
    assert_eq!((update.data.as_str(), update.id.as_str()), ("d", "id"));
    assert_eq!(
        (update.event_type.as_str(), update.retry_ms, update.private),
        ("t", 3, true)
    );
    assert_eq!(update.topics, ["a", "b"]);
    assert_eq!(update.targets().count(), 0);
    let value = br#"{"Targets":{"foo":{},"bar":{}},"Topics":["a"],"Data":"d","ID":"id","Type":"","Retry":0}"#;
    let update = StoredUpdate::decode(key, value).unwrap();
    assert!(!update.private);
    assert_eq!(update.targets().collect::<Vec<_>>(), ["bar", "foo"]);
    let value = br#"{"Targets":null,"Topics":["a"],"ID":"id"}"#;
    assert_eq!(
        StoredUpdate::decode(key, value).unwrap().targets().count(),
        0
    );
}

#[test]
fn anything_else_is_refused() {
    let key = b"\0\0\0\0\0\0\0\x01";
    assert!(matches!(
        StoredUpdate::decode(b"short", b"{}"),
        Err(StoredError::Key { bytes: 5 })
    ));
    for value in [
        "",
        "{}",
        "[]",
        r#"["","",\t"",0,[]]"#,
        r#"{"ID":"x"}"#,
        r#"{"ID":1,"Topics":[]}"#,
        r#"{"ID":"x","Topics":"t"}"#,
    ] {
        assert!(
            StoredUpdate::decode(key, value.as_bytes()).is_err(),
            "{value}"
        );
    }
}
