//! `[sockjs]`: SockJS.

use std::time::Duration;

use crate::config::keys::Form::Text;
use crate::config::keys::rule::{flag, number, unset};
use crate::config::value::ScriptUrl;

table! {
    /// SockJS: the hub and its rooms for browsers without WebSocket.
    pub struct SockJsOptions = "sockjs" {
        /// Whether SockJS is served at `/sockjs`, for browsers without WebSocket. Rooms are then
        /// also available at `/sockjs/room/{topic}`, under the rules of `[rooms]`.
        enabled: bool = flag(false).live();
        /// Whether SockJS offers WebSocket as a transport.
        websocket: bool = flag(true).live();
        /// Whether responses set the cookie `JSESSIONID`, which some load balancers use for sticky
        /// sessions. All requests of a session must reach the same hub.
        cookie: bool = flag(false).live();
        /// URL from which the page for cross-origin transports loads the SockJS library. It must be
        /// the same version that your own pages load; serve both from your own site.
        library_url: Option<ScriptUrl> = unset(Text, "there is no such page").live();
        /// Bytes after which a streaming response ends and the browser makes a new request.
        /// Browsers keep a whole response in memory.
        response_bytes_max: usize = number(128 * 1024).at_least(1).live();
        /// Maximum body size of a request that sends messages, in bytes. Larger ones get 413.
        body_bytes_max: usize = number(128 * 1024).at_least(1).live();
        /// Seconds between two heartbeats. 0 sends none.
        heartbeat as "heartbeat_secs": Duration = number(25).secs().live();
        /// Seconds without a receiving request after which a session is closed and removed.
        disconnect as "disconnect_secs": Duration = number(5).secs().at_least(1).live();
        /// Maximum number of sessions without a WebSocket. Further ones get 503.
        sessions_max: usize = number(10_000).at_least(1).live();
        /// Maximum number of sessions without a WebSocket from one IP address. Further ones get
        /// 429. Behind a proxy, all come from its address: use the value of `sockjs.sessions_max`.
        sessions_per_address_max: usize = number(1000).at_least(1).live();
        /// Bytes that may be queued in all sessions without a WebSocket together. Beyond this
        /// limit, requests that send messages get 503. Updates are not queued: they are read from
        /// the history.
        queue_bytes_max: usize = number(64 * 1024 * 1024).at_least(1).live();
    }
}
