//! A developer's hub together with services of another program, such as those that conformance
//! suites require.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{dev, log};
use crate::config::value::ScriptUrl;
use crate::server::{self, Beginning, Control};
use crate::signals::Hangup;
use crate::telemetry::output;
use tidings_hub::session::service::Offer;

/// The hub's settings.
#[derive(Debug)]
pub struct Options<'a> {
    /// The address to listen on; a loopback address.
    pub listen: SocketAddr,
    /// Its data folder.
    pub folder: &'a Path,
    /// Maximum size of a WebSocket message, in bytes.
    pub text_bytes_max: usize,
    /// Maximum body size of a SockJS request, in bytes.
    pub sockjs_body_bytes_max: usize,
    /// URL from which the page for cross-origin SockJS loads the library.
    pub sockjs_library_url: &'a str,
}

/// Serves until a signal stops it. Prints its address once it listens.
///
/// Peers may name any host; there are no rate limits and no heartbeats.
///
/// # Errors
///
/// Why the hub cannot start, or why it stopped early.
pub fn serve(options: &Options<'_>, services: Vec<Offer>) -> anyhow::Result<()> {
    let control = Control::start(Hangup::Stops)?;
    let address = dev::free_address(options.listen)?;
    let mut config = dev::config(address, options.folder, true)?;
    let paths: Vec<&str> = services.iter().map(|offer| offer.path).collect();
    let banner = format!("services at http://{address}: {}\n", paths.join(" "));
    config.services = services;
    config.hosts = Vec::new();
    config.websocket.message_bytes_max = options.text_bytes_max;
    // A message of that length, its response, and both in transit.
    config.limits.peer_memory_bytes_per_connection_max = 8 * options.text_bytes_max;
    config.websocket.frames_per_second_max = 0;
    config.websocket.ping = Duration::ZERO;
    config.sockjs.body_bytes_max = options.sockjs_body_bytes_max;
    config.sockjs.library_url = Some(ScriptUrl::parse(options.sockjs_library_url)?);
    log::start(&config.log)?;
    let result = server::run(control, config, Beginning::default(), |_config| {
        output::announce(&banner);
    });
    output::flush();
    result
}
