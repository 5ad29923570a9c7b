//! Tells a service manager how the process is doing, by the protocol of `sd_notify(3)`: datagrams of
//! lines to a socket that the manager names. A manager that is gone or slow is not waited for.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The way to the service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Connects to the socket of `$NOTIFY_SOCKET`: a path, or a name of the abstract namespace after
    /// `@`. `watchdog_usec` is `$WATCHDOG_USEC`, within which the manager wants to hear of the process.
    ///
    /// # Errors
    ///
    /// There is no such socket.
    pub(crate) fn connect(socket: &OsStr, watchdog_usec: Option<u64>) -> io::Result<Self> {
        let address = match socket.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(socket)?,
        };
        let datagrams = UnixDatagram::unbound()?;
        datagrams.connect_addr(&address)?;
        datagrams.set_nonblocking(true)?;
        Ok(Self {
            socket: Some(datagrams),
            watchdog: watchdog_usec
                .filter(|&usec| usec > 0)
                .map(Duration::from_micros),
        })
    }

    /// Returns how often to call [`alive`](Self::alive): twice as often as the manager asks for.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / 2)
    }

    /// The hub serves, or has read its configuration again.
    pub(crate) fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// The hub begins to read its configuration again.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let usec = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"));
    }

    /// The hub is being stopped.
    pub(crate) fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={status}"));
    }

    /// The hub is well.
    pub(crate) fn alive(&self, status: &str) {
        self.send(&format!("WATCHDOG=1\nSTATUS={status}"));
    }

    fn send(&self, message: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = socket.send(message.as_bytes()) {
            tracing::debug!(%error, "the service manager was not notified");
        }
    }
}
