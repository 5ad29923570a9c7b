//! Why a session ends: the reasons, their names in metrics and logs, and whether the peer may still listen.

/// Why a session ended. Its name is the label in `tidings_sessions_closed_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The peer went away.
    PeerClosed,
    /// A write failed.
    WriteFailed,
    /// The token expired.
    TokenExpired,
    /// The connection reached the end of its lifetime, such as `subscribe.connection_secs_max`.
    Lifetime,
    /// The peer took nothing for `limits.stall_timeout_secs`.
    Stalled,
    /// Retention removed updates that the subscriber had not read yet.
    Overtaken,
    /// The history could not be read.
    HistoryUnreadable,
    /// The peer sent too much: bytes after the request of an event stream, or frames in a second.
    Flooding,
    /// The poll has its response.
    Answered,
    /// The peer sent a close frame.
    CloseFrame,
    /// The peer broke a rule of its protocol.
    Violation,
    /// The peer asked for something that it may not have, and its protocol has no error message.
    Refused,
    /// The peer did not answer a ping.
    PingTimeout,
    /// The peer had to send a token and did not do so in time.
    TokenTimeout,
    /// The memory that the hub may hold for peers is used up.
    MemoryLimit,
    /// The hub is stopping.
    Drained,
    /// An operator disconnected it.
    Disconnected,
    /// An operator revoked its token.
    TokenRevoked,
}

impl Ending {
    /// Every reason.
    pub(crate) const ALL: [Self; 18] = [
        Self::PeerClosed,
        Self::WriteFailed,
        Self::TokenExpired,
        Self::Lifetime,
        Self::Stalled,
        Self::Overtaken,
        Self::HistoryUnreadable,
        Self::Flooding,
        Self::Answered,
        Self::CloseFrame,
        Self::Violation,
        Self::Refused,
        Self::PingTimeout,
        Self::TokenTimeout,
        Self::MemoryLimit,
        Self::Drained,
        Self::Disconnected,
        Self::TokenRevoked,
    ];

    /// Returns the name in metrics and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PeerClosed => "peer_closed",
            Self::WriteFailed => "write_failed",
            Self::TokenExpired => "token_expired",
            Self::Lifetime => "lifetime",
            Self::Stalled => "stalled",
            Self::Overtaken => "overtaken",
            Self::HistoryUnreadable => "history_unreadable",
            Self::Flooding => "flooding",
            Self::Answered => "answered",
            Self::CloseFrame => "close_frame",
            Self::Violation => "violation",
            Self::Refused => "refused",
            Self::PingTimeout => "ping_timeout",
            Self::TokenTimeout => "token_timeout",
            Self::MemoryLimit => "memory_limit",
            Self::Drained => "drained",
            Self::Disconnected => "disconnected",
            Self::TokenRevoked => "token_revoked",
        }
    }

    /// Returns whether the peer may still listen, so that the stream can end in good form.
    pub(super) fn has_farewell(self) -> bool {
        match self {
            Self::TokenExpired
            | Self::Lifetime
            | Self::Overtaken
            | Self::HistoryUnreadable
            | Self::Drained
            | Self::Disconnected
            | Self::TokenRevoked => true,
            Self::PeerClosed
            | Self::WriteFailed
            | Self::Stalled
            | Self::Flooding
            | Self::Answered
            | Self::CloseFrame
            | Self::Violation
            | Self::Refused
            | Self::PingTimeout
            | Self::TokenTimeout
            | Self::MemoryLimit => false,
        }
    }
}
