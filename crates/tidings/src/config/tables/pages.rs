//! `[pages]`: which of the built-in pages are served.

use crate::config::keys::rule::flag;

table! {
    /// Which of the built-in pages are served.
    pub struct PageOptions = "pages" {
        /// Whether the chat is served at `/chat`. Whoever reaches the hub may then read and publish
        /// messages of the topic `/chat` without a token. Pages may that are the hub's own or named
        /// in `publish.origins`; programs may always.
        chat: bool = flag(false).live();
        /// Whether the score board is served at `/scores`.
        scores: bool = flag(false).live();
        /// Whether the debugger is served at `/debugger`.
        debugger: bool = flag(false).live();
        /// Whether `/diagnose` tells visitors what their network lets through: event streams,
        /// WebSockets, long polling. It asks below the hub's path, without a token, for answers of
        /// a few seconds that tell nothing about topics.
        diagnose: bool = flag(false).live();
        /// Whether the browser client is served: as a plain script at `/tidings.js`, as a module at
        /// `/tidings.mjs`. It is always served with any of the pages.
        library: bool = flag(true).live();
    }
}

impl PageOptions {
    /// Returns whether any page is served.
    pub fn any(&self) -> bool {
        self.chat || self.scores || self.debugger || self.diagnose
    }
}
