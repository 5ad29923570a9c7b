//! What the operating system knows of a running hub and of this test.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::{DEADLINE, TestHub};

impl TestHub {
    /// Returns how many files and sockets the process holds open.
    pub fn open_files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.pid());
        fs::read_dir(folder).expect("the process runs").count()
    }

    /// Returns the bytes of memory that the process occupies.
    pub fn resident_bytes(&self) -> u64 {
        let status = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(status).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes * 1024
    }
}

/// Connects with a receive buffer of about `bytes`, so that a peer that does not read is full soon.
pub fn connect_with_buffer(address: SocketAddr, bytes: usize) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(bytes).expect("an option");
    socket.connect(&address.into()).expect("the hub accepts connections");
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    stream.set_write_timeout(Some(DEADLINE)).expect("an option");
    stream
}

/// Ends a connection by a reset instead of a goodbye.
pub fn reset(stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).expect("an option");
}

/// Waits until the other end has read everything that was sent on `stream`.
pub fn wait_until_read(stream: &TcpStream) {
    let here = stream.local_addr().expect("an address").port();
    let there = stream.peer_addr().expect("an address").port();
    let start = Instant::now();
    // Called for each byte, so that the rests of `wait_until` would add up.
    while unread(there, here) != Some(0) {
        assert!(start.elapsed() < DEADLINE, "the hub does not read");
        std::thread::yield_now();
    }
}

/// Returns the bytes that wait in the socket at port `local` connected to port `remote`.
fn unread(local: u16, remote: u16) -> Option<u64> {
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table of sockets");
    let (local, remote) = (format!(":{local:04X}"), format!(":{remote:04X}"));
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let found = fields.get(1)?.ends_with(&local) && fields.get(2)?.ends_with(&remote);
        let (_, received) = fields.get(4)?.split_once(':')?;
        found.then(|| u64::from_str_radix(received, 16).ok())?
    })
}

/// Asks for as many open files as the system allows.
pub fn raise_open_files() -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}
