//! `[websocket]`: rules for WebSockets.

use std::time::Duration;

use crate::config::keys::rule::{flag, number};

table! {
    /// Rules for WebSockets.
    pub struct WebSocketOptions = "websocket" {
        /// Whether texts are compressed for those who offer it (permessage-deflate). An update is
        /// compressed once for all of them; no context is kept between two texts.
        compression: bool = flag(true).live();
        /// Longest text that a WebSocket may send, in bytes, inflated. A longer one closes the
        /// connection with code 1009.
        bytes_max: usize = number(1024 * 1024).at_least(1).live();
        /// Frames that one WebSocket may send in a second. More close the connection with code
        /// 1008. 0 allows any number.
        frames_per_second_max: u32 = number(1000).live();
        /// Seconds between two pings. A WebSocket that has been silent from one ping to the next is
        /// closed. 0 sends none.
        ping as "ping_secs": Duration = number(30).secs().live();
    }
}
