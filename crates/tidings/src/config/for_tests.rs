//! A configuration for whatever runs a hub without an operator: tests, the simulator, fuzz targets.

use super::{Config, of_text};

impl Config {
    /// Returns the defaults, and what a hub cannot be without: an address, a URL and a key. Subscribers
    /// need no token, updates are kept in memory, and a refusal says which check failed.
    pub fn for_tests() -> Self {
        #[expect(clippy::expect_used, reason = "a fixed text; a mistake ends the test")]
        let mut config = of_text("the tests", &text()).expect("a configuration");
        config.explain_refusals = true;
        config
    }
}

fn text() -> String {
    format!(
        r#"
[[listen]]
address = "127.0.0.1:0"

[hub]
public_url = "https://hub.example/.well-known/mercure"

[[auth.issuers]]
issuer = "lab"
key = "{TEST_KEY}"

[subscribe]
anonymous = true
connection_secs_max = 0

[history]
kind = "memory"
"#
    )
}

/// A key for tokens that nobody makes: grants come from the caller.
const TEST_KEY: &str = "a key of the lab, long enough for HS256";
