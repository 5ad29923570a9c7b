//! Parses a path below a SockJS base.

/// The transport of a session's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `…/websocket`.
    WebSocket,
    /// `…/xhr`: one frame per response.
    Xhr,
    /// `…/xhr_streaming`.
    XhrStreaming,
    /// `…/xhr_send`: inbound texts.
    XhrSend,
    /// `…/eventsource`.
    EventSource,
    /// `…/htmlfile`.
    HtmlFile,
    /// `…/jsonp`: one frame per response, as a script.
    Jsonp,
    /// `…/jsonp_send`: inbound texts, from a form.
    JsonpSend,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 8] = [
        Self::WebSocket,
        Self::Xhr,
        Self::XhrStreaming,
        Self::XhrSend,
        Self::EventSource,
        Self::HtmlFile,
        Self::Jsonp,
        Self::JsonpSend,
    ];

    /// Returns the last segment of the transport's URLs.
    pub fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Xhr => "xhr",
            Self::XhrStreaming => "xhr_streaming",
            Self::XhrSend => "xhr_send",
            Self::EventSource => "eventsource",
            Self::HtmlFile => "htmlfile",
            Self::Jsonp => "jsonp",
            Self::JsonpSend => "jsonp_send",
        }
    }

    /// Returns the methods that the transport's URLs allow, in the form of an `Allow` field.
    pub fn methods(self) -> &'static str {
        match self {
            Self::Xhr | Self::XhrStreaming | Self::XhrSend => "OPTIONS, POST",
            Self::JsonpSend => "POST",
            Self::EventSource | Self::HtmlFile | Self::Jsonp | Self::WebSocket => "GET",
        }
    }

    /// Returns whether the client receives frames over this transport. The two send transports only
    /// carry inbound texts.
    pub fn receives(self) -> bool {
        !matches!(self, Self::XhrSend | Self::JsonpSend)
    }
}

/// The resource that a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The base itself.
    Greeting,
    /// The server's capabilities.
    Info,
    /// The page that cross-origin transports load.
    Iframe,
    /// A WebSocket without SockJS frames.
    RawWebSocket,
    /// A transport of a session.
    Session {
        /// The session id. It is unique by itself; the server part of the path is ignored.
        id: &'a str,
        /// The transport.
        transport: Transport,
    },
}

impl<'a> Place<'a> {
    /// Parses the path after the base: empty, or beginning with `/`. `None` means not found.
    ///
    /// The server and session parts must not be empty or contain a dot.
    ///
    /// SockJS protocol 0.3.3, "Greeting url", "IFrame page", "Session URLs".
    pub fn parse(rest: &'a str) -> Option<Self> {
        let path = match rest {
            "" | "/" => return Some(Self::Greeting),
            rest => rest.strip_prefix('/')?,
        };
        match path {
            "info" => return Some(Self::Info),
            "websocket" => return Some(Self::RawWebSocket),
            _ => {}
        }
        if !path.contains('/') {
            let between = path.strip_prefix("iframe")?.strip_suffix(".html")?;
            let named = between.is_empty() || between.starts_with('-');
            return named.then_some(Self::Iframe);
        }
        let mut parts = path.split('/');
        let (server, id, transport) = (parts.next()?, parts.next()?, parts.next()?);
        let whole = parts.next().is_none();
        let named = |part: &str| !part.is_empty() && !part.contains('.');
        if !whole || !named(server) || !named(id) {
            return None;
        }
        let transport = Transport::ALL
            .into_iter()
            .find(|known| known.name() == transport)?;
        Some(Self::Session { id, transport })
    }
}

#[cfg(test)]
mod tests;
