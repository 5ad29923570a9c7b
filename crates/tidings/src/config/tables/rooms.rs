//! `[rooms]`: WebSockets whose messages go to everybody else with the same topic.

use tidings_wire::origin::OriginList;
use toml::Value;

use crate::config::keys::Bounds;
use crate::config::keys::rule::{choice, flag, list};
use crate::config::value::{FromValue, Subprotocol, ValueError};

table! {
    /// Rules for rooms.
    pub struct RoomOptions = "rooms" {
        /// Who may join rooms at `/ws/{topic}`: nobody, anybody, or holders of a token. With
        /// `token`, sending requires a token that allows publishing to the topic; receiving follows
        /// the same rules as subscribing elsewhere.
        access: Option<RoomAccess> = choice(ACCESS, "off").live();
        /// Topics that `/ws/{topic}` may name. A `*` at the end matches anything. With
        /// `rooms.access = "anonymous"`, anybody can publish to them, so list no topic that your
        /// application publishes to.
        topics: Vec<String> = list(&[]).live();
        /// Origins of pages that may join, such as `https://example.com`. `*` means every page,
        /// `null` local files. The hub's own origin is always allowed. Others get 403.
        origins: OriginList = list(&[]).live();
        /// Supported subprotocols. The hub selects the first one in the browser's list that is also
        /// in this list; if there is none, the connection opens without a subprotocol.
        subprotocols: Vec<Subprotocol> = list(&[]).live();
        /// Whether messages are private updates, which only holders of a grant can read. Requires
        /// `rooms.access = "token"`.
        private: bool = flag(false).live();
    }
}

/// Who may join rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomAccess {
    /// Everybody.
    Anonymous,
    /// Holders of a token that allows publishing to the topic; others may only receive, as
    /// elsewhere.
    Token,
}

/// The accepted values; `off` means nobody.
const ACCESS: &[&str] = &["off", "anonymous", "token"];

impl FromValue for Option<RoomAccess> {
    fn from_value(value: &Value, _bounds: &Bounds) -> Result<Self, ValueError> {
        match value.as_str() {
            Some("off") => Ok(None),
            Some("anonymous") => Ok(Some(RoomAccess::Anonymous)),
            Some("token") => Ok(Some(RoomAccess::Token)),
            Some(_) | None => Err(ValueError::Form),
        }
    }
}
