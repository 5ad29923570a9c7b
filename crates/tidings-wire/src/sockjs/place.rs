//! Parses a path below a SockJS base.

/// How a session's frames travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `…/websocket`.
    WebSocket,
    /// `…/xhr`: one frame an answer.
    Xhr,
    /// `…/xhr_streaming`.
    XhrStreaming,
    /// `…/xhr_send`: texts of the peer.
    XhrSend,
    /// `…/eventsource`.
    EventSource,
    /// `…/htmlfile`.
    HtmlFile,
    /// `…/jsonp`: one frame an answer, as a script.
    Jsonp,
    /// `…/jsonp_send`: texts of the peer, from a form.
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

    /// Returns the last segment of its URLs.
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

    /// Returns the methods that its URLs answer to, as in an `Allow` field.
    pub fn methods(self) -> &'static str {
        match self {
            Self::Xhr | Self::XhrStreaming | Self::XhrSend => "OPTIONS, POST",
            Self::JsonpSend => "POST",
            Self::EventSource | Self::HtmlFile | Self::Jsonp | Self::WebSocket => "GET",
        }
    }

    /// Returns whether it carries frames to the peer, unlike the two that only take texts.
    pub fn receives(self) -> bool {
        !matches!(self, Self::XhrSend | Self::JsonpSend)
    }
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The base itself.
    Greeting,
    /// What the server can do.
    Info,
    /// The page that transports across origins load.
    Iframe,
    /// A WebSocket without frames of SockJS.
    RawWebSocket,
    /// A transport of a session.
    Session {
        /// Names the session; unique by itself, whatever stands in the server's place.
        id: &'a str,
        /// How it travels.
        transport: Transport,
    },
}

impl<'a> Place<'a> {
    /// Reads what follows the base in a path: empty, or beginning with `/`. `None` is not found.
    ///
    /// Server and session may not be empty nor hold a dot.
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
