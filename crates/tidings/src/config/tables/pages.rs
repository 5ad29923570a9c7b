//! `[pages]`: which of the built-in pages are served.

use crate::config::keys::rule::flag;

table! {
    /// Which of the built-in pages are served.
    pub struct PageOptions = "pages" {
        /// Whether the chat is served at `/chat`. Anyone who can reach the hub can then read and
        /// publish messages of the topic `/chat` without a token. Pages can do so if they are the
        /// hub's own or their origin is in `publish.origins`; other programs always can.
        chat: bool = flag(false).live();
        /// Whether the score board is served at `/scores`.
        scores: bool = flag(false).live();
        /// Whether the debugger is served at `/debugger`.
        debugger: bool = flag(false).live();
        /// Whether `/diagnose` shows visitors which transports work in their network: event
        /// streams, WebSockets, long polling. Its requests go to paths below the hub's path and
        /// need no token; the responses take a few seconds and reveal nothing about topics.
        diagnose: bool = flag(false).live();
        /// Whether the browser client is served: as a classic script at `/tidings.js`, as a module
        /// at `/tidings.mjs`. It is always served if any of the pages is.
        library: bool = flag(true).live();
    }
}

impl PageOptions {
    /// Returns whether any page is served.
    pub fn any(&self) -> bool {
        self.chat || self.scores || self.debugger || self.diagnose
    }
}
