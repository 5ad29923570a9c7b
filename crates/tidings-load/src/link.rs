//! One TCP connection to the hub, with or without TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ClientConnection;
use socket2::{Domain, Socket, Type};

use crate::target::Target;

/// The longest time that connecting or sending may take.
const SEND_MAX: Duration = Duration::from_secs(20);

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// The HTTP version on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: by ALPN with TLS, otherwise with prior knowledge (RFC 9113, 3.3).
    Http2,
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// This many bytes from the peer.
    Bytes(usize),
    /// Nothing is available now.
    Nothing,
    /// The peer closed its side.
    End,
}

impl Link {
    /// Connects to the hub. `number` selects the source address.
    ///
    /// The TLS handshake happens in later calls of [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// The error of the system, or of TLS if it rejects the hub's name.
    pub(crate) fn open(target: &Target, number: usize, protocol: Protocol) -> io::Result<Self> {
        Self::open_with(target, number, protocol, None)
    }

    /// Connects like [`open`](Self::open), with a receive buffer of about `receive_bytes`, which
    /// fills up soon if nobody reads.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub(crate) fn open_with(
        target: &Target,
        number: usize,
        protocol: Protocol,
        receive_bytes: Option<usize>,
    ) -> io::Result<Self> {
        let domain = Domain::for_address(target.address);
        let socket = Socket::new(domain, Type::STREAM, Some(socket2::Protocol::TCP))?;
        if target.source_addresses > 1 {
            socket.bind(&source(target.source_addresses, number).into())?;
        }
        if let Some(bytes) = receive_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.connect_timeout(&target.address.into(), SEND_MAX)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let tls = match &target.tls {
            Some(tls) => {
                let config = match protocol {
                    Protocol::Http1 => Arc::clone(&tls.config),
                    Protocol::Http2 => Arc::clone(&tls.http2),
                };
                let tls = ClientConnection::new(config, tls.name.clone());
                Some(Box::new(tls.map_err(io::Error::other)?))
            }
            None => None,
        };
        Ok(Self { stream, tls })
    }

    /// Sends all of `bytes`, and waits while the socket is full.
    ///
    /// # Errors
    ///
    /// The connection fails, or accepts nothing for 20 seconds.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => send_all(&self.stream, bytes),
            Some(tls) => {
                tls.writer().write_all(bytes)?;
                send_records(&self.stream, tls)
            }
        }
    }

    /// Reads what is available, up to the size of `buffer`.
    ///
    /// # Errors
    ///
    /// The connection fails, or the hub violates TLS.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Arrived> {
        let Some(tls) = &mut self.tls else {
            return arrived((&self.stream).read(buffer));
        };
        loop {
            match arrived(tls.reader().read(buffer))? {
                Arrived::Nothing => {}
                found @ (Arrived::Bytes(_) | Arrived::End) => return Ok(found),
            }
            match arrived(tls.read_tls(&mut &self.stream))? {
                Arrived::Bytes(_) => {
                    tls.process_new_packets().map_err(io::Error::other)?;
                    send_records(&self.stream, tls)?;
                }
                Arrived::Nothing => return Ok(Arrived::Nothing),
                Arrived::End => return Ok(Arrived::End),
            }
        }
    }

    /// Returns whether a read that does not fill its buffer has read everything.
    pub(crate) fn short_read_is_last(&self) -> bool {
        self.tls.is_none()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn source(addresses: u8, number: usize) -> SocketAddr {
    let last = 1 + u8::try_from(number % usize::from(addresses)).unwrap_or_default();
    SocketAddr::from((Ipv4Addr::new(127, 0, 0, last.min(254)), 0))
}

fn arrived(result: io::Result<usize>) -> io::Result<Arrived> {
    match result {
        Ok(0) => Ok(Arrived::End),
        Ok(count) => Ok(Arrived::Bytes(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
            Ok(Arrived::Nothing)
        }
        Err(error) => Err(error),
    }
}

fn send_records(stream: &TcpStream, tls: &mut ClientConnection) -> io::Result<()> {
    while tls.wants_write() {
        match tls.write_tls(&mut &*stream) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_for_space(stream)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn send_all(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match stream.write(rest) {
            Ok(count) => rest = rest.split_at_checked(count).map_or(&[], |(_, rest)| rest),
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait_for_space(stream)?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_for_space(stream: &TcpStream) -> io::Result<()> {
    let timeout = Timespec::try_from(SEND_MAX).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&timeout))? {
        0 => Err(ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
