//! The fixed texts of the protocol, and the page that cross-origin transports load.

/// The response at the base.
pub const GREETING: &str = "Welcome to SockJS!\n";
/// The media type of the greeting, and of the responses to inbound texts.
pub const PLAIN: &str = "text/plain; charset=UTF-8";
/// The `Cache-Control` of the page and of preflights: one year.
pub const CACHED: &str = "public, max-age=31536000";
/// The same in seconds.
pub const CACHED_SECS: u64 = 31_536_000;
/// The `Cache-Control` of everything else; the protocol's tests compare it literally.
pub const NOT_CACHED: &str = "no-store, no-cache, no-transform, must-revalidate, max-age=0";
/// The cookie by which some load balancers choose a server.
pub const AFFINITY_COOKIE: &str = "JSESSIONID";
/// The response to a request at a WebSocket URL that is not an upgrade.
pub const NOT_AN_UPGRADE: &str = "Can \"Upgrade\" only to \"WebSocket\".";

/// Returns the response of `/info`. `entropy` is different in each response: old browsers seed
/// their random numbers with it.
///
/// SockJS protocol 0.3.3, "InfoTest".
pub fn info(websocket: bool, cookie_needed: bool, entropy: u32) -> String {
    format!(
        "{{\"websocket\":{websocket},\"origins\":[\"*:*\"],\"cookie_needed\":{cookie_needed},\
         \"entropy\":{entropy}}}"
    )
}

/// Returns the page of `/iframe*.html`, which loads the library from `library_url`.
///
/// SockJS protocol 0.3.3, "IframePage": the protocol's tests match the page against an expression,
/// so no space may change.
pub fn iframe(library_url: &str) -> String {
    let library_url = escape_attribute(library_url);
    format!(
        "<!DOCTYPE html>\n<html>\n<head>\n  <meta http-equiv=\"X-UA-Compatible\" content=\"IE=edge\" />\n  \
         <meta http-equiv=\"Content-Type\" content=\"text/html; charset=UTF-8\" />\n  \
         <script src=\"{library_url}\"></script>\n  <script>\n    document.domain = document.domain;\n    \
         SockJS.bootstrap_iframe();\n  </script>\n</head>\n<body>\n  <h2>Don't panic!</h2>\n  \
         <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>\n</body>\n</html>"
    )
}

fn escape_attribute(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('"', "&quot;")
        .replace('<', "&lt;")
}

#[cfg(test)]
mod tests;
