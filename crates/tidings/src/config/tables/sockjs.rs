//! `[sockjs]`: SockJS.

use std::time::Duration;

use crate::config::keys::Form::Text;
use crate::config::keys::rule::{flag, number, unset};

table! {
    /// SockJS: the hub and its conversations for browsers without WebSocket.
    pub struct SockJsOptions = "sockjs" {
        /// Whether SockJS is served at `/sockjs`, for browsers that have no WebSocket.
        /// Conversations are then also at `/sockjs/room/{topic}`, under the rules of `[rooms]`.
        enabled: bool = flag(false).live();
        /// Whether WebSockets are among the transports of SockJS.
        websocket: bool = flag(true).live();
        /// Whether answers set the cookie `JSESSIONID`, by which some load balancers keep a session
        /// on one server. All requests of a session must reach the same hub.
        cookie: bool = flag(false).live();
        /// Where the page for transports across origins loads the SockJS library from. It must be
        /// the same version as your own pages load; serve both from your own site.
        library_url: Option<String> = unset(Text, "there is no such page").live();
        /// Bytes after which a streaming answer ends and the browser asks anew. Browsers keep all
        /// of an answer in memory.
        response_bytes_max: usize = number(128 * 1024).at_least(1).live();
        /// Longest body of a request that says something, in bytes. Further ones get 413.
        body_bytes_max: usize = number(128 * 1024).at_least(1).live();
        /// Seconds between two heartbeats. 0 sends none.
        heartbeat as "heartbeat_secs": Duration = number(25).secs().live();
        /// Seconds that a session may be without a request that receives. Then it is closed and
        /// forgotten.
        disconnect as "disconnect_secs": Duration = number(5).secs().at_least(1).live();
        /// Sessions without a WebSocket. Further ones get 503.
        sessions_max: usize = number(10_000).at_least(1).live();
        /// Sessions without a WebSocket from one IP address. Further ones get 429. Behind a proxy
        /// all come from its address: write the same as in `sockjs.sessions_max`.
        sessions_per_address_max: usize = number(1000).at_least(1).live();
        /// Bytes that may wait in all sessions without a WebSocket together. Requests that say
        /// something get 503 beyond it. Updates do not wait: they are read from the history.
        queue_bytes_max: usize = number(64 * 1024 * 1024).at_least(1).live();
    }
}
