//! What the operating system knows of a running hub and of this test.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
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
        self.status_bytes("VmRSS:")
    }

    /// Returns the most that it has ever occupied.
    pub fn resident_bytes_at_most(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(status).expect("the process runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("a line of it");
        let kilobytes: u64 = line
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        kilobytes * 1024
    }
}

/// Connects with a receive buffer of about `bytes`, so that a peer that does not read is full soon.
pub fn connect_with_buffer(address: SocketAddr, bytes: usize) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(bytes).expect("an option");
    socket
        .connect(&address.into())
        .expect("the hub accepts connections");
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(DEADLINE)).expect("an option");
    stream.set_write_timeout(Some(DEADLINE)).expect("an option");
    stream
}

/// Ends a connection by a reset instead of a goodbye.
pub fn reset(stream: &TcpStream) {
    SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .expect("an option");
}

/// Waits until the other end has read everything that was sent on `stream`.
pub fn wait_until_read(stream: &TcpStream) {
    let start = Instant::now();
    // Called for each byte, so that the rests of `wait_until` would add up.
    while unread(stream) > 0 {
        assert!(start.elapsed() < DEADLINE, "the hub does not read");
        std::thread::yield_now();
    }
}

/// Asks the kernel how many bytes wait at the other end of a connection within this machine.
///
/// sock_diag(7): one request with the four ends of the other socket, one answer.
fn unread(stream: &TcpStream) -> u32 {
    let (Ok(SocketAddr::V4(here)), Ok(SocketAddr::V4(there))) =
        (stream.local_addr(), stream.peer_addr())
    else {
        // The other end closed the connection, which the test will see when it goes on.
        return 0;
    };
    let mut request = [0_u8; 72];
    let mut put = |at: usize, bytes: &[u8]| request[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &72_u32.to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(16, &[AF_INET, IPPROTO_TCP]);
    put(20, &u32::MAX.to_ne_bytes()); // in every state
    put(24, &there.port().to_be_bytes());
    put(26, &here.port().to_be_bytes());
    put(28, &there.ip().octets());
    put(44, &here.ip().octets());
    put(64, &[0xff; 8]); // no cookie
    let socket = Socket::new(
        Domain::from(AF_NETLINK),
        Type::DGRAM,
        Some(NETLINK_SOCK_DIAG.into()),
    );
    let mut socket = socket.expect("a netlink socket");
    socket.send(&request).expect("asked");
    let mut answer = [0; 512];
    let count = socket.read(&mut answer).expect("an answer");
    let kind = u16::from_ne_bytes([answer[4], answer[5]]);
    if kind == NLMSG_ERROR {
        let error = i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]);
        assert_eq!(
            error, -ENOENT,
            "anything but that the other end closed meanwhile"
        );
        return 0;
    }
    assert!(
        kind == SOCK_DIAG_BY_FAMILY && count >= 76,
        "{count} bytes of kind {kind}"
    );
    u32::from_ne_bytes([answer[72], answer[73], answer[74], answer[75]])
}

// linux/netlink.h, linux/sock_diag.h.
const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const ENOENT: i32 = 2;
const AF_INET: u8 = 2;
const IPPROTO_TCP: u8 = 6;

/// Asks for as many open files as the system allows.
pub fn raise_open_files() -> io::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

#[test]
fn what_the_other_end_has_not_read_is_counted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut there, _) = listener.accept().unwrap();
    assert_eq!(unread(&here), 0);
    here.write_all(b"hello").unwrap();
    assert_eq!(unread(&here), 5);
    there.read_exact(&mut [0; 3]).unwrap();
    assert_eq!(unread(&here), 2);
    drop((there, listener));
    assert_eq!(unread(&here), 0);
}
