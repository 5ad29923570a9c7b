//! `[dialects]`: which versions of Mercure before 1.0 are served.

use tidings_core::Dialect;

use crate::config::keys::rule::flag;

table! {
    /// Which versions of Mercure before 1.0 are served too.
    pub struct DialectOptions = "dialects" {
        /// Whether publishers and subscribers of Mercure 0.10 to 0.24 are served at the hub's path:
        /// the parameter `topic`, the claim `mercure`, the cookie `mercureAuthorization`.
        v0: bool = flag(false).start();
        /// Whether publishers and subscribers of Mercure 0.1 to 0.7 are served at `/hub`, with
        /// `target` fields.
        v2019: bool = flag(false).start();
        /// Whether `/demo/`, as in those hubs, echoes the content that a link asks for and sets its
        /// token as a cookie. For demonstrations only.
        demo: bool = flag(false).live();
    }
}

impl DialectOptions {
    /// Returns the dialects before 1.0 that are served.
    pub fn old(&self) -> impl Iterator<Item = Dialect> + use<> {
        let all = [(Dialect::V0, self.v0), (Dialect::V2019, self.v2019)];
        all.into_iter()
            .filter_map(|(dialect, on)| on.then_some(dialect))
    }
}
