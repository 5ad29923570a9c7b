//! Hubs that serve every dialect, and tokens as they were before 1.0.

use serde_json::{Value, json};

use super::tokens::{SECRET, settings, sign};
use super::{Answer, EventStream, Request, TestHub};

/// The path of 2019.
pub const PATH_2019: &str = "/hub";

/// Returns a `tidings.toml` that switches every dialect on, for keys of all of them.
///
/// `more` may have issuers of its own; each gets every dialect.
pub fn all_dialects(more: &str) -> String {
    let text = settings(more);
    let issuers = text.replace(
        "[[auth.issuers]]",
        "[[auth.issuers]]\ndialects = [\"1.0\", \"0.x\", \"2019\"]",
    );
    format!("{issuers}\n[dialects]\nv0 = true\nv2019 = true\n")
}

/// Starts a hub with every dialect, which lets anonymous subscribers in.
pub fn hub() -> TestHub {
    TestHub::serve(&all_dialects("[subscribe]\nanonymous = true\n"))
}

/// Returns a token of before 1.0 with this claim `mercure`.
pub fn old_token(mercure: Value) -> String {
    old_token_with(&json!({"mercure": mercure}))
}

/// Returns a token of before 1.0 with these claims.
pub fn old_token_with(claims: &Value) -> String {
    sign(SECRET, &json!({"alg": "HS256", "typ": "JWT"}), claims)
}

/// Publishes at a path.
pub fn publish_at(hub: &TestHub, path: &str, token: &str, form: &[(&str, &str)]) -> Answer {
    hub.request(Request::post(path).bearer(token).form(form))
}

/// Subscribes at a path with a token, if there is one.
pub fn subscribe_at(hub: &TestHub, path: &str, query: &str, token: Option<&str>) -> EventStream {
    let request = Request::get(&format!("{path}?{query}"));
    hub.subscribe_by(match token {
        Some(token) => request.bearer(token),
        None => request,
    })
}
