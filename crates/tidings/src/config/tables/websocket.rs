//! `[websocket]`: rules for WebSockets.

use std::time::Duration;

use crate::config::keys::rule::{flag, number};

table! {
    /// Rules for WebSockets.
    pub struct WebSocketOptions = "websocket" {
        /// Whether messages are compressed for peers that offer it (permessage-deflate). An update
        /// is compressed once for all of them; no context is kept between messages.
        compression: bool = flag(true).live();
        /// Maximum size of a message from a WebSocket peer in bytes, after inflating. A longer
        /// message closes the connection with code 1009.
        message_bytes_max: usize = number(1024 * 1024).at_least(1).live();
        /// Maximum number of frames per second from one WebSocket peer. More frames close the
        /// connection with code 1008. 0 sets no limit.
        frames_per_second_max: u32 = number(1000).live();
        /// Seconds between two pings. A WebSocket whose peer is silent from one ping to the next is
        /// closed. 0 disables pings.
        ping as "ping_secs": Duration = number(30).secs().live();
    }
}
