//! A hub as operators run it: what `tidings serve` needs at least, and tokens for it.

use super::{TestHub, run};

/// The configuration that all served hubs of the tests begin with. Further tables may follow.
pub const SERVED: &str = r#"
[hub]
public_url = "https://hub.test/.well-known/mercure"

[[auth.issuers]]
issuer = "https://issuer.test"
key = "a key that is only good for the tests of this hub"
"#;

impl TestHub {
    /// Starts a hub with [`SERVED`] and further tables of the configuration.
    pub fn served(more: &str) -> Self {
        Self::serve(&format!("{SERVED}{more}"))
    }
}

/// Makes a token for a served hub with `tidings token make`; `wish` is its further arguments, such
/// as `--publish *`.
#[track_caller]
pub fn served_token(wish: &[&str]) -> String {
    let mut arguments = vec!["token", "make", "--issuer", "https://issuer.test"];
    arguments.extend(["--audience", "https://hub.test/.well-known/mercure"]);
    arguments.extend(["--key", "a key that is only good for the tests of this hub"]);
    arguments.extend(wish);
    let (code, token, errors) = run(&arguments, &[]);
    assert_eq!(code, 0, "{errors}");
    token.trim().to_owned()
}
