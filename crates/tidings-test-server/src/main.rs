//! The services that conformance suites run against, with the codecs, shards and sessions of the hub. It
//! is for the repository's tests, and not part of a release.

#![expect(clippy::print_stderr, reason = "it reports why it ends")]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use tidings::{Echo, Offer, Options, Service};
use tidings_wire::sockjs;

/// Maximum length of a text: the suites send up to 16 MiB.
const TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Maximum body of a SockJS request: a text of 64 Ki units with an escape of six bytes each fits.
const SOCKJS_BODY_BYTES_MAX: usize = 1024 * 1024;
/// Bytes after which streaming responses end, as the protocol's own tests require.
const RESPONSE_BYTES_MAX: usize = 4096;
/// The longest text that a number may request, as a power of two.
const AMPLIFIED_POWER_MAX: u32 = 18;

/// Serve the endpoints of conformance suites: a WebSocket echo at /echo, and the SockJS services
#[derive(Debug, Parser)]
#[command(name = "tidings-test-server", version)]
struct Arguments {
    /// Address to listen on; must be a loopback address
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9001")]
    listen: SocketAddr,

    /// URL from which the cross-origin page of SockJS loads the library
    #[arg(long, value_name = "URL", default_value = "/sockjs.js")]
    sockjs_library_url: String,
}

/// Answers a number with a text whose length is that power of two.
#[derive(Debug)]
struct Amplify;

impl Service for Amplify {
    /// Returns two `x` unless the text is a whole number from 1 to 18.
    fn on_text(&self, text: String) -> String {
        let power = text.trim().parse().ok();
        let power = power.filter(|power| (1..=AMPLIFIED_POWER_MAX).contains(power));
        "x".repeat(1 << power.unwrap_or(1_u32))
    }
}

/// Closes each connection at once.
#[derive(Debug)]
struct GoAway;

impl Service for GoAway {
    fn on_text(&self, text: String) -> String {
        text
    }

    fn closes(&self) -> Option<(u16, &'static str)> {
        Some((sockjs::CLOSE_GO_AWAY, "Go away!"))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let folder = std::env::temp_dir().join(format!("tidings-test-server-{}", std::process::id()));
    let options = Options {
        listen: arguments.listen,
        folder: &folder,
        text_bytes_max: TEXT_BYTES_MAX,
        sockjs_body_bytes_max: SOCKJS_BODY_BYTES_MAX,
        sockjs_library_url: &arguments.sockjs_library_url,
    };
    let result = tidings::serve(&options, offers());
    std::fs::remove_dir_all(&folder).ok();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidings-test-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn offers() -> Vec<Offer> {
    vec![
        Offer {
            plain: true,
            ..offer("/echo", Arc::new(Echo))
        },
        Offer {
            websocket: false,
            ..offer("/disabled_websocket_echo", Arc::new(Echo))
        },
        Offer {
            cookie: true,
            ..offer("/cookie_needed_echo", Arc::new(Echo))
        },
        offer("/close", Arc::new(GoAway)),
        offer("/amplify", Arc::new(Amplify)),
    ]
}

fn offer(path: &'static str, service: Arc<dyn Service>) -> Offer {
    Offer {
        path,
        service,
        plain: false,
        websocket: true,
        cookie: false,
        response_bytes_max: RESPONSE_BYTES_MAX,
        // The suites that test the codec send as much as they can.
        inflated_per_second_max: usize::MAX,
    }
}
