//! ZMTP 3.0 and 3.1, the protocol of ZeroMQ sockets over TCP: greeting, handshake, frames, commands.
//!
//! [`handshake`] performs the handshake, [`decoder`] reads the traffic after it, [`frame`] and
//! [`command`] write, [`prefixes`] finds the subscribers of a message. Sockets, queues and
//! high-water marks are in the server.
//!
//! ZMTP 3.1 (RFC 37 of the ZeroMQ project, [rfc.zeromq.org](https://rfc.zeromq.org)).

pub mod command;
pub mod decoder;
pub mod frame;
pub mod greeting;
pub mod handshake;
pub mod prefixes;

use std::fmt;

/// Bytes of one command frame after the handshake. The longest command is a subscription.
pub const COMMAND_BYTES_MAX: usize = 2 * SUBSCRIPTION_BYTES_MAX;
/// Bytes that a peer may send before the handshake is complete.
pub const HANDSHAKE_BYTES_MAX: usize = 4096;
/// Bytes of the prefix of one subscription.
pub const SUBSCRIPTION_BYTES_MAX: usize = 1024;
/// Parts in one message.
pub const MESSAGE_PARTS_MAX: usize = 1024;
/// Bytes of the context of a PING, a limit of the standard.
pub const PING_CONTEXT_BYTES_MAX: usize = 16;

/// The type of a ZeroMQ socket, as named in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketType {
    /// Sends a request and waits for the reply.
    Req,
    /// Replies to requests.
    Rep,
    /// Sends requests without waiting.
    Dealer,
    /// Replies by address.
    Router,
    /// Distributes messages, each to one of its peers.
    Push,
    /// Receives from all of its peers.
    Pull,
    /// Sends each message to all subscribers.
    Pub,
    /// Receives the messages that it subscribed to.
    Sub,
    /// A publisher that receives subscriptions as messages.
    XPub,
    /// A subscriber that forwards subscriptions.
    XSub,
}

impl SocketType {
    /// All known types.
    pub const ALL: [Self; 10] = [
        Self::Req,
        Self::Rep,
        Self::Dealer,
        Self::Router,
        Self::Push,
        Self::Pull,
        Self::Pub,
        Self::Sub,
        Self::XPub,
        Self::XSub,
    ];

