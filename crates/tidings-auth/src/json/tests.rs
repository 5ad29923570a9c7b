//! What strict reading takes and what it refuses.

use super::*;

#[test]
fn a_value_is_written_as_it_was_read() {
    let text = r#"{"z":[1,-2,2.5,true,null,"\u0000é"],"a":{},"Z":""}"#;
    assert_eq!(Json::parse(text.as_bytes()).unwrap().to_string(), text);
}

#[test]
fn a_name_that_occurs_twice_is_refused_at_every_depth() {
    for text in [
        r#"{"a":1,"a":1}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"[{"b":{"a":1,"c":2,"a":3}}]"#,
    ] {
        assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Json::parse(br#"{"a":1,"A":2}"#).is_ok());
}

#[test]
fn only_one_text_of_bounded_depth_is_read() {
    for text in ["", "{", "{} {}", "{\"a\":NaN}", "[1,]", "'a'"] {
        assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(Json::parse(b"\"\xff\"").is_err());
    assert!(Json::parse("[".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn names_are_case_sensitive() {
    let json = Json::parse(br#"{"Type":1}"#).unwrap();
    let object = json.as_object().unwrap();
    assert!(object.find("type").is_none());
    assert!(object.find("Type").is_some());
}
