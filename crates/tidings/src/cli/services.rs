//! A developer's hub with services of another program beside it, such as those that conformance suites
//! ask for.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::{dev, log};
use crate::server::{self, Control};
use crate::signals::Hangup;
use crate::telemetry::output;
use tidings_hub::session::service::Offer;

/// What the hub is told.
#[derive(Debug)]
pub struct Options<'a> {
    /// The address to listen on; a loopback address.
    pub listen: SocketAddr,
    /// Its data folder.
    pub folder: &'a Path,
    /// The longest text of a WebSocket, in bytes.
    pub text_bytes_max: usize,
    /// The longest body of a request of SockJS, in bytes.
    pub sockjs_body_bytes_max: usize,
    /// Where the page for SockJS across origins loads the library from.
    pub sockjs_library_url: &'a str,
}

/// Serves until it is told to stop. Says on the standard output where, once it listens.
///
/// Peers may name any host, and none of them is slowed down or asked whether it is alive.
///
/// # Errors
///
/// What keeps the hub from starting, or what made it end before it was told to.
pub fn serve(options: &Options<'_>, services: Vec<Offer>) -> anyhow::Result<()> {
    let control = Control::start(Hangup::Stops)?;
    let address = dev::free_address(options.listen)?;
    let mut config = dev::config(address, options.folder, true)?;
    let paths: Vec<&str> = services.iter().map(|offer| offer.path).collect();
    let banner = format!("services at http://{address}: {}\n", paths.join(" "));
    config.services = services;
    config.hosts = Vec::new();
    config.websocket.bytes_max = options.text_bytes_max;
    // A text of that length, its answer, and both on their way.
    config.limits.held_bytes_per_connection_max = 8 * options.text_bytes_max;
    config.websocket.frames_per_second_max = 0;
    config.websocket.ping = Duration::ZERO;
    config.sockjs.body_bytes_max = options.sockjs_body_bytes_max;
    config.sockjs.library_url = Some(options.sockjs_library_url.to_owned());
    log::start(&config.log)?;
    let result = server::run(control, config, |_config| output::announce(&banner));
    output::flush();
    result
}