    /// Returns the name used in the handshake.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Req => "REQ",
            Self::Rep => "REP",
            Self::Dealer => "DEALER",
            Self::Router => "ROUTER",
            Self::Push => "PUSH",
            Self::Pull => "PULL",
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::XPub => "XPUB",
            Self::XSub => "XSUB",
        }
    }

    /// Returns the type with this name. Case matters.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name().as_bytes() == name)
    }

    /// Returns whether a socket of this type can be connected to one of type `peer`.
    ///
    /// ZMTP 3.1, "The Socket-Type Property".
    #[must_use]
    pub const fn is_compatible_with(self, peer: Self) -> bool {
        match self {
            Self::Req => matches!(peer, Self::Rep | Self::Router),
            Self::Rep => matches!(peer, Self::Req | Self::Dealer),
            Self::Dealer => matches!(peer, Self::Rep | Self::Dealer | Self::Router),
            Self::Router => matches!(peer, Self::Req | Self::Dealer | Self::Router),
            Self::Push => matches!(peer, Self::Pull),
            Self::Pull => matches!(peer, Self::Push),
            Self::Pub | Self::XPub => matches!(peer, Self::Sub | Self::XSub),
            Self::Sub | Self::XSub => matches!(peer, Self::Pub | Self::XPub),
        }
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The rule or limit that a peer broke. The connection must be closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The first bytes are not a greeting; the peer may speak another protocol.
    #[error("the peer does not begin with a ZMTP greeting")]
    Signature,
    /// The peer speaks an unsupported version.
    #[error("the peer speaks ZMTP {major}.x; 3.0 and newer are understood")]
    Version {
        /// Its major version. 1 stands for 1.0; 2.0 is also written as 1 in the greeting.
        major: u8,
    },
    /// The peer uses another security mechanism.
    #[error("the peer wants the security mechanism {peer:?}, not {here}")]
    Mechanism {
        /// The peer's mechanism.
        peer: String,
        /// The mechanism that is configured here.
        here: &'static str,
    },
    /// Both ends take the same role of PLAIN.
    #[error("both ends are the {0} of the PLAIN mechanism")]
    Role(&'static str),
    /// The handshake is longer than the limit.
    #[error("the handshake is longer than {HANDSHAKE_BYTES_MAX} bytes")]
    HandshakeTooLong,
    /// The peer did not send the expected command during the handshake.
    #[error("the handshake is broken: {expected} was expected")]
    Handshake {
        /// The command that was expected.
        expected: &'static str,
    },
    /// The user name or password is wrong.
    #[error("the user name or the password is wrong")]
    Credentials,
    /// The peer ended the handshake with a reason.
    #[error("the peer refused: {reason}")]
    Refused {
        /// The reason, as it was sent.
        reason: String,
    },
    /// The types of the two sockets are not compatible.
    #[error("a socket of type {peer:?} cannot talk to {here}")]
    SocketType {
        /// The peer's type.
        peer: String,
        /// The type of the socket here.
        here: SocketType,
    },
    /// The flags of a frame are unknown, or not valid together.
    #[error("a frame has the flags {flags:#04x}")]
    Flags {
        /// The flags.
        flags: u8,
    },
    /// A command is longer than the limit.
    #[error("a command has {bytes} bytes, more than {COMMAND_BYTES_MAX}")]
    CommandTooLong {
        /// Its length.
        bytes: u64,
    },
    /// A command is malformed.
    #[error("a command cannot be read")]
    Command,
    /// A message is longer than the limit.
    #[error("a message has {bytes} bytes or more, more than {max}")]
    MessageTooLong {
        /// The bytes that are known so far.
        bytes: u64,
        /// The limit.
        max: usize,
    },
    /// A message has more parts than the limit.
    #[error("a message has more than {MESSAGE_PARTS_MAX} parts")]
    TooManyParts,
    /// The peer sent a message, but sockets of its type do not send any.
    #[error("a {0} socket does not send messages")]
    UnexpectedMessage(SocketType),
    /// A subscription is longer than the limit.
    #[error("a subscription has {bytes} bytes, more than {SUBSCRIPTION_BYTES_MAX}")]
    SubscriptionTooLong {
        /// Its length.
        bytes: usize,
    },
    /// A peer has more subscriptions than the limit.
    #[error("more than {max} subscriptions")]
    TooManySubscriptions {
        /// The limit.
        max: usize,
    },
    /// A peer's subscriptions have more bytes in total than its share of the free memory.
    #[error("subscriptions of more than {max} bytes, which are this peer's share of what is free")]
    SubscriptionsTooLong {
        /// The limit.
        max: usize,
    },
}

impl ProtocolError {
    /// Returns a short label for the metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Signature => "greeting",
            Self::Version { .. } => "version",
            Self::Mechanism { .. } | Self::Role(_) => "mechanism",
            Self::HandshakeTooLong => "handshake_bytes",
            Self::Handshake { .. } => "handshake",
            Self::Credentials => "credentials",
            Self::Refused { .. } => "refused_by_peer",
            Self::SocketType { .. } => "socket_type",
            Self::Flags { .. } => "flags",
            Self::CommandTooLong { .. } => "command_bytes",
            Self::Command => "command",
            Self::MessageTooLong { .. } => "message_bytes",
            Self::TooManyParts => "message_parts",
            Self::UnexpectedMessage(_) => "unexpected_message",
            Self::SubscriptionTooLong { .. } => "subscription_bytes",
            Self::TooManySubscriptions { .. } => "subscriptions",
            Self::SubscriptionsTooLong { .. } => "subscriptions_bytes",
        }
    }
}
