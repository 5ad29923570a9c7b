//! `[rooms]`: conversations: WebSockets whose texts go to everybody with the same topic.

use tidings_wire::origin::OriginList;
use toml::Value;

use crate::config::keys::Bounds;
use crate::config::keys::rule::{choice, flag, list};
use crate::config::value::{FromValue, ValueError};

table! {
    /// Rules for conversations.
    pub struct RoomOptions = "rooms" {
        /// Who may take part in conversations at `/ws/{topic}`: nobody, anybody, or those with a
        /// token. With `token`, speaking needs a token that allows publishing to the topic;
        /// listening is as free as subscribing elsewhere.
        access: Option<RoomAccess> = choice(ACCESS, "off").live();
        /// Topics that `/ws/{topic}` may name. A `*` at the end stands for anything. With
        /// `rooms.access = "anonymous"` anybody may publish to them, so name none that your
        /// application publishes to.
        topics: Vec<String> = list(&[]).live();
        /// Origins of pages that may take part, such as `https://example.com`. `*` is every page,
        /// `null` local files. The hub's own origin always may. Others are answered 403.
        origins: OriginList = list(&[]).live();
        /// Sub-protocols that are agreed to. The first one of a browser's list that is in this list
        /// is chosen; without any the connection is opened without one.
        subprotocols: Vec<String> = list(&[]).live();
        /// Whether what is said is a private update, which only those with a grant may read. Needs
        /// `rooms.access = "token"`.
        private: bool = flag(false).live();
    }
}

/// Who may take part in conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomAccess {
    /// Everybody.
    Anonymous,
    /// Those whose token allows publishing to the topic; others may read as they may elsewhere.
    Token,
}

/// What may be written; `off` is nobody.
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
