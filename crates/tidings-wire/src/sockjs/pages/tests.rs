//! The fixed texts as the protocol's tests expect them.

use super::{iframe, info};

#[test]
fn info_is_json_with_what_browsers_look_for() {
    let read: serde_json::Value = serde_json::from_str(&info(true, false, 7)).expect("JSON");
    let expected = serde_json::json!({
        "websocket": true, "origins": ["*:*"], "cookie_needed": false, "entropy": 7
    });
    assert_eq!(read, expected);
}

#[test]
fn the_page_loads_the_library_and_nothing_else() {
    let page = iframe("https://hub.example.com/sockjs.js?a=1&b=\"<");
    assert!(
        page.starts_with("<!DOCTYPE html>\n<html>\n<head>\n"),
        "{page}"
    );
    let script = "<script src=\"https://hub.example.com/sockjs.js?a=1&amp;b=&quot;&lt;\"></script>";
    assert!(page.contains(script), "{page}");
    assert!(page.contains("SockJS.bootstrap_iframe();"), "{page}");
}
