//! What each fuzz target does with its input: one function per decoder.
//!
//! The targets in `fuzz_targets/` call these functions, and so does the test that replays
//! `corpus/` without a fuzzer. A body decodes, and asserts what must hold for every input.

mod fields;
mod files;
mod mercure;
mod sockets;
pub mod tokens;
mod topics;
mod zmtp;

use std::borrow::Cow;

use tidings_core::HubUrl;

pub use fields::{
    authority, bearer, cookie, flash_policy, forwarded, http_head, idempotency_key, origin, prefer,
    proxy_protocol,
};
pub use files::{bolt, caddyfile, cluster_page, key_set, stored_update};
pub use mercure::{
    form, old_publish_form, old_token, publish_form, selector_query, sse, sse_decoder,
    subscribe_query, token,
};
pub use sockets::{
    hub_frames, sockjs_inbound, sockjs_outbound, sockjs_place, websocket_frames,
    websocket_handshake, websocket_hixie76,
};
pub use topics::{event_id, matcher, topic};
pub use zmtp::{zmtp_decoder, zmtp_handshake};

/// Runs one input through a decoder. Panics if an assertion fails.
pub type Body = fn(&[u8]);

/// Every target: its name, which is also that of its folder in `corpus/`, and its body.
pub const TARGETS: &[(&str, Body)] = &[
    ("bearer", bearer),
    ("bolt", bolt),
    ("caddyfile", caddyfile),
    ("cluster_page", cluster_page),
    ("cookie", cookie),
    ("event_id", event_id),
    ("flash_policy", flash_policy),
    ("form", form),
    ("forwarded", forwarded),
    ("http_head", http_head),
    ("hub_frames", hub_frames),
    ("idempotency_key", idempotency_key),
    ("key_set", key_set),
    ("matcher", matcher),
    ("old_publish_form", old_publish_form),
    ("old_token", old_token),
    ("authority", authority),
    ("origin", origin),
    ("prefer", prefer),
    ("proxy_protocol", proxy_protocol),
    ("publish_form", publish_form),
    ("sockjs_inbound", sockjs_inbound),
    ("sockjs_outbound", sockjs_outbound),
    ("sockjs_place", sockjs_place),
    ("selector_query", selector_query),
    ("sse", sse),
    ("sse_decoder", sse_decoder),
    ("stored_update", stored_update),
    ("subscribe_query", subscribe_query),
    ("token", token),
    ("topic", topic),
    ("websocket_frames", websocket_frames),
    ("websocket_handshake", websocket_handshake),
    ("websocket_hixie76", websocket_hixie76),
    ("zmtp_decoder", zmtp_decoder),
    ("zmtp_handshake", zmtp_handshake),
];

fn hub() -> HubUrl {
    HubUrl::parse("https://hub.example.com/.well-known/mercure").expect("a valid URL")
}

/// Returns the first line of `input` and the rest.
fn split(input: &[u8]) -> (&[u8], &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

fn split_text(input: &[u8]) -> (Cow<'_, str>, Cow<'_, str>) {
    let (first, rest) = split(input);
    (text(first), text(rest))
}

fn text(input: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(input)
}
