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
