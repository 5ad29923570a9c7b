//! The connection of a hub with its engine, which can be cut and held up.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that are passed on at once.
const PIECE_BYTES: usize = 64 * 1024;
/// How often a wire that is held up looks whether it is free again.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Connections that are remembered, so that they can be cut; ended ones are forgotten at that number.
const OPEN_MAX: usize = 64;

const FREE: u8 = 0;
const HELD: u8 = 1;
const CUT: u8 = 2;

/// A listener whose connections are passed on to one port of the loopback address, by two threads each.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    open: Mutex<Vec<TcpStream>>,
}

impl Wire {
    /// Listens on a free port of the loopback address.
    ///
    /// # Errors
    ///
    /// The error of the system.
    pub(super) fn start(to: u16) -> io::Result<Self> {
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, to));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let wire = Self {
            port: listener.local_addr()?.port(),
            shared: Arc::new(Shared {
                state: AtomicU8::new(FREE),
                open: Mutex::default(),
            }),
        };
        let shared = Arc::clone(&wire.shared);
        thread::spawn(move || {
            for from in listener.incoming().flatten() {
                // A connection that cannot be passed on ends.
                shared.connect(from, to).ok();
            }
        });
        Ok(wire)
    }

    /// Returns the port that the hub connects to.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Passes bytes on, and takes connections.
    pub(super) fn free(&self) {
        self.shared.state.store(FREE, Ordering::Release);
    }

    /// Passes nothing on until it is free again.
    pub(super) fn hold(&self) {
        self.shared.state.store(HELD, Ordering::Release);
    }

    /// Ends all connections, and each new one, until it is free again.
    pub(super) fn cut(&self) {
        self.shared.state.store(CUT, Ordering::Release);
        for socket in self.shared.open().drain(..) {
            // One that has ended needs no end.
            socket.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Shared {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, from: TcpStream, to: SocketAddr) -> io::Result<()> {
        if self.state.load(Ordering::Acquire) == CUT {
            return Ok(());
        }
        let to = TcpStream::connect(to)?;
        for socket in [&from, &to] {
            socket.set_nodelay(true)?;
            let mut open = self.open();
            if open.len() >= OPEN_MAX {
                open.retain(|socket| socket.peer_addr().is_ok());
            }
            open.push(socket.try_clone()?);
        }
        for (mut reader, mut writer) in [(from.try_clone()?, to.try_clone()?), (to, from)] {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                shared.pass_on(&mut reader, &mut writer).ok();
                reader.shutdown(Shutdown::Both).ok();
                writer.shutdown(Shutdown::Both).ok();
            });
        }
        Ok(())
    }

    fn pass_on(&self, reader: &mut TcpStream, writer: &mut TcpStream) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let count = reader.read(&mut piece)?;
            let (bytes, _) = piece.split_at_checked(count).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            while self.state.load(Ordering::Acquire) == HELD {
                thread::sleep(LOOK_EVERY);
            }
            writer.write_all(bytes)?;
        }
    }
}
