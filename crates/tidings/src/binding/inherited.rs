//! Listeners that are open already when the process starts: from a service manager, or from the process
//! that ran before. Connections wait in them meanwhile instead of being refused.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use listenfd::ListenFd;

/// An open listener with what the configuration calls it.
#[derive(Debug)]
pub(crate) struct Listening {
    /// Its place in the configuration, such as `listen.0`. Empty if the giver does not know.
    pub(crate) name: String,
    /// The address that its configuration names. The port may be 0.
    pub(crate) configured: SocketAddr,
    pub(crate) listener: TcpListener,
}

/// Listeners that nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Inherited(Vec<Listening>);

/// Listeners that may be handed over to a process that comes next.
#[derive(Debug, Default)]
pub(crate) struct Kept(pub(crate) Vec<Listening>);

impl Inherited {
    /// Takes the listeners that another process gave.
    pub(crate) fn new(listeners: Vec<Listening>) -> Self {
        Self(listeners)
    }

    /// Takes the sockets that a service manager passed (`sd_listen_fds(3)`).
    ///
    /// # Errors
    ///
    /// One of them is not a listening TCP socket.
    pub(crate) fn from_environment() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..passed.len() {
            if let Some(listener) = passed.take_tcp_listener(index)? {
                listener.set_nonblocking(true)?;
                listeners.push(Listening {
                    name: String::new(),
                    configured: listener.local_addr()?,
                    listener,
                });
            }
        }
        Ok(Self(listeners))
    }

    /// Adds those of `other`.
    pub(crate) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Takes the listeners of one place in the configuration, or those that have its address.
    pub(crate) fn take(&mut self, name: &str, address: SocketAddr) -> Vec<TcpListener> {
        let named = |entry: &Listening| entry.name == name && entry.configured == address;
        let by_name = self.take_if(named);
        if by_name.is_empty() {
            return self.take_if(|entry| entry.stands_for(address));
        }
        by_name
    }

    fn take_if(&mut self, wanted: impl Fn(&Listening) -> bool) -> Vec<TcpListener> {
        let all = std::mem::take(&mut self.0).into_iter();
        let (taken, rest) = all.partition(wanted);
        self.0 = rest;
        let taken: Vec<Listening> = taken;
        taken.into_iter().map(|entry| entry.listener).collect()
    }

    /// Says which listeners the configuration has no use for. They are closed.
    pub(crate) fn close_rest(self) {
        for entry in self.0 {
            tracing::warn!(
                address = %entry.configured,
                "closing a listener that was passed to this process and is not in its configuration"
            );
        }
    }
}

impl Listening {
    /// Says whether connections to `address` come in here.
    fn stands_for(&self, address: SocketAddr) -> bool {
        if address.port() == 0 {
            return false;
        }
        let every_ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let everywhere = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let bound = self.listener.local_addr().ok();
        self.configured == address
            || bound == Some(address)
            || (everywhere && bound == Some(every_ipv4))
    }
}

impl Kept {
    /// Keeps another descriptor of each listener.
    ///
    /// # Errors
    ///
    /// The process has no descriptor left.
    pub(crate) fn keep<'a>(
        &mut self,
        name: &str,
        configured: SocketAddr,
        listeners: impl IntoIterator<Item = &'a TcpListener>,
    ) -> io::Result<()> {
        for listener in listeners {
            self.0.push(Listening {
                name: name.to_owned(),
                configured,
                listener: listener.try_clone()?,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
