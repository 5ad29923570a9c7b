//! The handshake of a connection: greeting, security, READY.
//!
//! ZMTP 3.1, "Connection", "The NULL Security Mechanism", and RFC 24 of the ZeroMQ project for PLAIN.

use std::sync::Arc;

use super::command::{self, encode, encode_error};
use super::frame::{COMMAND, Header};
use super::greeting::{self, GREETING_BYTES, Greeting};
use super::{HANDSHAKE_BYTES_MAX, ProtocolError, SocketType};

/// The settings of a socket's handshakes.
#[derive(Clone, Debug)]
pub struct Options {
    /// The type of this socket.
    pub socket_type: SocketType,
    /// How peers authenticate.
    pub security: Security,
    /// The role in the security mechanism. By custom, the end that was connected to is the server.
    pub role: Role,
}

/// How peers authenticate.
#[derive(Clone, PartialEq, Eq)]
pub enum Security {
    /// Without authentication.
    Null,
    /// By a name and a password in clear text.
    Plain {
        /// The name.
        username: Arc<str>,
        /// The password.
        password: Arc<str>,
    },
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Security {
    /// Returns the name of the mechanism in the greeting.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Plain { .. } => "PLAIN",
        }
    }
}

/// The role in a security mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Authenticates itself.
    Client,
    /// Checks the client.
    Server,
}

/// The properties of a peer after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The type of its socket.
    pub socket_type: SocketType,
    /// Its minor version: 0 for ZMTP 3.0, 1 for 3.1.
    pub minor: u8,
}

/// One connection's handshake.
#[derive(Debug)]
pub struct Handshake {
    options: Options,
    state: State,
    /// Bytes that have arrived and are not yet parsed.
    received: Vec<u8>,
    minor: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Greeting,
    /// Expected by the server of PLAIN.
    Hello,
    /// Expected by the client of PLAIN.
    Welcome,
    /// Expected by the server of PLAIN.
    Initiate,
    Ready,
    Done,
}

impl Handshake {
    /// Starts a handshake. The first bytes to send are appended to `out`.
    #[must_use]
    pub fn new(options: Options, out: &mut Vec<u8>) -> Self {
        let as_server = options.security != Security::Null && options.role == Role::Server;
        out.extend_from_slice(&greeting::encode(options.security.name(), as_server));
        Self {
            options,
            state: State::Greeting,
            received: Vec::new(),
            minor: 0,
        }
    }

