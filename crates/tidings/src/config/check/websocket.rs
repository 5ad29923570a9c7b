//! Checks of what concerns WebSockets: `[websocket]`, `[rooms]`, `[sockjs]`, `[flash]`, and addresses.

use tidings_core::topic::Topic;
use tidings_wire::flash_policy::{self, Access, SiteControl};

use super::Checks;
use crate::config::addresses::AddressList;
use crate::config::file::{FlashTable, ListenTable, RoomsTable, SockJsTable, WebSocketTable};
use crate::config::{FlashOptions, RoomAccess, RoomOptions, SockJsOptions, WebSocketOptions};
use crate::redact;

impl Checks {
    pub(super) fn websocket(&mut self, table: &WebSocketTable) -> Option<WebSocketOptions> {
        let bytes_max = self.number("websocket.bytes_max", table.bytes_max, 1);
        let name = "websocket.frames_per_second_max";
        let frames = self.number(name, table.frames_per_second_max, 0);
        let ping = self.seconds("websocket.ping_secs", table.ping_secs, 0);
        Some(WebSocketOptions {
            compression: table.compression,
            bytes_max: bytes_max?,
            frames_per_second_max: frames?,
            ping: ping?,
        })
    }

    pub(super) fn rooms(
        &mut self,
        table: &RoomsTable,
        listens: &[ListenTable],
    ) -> Option<RoomOptions> {
        let access = match table.access.as_str() {
            "anonymous" => Some(RoomAccess::Anonymous),
            "token" => Some(RoomAccess::Token),
            _ => None,
        };
        let named = listens.iter().position(|listen| listen.room.is_some());
        match (access, named) {
            (None, Some(index)) => {
                let advice = "is set, but rooms.access is \"off\": write \"anonymous\" or \
                              \"token\" there, or remove this";
                self.contradiction(&format!("listen.{index}.room"), advice);
            }
            (Some(_), None) if table.topics.is_empty() => {
                let advice = "is empty, and no [[listen]] has a room, so that nobody could take \
                              part: write topics such as \"chat/*\"";
                self.contradiction("rooms.topics", advice);
            }
            (Some(_) | None, Some(_) | None) => {}
        }
        if table.private && access != Some(RoomAccess::Token) {
            let advice = "is true, but rooms.access is not \"token\", so that nobody could read: \
                          write \"token\" there, or false here";
            self.contradiction("rooms.private", advice);
        }
        for protocol in &table.subprotocols {
            let known =
                |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if protocol.is_empty() || !protocol.bytes().all(known) {
                let reason = format!("{protocol:?} is not a token: write letters, digits, - and .");
                self.invalid("rooms.subprotocols", reason);
            }
        }
        Some(RoomOptions {
            access,
            topics: table.topics.clone(),
            origins: self.origins("rooms.origins", &table.origins)?,
            subprotocols: table.subprotocols.clone(),
            private: table.private,
        })
    }

    pub(super) fn sockjs(&mut self, table: &SockJsTable) -> Option<SockJsOptions> {
        if let Some(url) = &table.library_url
            && !["/", "https://", "http://"]
                .iter()
                .any(|start| url.starts_with(start))
        {
            let shown = redact::url(url);
            let reason = format!("{shown:?} is not a URL: write https://… or a path");
            self.invalid("sockjs.library_url", reason);
        }
        let response_bytes_max =
            self.number("sockjs.response_bytes_max", table.response_bytes_max, 1);
        let body_bytes_max = self.number("sockjs.body_bytes_max", table.body_bytes_max, 1);
        let heartbeat = self.seconds("sockjs.heartbeat_secs", table.heartbeat_secs, 0);
        let disconnect = self.seconds("sockjs.disconnect_secs", table.disconnect_secs, 1);
        let sessions_max = self.number("sockjs.sessions_max", table.sessions_max, 1);
        let name = "sockjs.sessions_per_address_max";
        let sessions_per_address_max = self.number(name, table.sessions_per_address_max, 1);
        let queue_bytes_max = self.number("sockjs.queue_bytes_max", table.queue_bytes_max, 1);
        Some(SockJsOptions {
            enabled: table.enabled,
            websocket: table.websocket,
            cookie: table.cookie,
            library_url: table.library_url.clone(),
            response_bytes_max: response_bytes_max?,
            body_bytes_max: body_bytes_max?,
            heartbeat: heartbeat?,
            disconnect: disconnect?,
            sessions_max: sessions_max?,
            sessions_per_address_max: sessions_per_address_max?,
            queue_bytes_max: queue_bytes_max?,
        })
    }

    /// Reads the topic of a listener's conversation.
    pub(super) fn listen_topic(&mut self, index: usize, table: &ListenTable) -> Option<Topic> {
        match Topic::parse(table.room.as_deref()?) {
            Ok(topic) => Some(topic),
            Err(error) => {
                self.invalid(&format!("listen.{index}.room"), error);
                None
            }
        }
    }

    pub(super) fn flash(&mut self, table: &FlashTable) -> Option<FlashOptions> {
        let address = match table.address.as_deref() {
            Some(text) => Some(self.address("flash.address", text)?),
            None => None,
        };
        if address.is_some() && table.allow.is_empty() {
            let advice = "is set, but flash.allow is empty, so that there is no policy: write \
                          such as \"example.com:443\" there, or remove this";
            self.contradiction("flash.address", advice);
        }
        let site_control = match table.site_control.as_str() {
            "none" => SiteControl::None,
            "master-only" => SiteControl::MasterOnly,
            _ => SiteControl::All,
        };
        let access: Result<Vec<Access>, _> =
            table.allow.iter().map(|rule| Access::parse(rule)).collect();
        match access {
            Ok(access) => Some(FlashOptions {
                address,
                inline: !access.is_empty(),
                policy: flash_policy::policy(site_control, &access).into(),
            }),
            Err(error) => {
                self.invalid("flash.allow", error);
                None
            }
        }
    }

    pub(super) fn addresses(&mut self, key: &str, entries: &[String]) -> Option<AddressList> {
        match AddressList::parse(entries) {
            Ok(list) => Some(list),
            Err(error) => {
                self.invalid(key, error);
                None
            }
        }
    }
}
