//! `tidings test-server`: the services that outside conformance suites run against, by the same
//! codecs, shards and sessions as everything else. Not in the help: it is for the repository's tests.

use std::net::SocketAddr;
use std::time::Duration;

use super::{dev, log};
use crate::server::{self, Control};
use crate::signals::Hangup;
use crate::telemetry::output;

/// Longest text that is echoed: the suites send up to 16 MiB.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Longest body of a request of SockJS: a text of 64 Ki units, each by an escape of six bytes, fits.
const SOCKJS_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Serve what conformance suites test: a WebSocket echo at /echo, and the services of SockJS
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Address to listen on; must be a loopback address
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9001")]
    listen: SocketAddr,

    /// Where the page for SockJS across origins loads the library from
    #[arg(long, value_name = "URL", default_value = "/sockjs.js")]
    sockjs_library_url: String,
}

/// Runs the command until the server ends.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let control = Control::start(Hangup::Stops)?;
    let address = dev::free_address(arguments.listen)?;
    let folder = std::env::temp_dir().join(format!("tidings-test-server-{}", std::process::id()));
    let mut config = dev::config(address, &folder, true)?;
    config.test_services = true;
    // Suites speak to a host of their own naming, as fast as they can, and take minutes.
    config.hosts = Vec::new();
    config.websocket.bytes_max = BYTES_MAX;
    // A text of that length, its echo, and both on their way.
    config.limits.held_bytes_per_connection_max = 8 * BYTES_MAX;
    config.websocket.frames_per_second_max = 0;
    config.websocket.ping = Duration::ZERO;
    config.sockjs.body_bytes_max = SOCKJS_BODY_BYTES_MAX;
    config.sockjs.library_url = Some(arguments.sockjs_library_url.clone());
    log::start(&config.log)?;
    let result = server::run(control, config, |_config| {
        let line = format!(
            "test services at http://{address}: /echo /disabled_websocket_echo \
             /cookie_needed_echo /close /amplify\n"
        );
        output::announce(&line);
    });
    std::fs::remove_dir_all(&folder).ok();
    result
}

const EXAMPLES: &str = "\
Examples:
  tidings test-server
  tidings test-server --listen 127.0.0.1:0";
