//! What memory is booked for, which limits apply, and the refusal that names both. The names are the labels
//! of `tidings_peer_memory_bytes` and `tidings_peer_memory_refused_total`.

/// What bytes are held for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The buffers of a connection while HTTP reads and writes it.
    Connection,
    /// The buffers of an HTTP/2 stream, a tunnel included.
    Stream,
    /// A request body that is being read or processed.
    RequestBody,
    /// A whole response that the peer has not taken.
    Answer,
    /// Updates gathered for the response to a poll.
    Poll,
    /// A part of an event stream, or WebSocket frames, that the peer does not take.
    Events,
    /// Inbound WebSocket messages that wait to be processed, and replies that wait for the peer.
    WebSocket,
    /// The same in SockJS sessions.
    SockJs,
    /// Updates that a WebSocket's peer published, on their way to the history.
    Publication,
    /// Subscribers' matchers: compiled patterns, and texts.
    Matchers,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub(crate) const ALL: [Self; 10] = [
        Self::Connection,
        Self::Stream,
        Self::RequestBody,
        Self::Answer,
        Self::Poll,
        Self::Events,
        Self::WebSocket,
        Self::SockJs,
        Self::Publication,
        Self::Matchers,
    ];

    /// Returns what a peer that holds too much of it can do.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Matchers => "ask for fewer, or by literal texts that few others ask for",
            Self::Connection
            | Self::Stream
            | Self::RequestBody
            | Self::Answer
            | Self::Poll
            | Self::Events
            | Self::WebSocket
            | Self::SockJs
            | Self::Publication => "take the answers that wait, then try again",
        }
    }

    /// Returns its label in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Stream => "stream",
            Self::RequestBody => "request_body",
            Self::Answer => "response",
            Self::Poll => "poll",
            Self::Events => "events",
            Self::WebSocket => "websocket",
            Self::SockJs => "sockjs",
            Self::Publication => "publication",
            Self::Matchers => "matchers",
        }
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// Which limit bytes would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The bytes of one connection, or one session.
    Connection,
    /// The bytes of one address.
    Address,
    /// The bytes in total.
    Total,
    /// The bytes of all SockJS sessions.
    SockJs,
    /// That of the unindexed patterns of one address.
    UnindexedPerAddress,
    /// That of all unindexed patterns.
    Unindexed,
}

impl Limit {
    /// Every limit, in the order of their numbers.
    pub(crate) const ALL: [Self; 6] = [
        Self::Connection,
        Self::Address,
        Self::Total,
        Self::SockJs,
        Self::UnindexedPerAddress,
        Self::Unindexed,
    ];

    /// Returns its label in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Address => "address",
            Self::Total => "total",
            Self::SockJs => "sockjs",
            Self::UnindexedPerAddress => "unindexed_patterns_per_address",
            Self::Unindexed => "unindexed_patterns",
        }
    }

    /// Returns the configuration key that sets it.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Connection => "limits.peer_memory_bytes_per_connection_max",
            Self::Address => "limits.peer_memory_bytes_per_address_max",
            Self::Total => "limits.peer_memory_bytes_max",
            Self::SockJs => "sockjs.queue_bytes_max",
            Self::UnindexedPerAddress => "limits.unindexed_patterns_per_address_max",
            Self::Unindexed => "limits.unindexed_patterns_max",
        }
    }

    /// Returns whether the peer itself can do something about it.
    pub(crate) fn is_of_peer(self) -> bool {
        match self {
            Self::Connection | Self::Address | Self::UnindexedPerAddress => true,
            Self::Total | Self::SockJs | Self::Unindexed => false,
        }
    }

    /// Returns the kind that it limits, if it limits only one.
    fn only_of(self) -> Option<Kind> {
        match self {
            Self::Connection | Self::Address | Self::Total => None,
            Self::SockJs => Some(Kind::SockJs),
            Self::UnindexedPerAddress | Self::Unindexed => Some(Kind::Matchers),
        }
    }

    /// Returns whether it limits this kind.
    pub(crate) fn is_for(self, kind: Kind) -> bool {
        self.only_of().is_none_or(|only| only == kind)
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }

    fn whom(self) -> &'static str {
        match self {
            Self::Connection => "this connection",
            Self::Address => "your address",
            Self::Total => "all peers together",
            Self::SockJs => "all SockJS sessions together",
            Self::UnindexedPerAddress => "unindexed patterns of your address",
            Self::Unindexed => "unindexed patterns of all peers",
        }
    }
}

/// Why bytes are not held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the hub holds as much for {} as {} = {max} allows",
    .limit.whom(), .limit.key()
)]
pub struct OverLimit {
    pub(crate) limit: Limit,
    pub(crate) kind: Kind,
    pub(crate) max: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_limits_stand_where_their_numbers_say() {
        for (number, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind.index(), number);
        }
        for (number, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit.index(), number);
        }
    }
}