    /// Handles the next bytes, and appends to `out` the bytes to send. Returns the peer once the
    /// handshake is complete; [`rest`](Self::rest) then returns the bytes after it.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] names the rule that the peer broke. `out` may then end with an ERROR
    /// command for the peer.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<Option<Peer>, ProtocolError> {
        self.received.extend_from_slice(bytes);
        let result = self.advance(out);
        // Only bytes of the handshake count: traffic may follow in the same read.
        if matches!(result, Ok(None)) && self.received.len() > HANDSHAKE_BYTES_MAX {
            return Err(ProtocolError::HandshakeTooLong);
        }
        if let Err(error) = &result
            && self.state != State::Greeting
            && !matches!(error, ProtocolError::Refused { .. })
        {
            encode_error(out, &error.to_string());
        }
        result
    }

    /// Returns the bytes that arrived after the handshake.
    #[must_use]
    pub fn rest(self) -> Vec<u8> {
        self.received
    }

    fn advance(&mut self, out: &mut Vec<u8>) -> Result<Option<Peer>, ProtocolError> {
        if self.state == State::Greeting {
            let Some(greeting) = greeting::read(&self.received)? else {
                return Ok(None);
            };
            self.received.drain(..GREETING_BYTES);
            self.on_greeting(&greeting, out)?;
        }
        while self.state != State::Done {
            let Some(body) = self.next_command()? else {
                return Ok(None);
            };
            if let Some(peer) = self.on_command(&body, out)? {
                self.state = State::Done;
                return Ok(Some(peer));
            }
        }
        Ok(None)
    }

    /// Removes a complete command from the received bytes, if there is one.
    fn next_command(&mut self) -> Result<Option<Vec<u8>>, ProtocolError> {
        let Some(header) = Header::read(&self.received)? else {
            return Ok(None);
        };
        if header.flags & COMMAND == 0 {
            return Err(self.unexpected());
        }
        let body = usize::try_from(header.body).unwrap_or(usize::MAX);
        if body > HANDSHAKE_BYTES_MAX {
            return Err(ProtocolError::HandshakeTooLong);
        }
        let end = header.len + body;
        let Some(command) = self.received.get(header.len..end) else {
            return Ok(None);
        };
        let command = command.to_vec();
        self.received.drain(..end);
        Ok(Some(command))
    }

    fn on_greeting(&mut self, peer: &Greeting, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
        self.minor = peer.minor;
        let here = self.options.security.name();
        if peer.mechanism != here.as_bytes() {
            let peer = String::from_utf8_lossy(&peer.mechanism).into_owned();
            return Err(ProtocolError::Mechanism { peer, here });
        }
        self.state = match (&self.options.security, self.options.role) {
            (Security::Null, _) => {
                self.send_ready("READY", out);
                State::Ready
            }
            (Security::Plain { .. }, Role::Server) if peer.as_server => {
                return Err(ProtocolError::Role("server"));
            }
            (Security::Plain { .. }, Role::Server) => State::Hello,
            (Security::Plain { .. }, Role::Client) if !peer.as_server => {
                return Err(ProtocolError::Role("client"));
            }
            (Security::Plain { username, password }, Role::Client) => {
                let text = |text: &str| {
                    let len = u8::try_from(text.len()).unwrap_or(u8::MAX);
                    let text = text.as_bytes().get(..len.into()).unwrap_or_default();
                    [&[len], text].concat()
                };
                encode(out, "HELLO", &[&text(username), &text(password)]);
                State::Welcome
            }
        };
        Ok(())
    }

    fn on_command(
        &mut self,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Peer>, ProtocolError> {
        let (name, rest) = command::split(body)?;
        if name == b"ERROR" {
            let reason = rest.split_first().map_or(rest, |(_, reason)| reason);
            let reason = String::from_utf8_lossy(reason).into_owned();
            return Err(ProtocolError::Refused { reason });
        }
        match (self.state, name) {
            (State::Hello, b"HELLO") => {
                self.check_hello(rest)?;
                encode(out, "WELCOME", &[]);
                self.state = State::Initiate;
                Ok(None)
            }
            (State::Welcome, b"WELCOME") => {
                self.send_ready("INITIATE", out);
                self.state = State::Ready;
                Ok(None)
            }
            (State::Initiate, b"INITIATE") => {
                let peer = self.peer(rest)?;
                self.send_ready("READY", out);
                Ok(Some(peer))
            }
            (State::Ready, b"READY") => self.peer(rest).map(Some),
            _ => Err(self.unexpected()),
        }
    }

    fn check_hello(&self, rest: &[u8]) -> Result<(), ProtocolError> {
        let Security::Plain { username, password } = &self.options.security else {
            return Err(self.unexpected());
        };
        let (name, rest) = short_text(rest).ok_or(ProtocolError::Command)?;
        let (word, _) = short_text(rest).ok_or(ProtocolError::Command)?;
        // Both are compared in full, so that the time does not reveal the first difference.
        if same(name, username.as_bytes()) & same(word, password.as_bytes()) {
            Ok(())
        } else {
            Err(ProtocolError::Credentials)
        }
    }

    fn send_ready(&self, name: &str, out: &mut Vec<u8>) {
        let own = self.options.socket_type.name().as_bytes();
        let len = u32::try_from(own.len()).unwrap_or_default().to_be_bytes();
        encode(out, name, &[b"\x0bSocket-Type", &len, own]);
    }

    /// Parses the metadata of a READY or INITIATE command.
    fn peer(&self, mut rest: &[u8]) -> Result<Peer, ProtocolError> {
        let mut kind: &[u8] = b"";
        while !rest.is_empty() {
            let (name, after) = short_text(rest).ok_or(ProtocolError::Command)?;
            let (len, after) = after.split_first_chunk().ok_or(ProtocolError::Command)?;
            let len = usize::try_from(u32::from_be_bytes(*len)).unwrap_or(usize::MAX);
            let (value, after) = after.split_at_checked(len).ok_or(ProtocolError::Command)?;
            if name.eq_ignore_ascii_case(b"Socket-Type") {
                kind = value;
            }
            rest = after;
        }
        let here = self.options.socket_type;
        match SocketType::from_name(kind).filter(|kind| here.is_compatible_with(*kind)) {
            Some(socket_type) => Ok(Peer {
                socket_type,
                minor: self.minor,
            }),
            None => {
                let peer = String::from_utf8_lossy(kind).chars().take(20).collect();
                Err(ProtocolError::SocketType { peer, here })
            }
        }
    }

    fn unexpected(&self) -> ProtocolError {
        let expected = match self.state {
            State::Greeting => "a greeting",
            State::Hello => "HELLO",
            State::Welcome => "WELCOME",
            State::Initiate => "INITIATE",
            State::Ready | State::Done => "READY",
        };
        ProtocolError::Handshake { expected }
    }
}

/// Splits off a text whose length is in the first byte.
fn short_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&len, rest) = bytes.split_first()?;
    rest.split_at_checked(len.into())
}

fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && differences == 0
}

#[cfg(test)]
mod tests;
