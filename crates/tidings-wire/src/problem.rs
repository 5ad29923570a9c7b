//! Problem documents: why a request was refused, readable by programs and people. RFC 9457, 3.
//!
//! HTTP error responses and the `error` frames of the hub's WebSocket contain them.

use serde_json::{Value, json};

/// Returns a problem document. `name` becomes the type `urn:tidings:problem:NAME`; `status` is the
/// HTTP status code.
#[must_use]
pub fn document(status: u16, name: &str, title: &str, detail: &str) -> Value {
    json!({
        "type": format!("urn:tidings:problem:{name}"),
        "title": title,
        "status": status,
        "detail": detail,
    })
}

/// Adds the members `limit`, the key of the limit that was reached, and `retry_after`, the seconds after which trying
/// again can help if they are known. RFC 9457, 3.2.
pub fn add_limit(document: &mut Value, limit: &str, retry_after_secs: Option<u64>) {
    let Some(members) = document.as_object_mut() else {
        return;
    };
    members.insert("limit".to_owned(), limit.into());
    if let Some(secs) = retry_after_secs {
        members.insert("retry_after".to_owned(), secs.into());
    }
}
