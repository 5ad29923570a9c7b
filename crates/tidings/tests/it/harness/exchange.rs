//! One HTTP/1 connection by hand, so that a test controls every byte.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::DEADLINE;

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub version: &'static str,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            version: "HTTP/1.1",
        }
    }

    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Sets a body of bytes.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sets a form as the body, with its media type.
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let mut encoded = String::new();
        for (name, value) in pairs {
            tidings_wire::form::append_pair(&mut encoded, name, value);
        }
        self.header("Content-Type", "application/x-www-form-urlencoded")
            .body(encoded)
    }

    /// Speaks HTTP/1.0.
    pub fn http10(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    /// Returns the bytes on the wire. `Host` and `Content-Length` are added unless given.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        let given = |wanted: &str| {
            self.headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        if !given("host") {
            head.push_str("Host: HOST\r\n");
        }
        let has_body = !self.body.is_empty() || self.method == "POST";
        if has_body && !given("content-length") && !given("transfer-encoding") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub version: String,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Returns the first field of this name.
    pub fn header(&self, wanted: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_str())
    }

    /// Returns every field of this name.
    pub fn headers(&self, wanted: &str) -> Vec<&str> {
        let fields = self.headers.iter();
        let named = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the challenge without its pointer to the metadata, which the tests of `discovery` look
    /// at.
    pub fn challenge(&self) -> Option<&str> {
        let challenge = self.header("www-authenticate")?;
        let (before, _) = challenge.split_once("resource_metadata=")?;
        Some(before.trim_end_matches([',', ' ']))
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// Returns the name of the problem, the last part of its type.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let kind = self.json()["type"].as_str().expect("a type").to_owned();
        kind.rsplit(':').next().expect("a name").to_owned()
    }
}

/// One connection. Reading ends with the deadline, which fails the test.
pub struct Connection {
    stream: Box<dyn ReadWrite>,
    address: SocketAddr,
    unread: VecDeque<u8>,
}

/// A socket or a TLS stream over one.
pub trait ReadWrite: Read + Write + Send {}
impl<T: Read + Write + Send> ReadWrite for T {}

impl Connection {
    /// Connects in cleartext.
    pub fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the hub accepts connections");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(DEADLINE)).expect("an option");
        stream.set_write_timeout(Some(DEADLINE)).expect("an option");
        Self::over(address, stream)
    }

    /// Speaks over a stream that is open already, such as TLS.
    pub fn over(address: SocketAddr, stream: impl ReadWrite + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            address,
            unread: VecDeque::new(),
        }
    }

    /// Sends bytes as they are, except that `HOST` in a head becomes the hub's address.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the hub reads");
        self.stream.flush().expect("the hub reads");
    }

    /// Sends a request to a hub that may have refused the connection already.
    ///
    /// # Errors
    ///
    /// The hub closed it.
    pub fn try_send_request(&mut self, request: &Request) -> io::Result<()> {
        let bytes = self.wire(request);
        self.stream.write_all(&bytes)?;
        self.stream.flush()
    }

    /// Sends a request.
    pub fn send_request(&mut self, request: &Request) {
        let bytes = self.wire(request);
        self.send(&bytes);
    }

    /// Returns a request's bytes as this connection sends them.
    pub fn wire(&self, request: &Request) -> Vec<u8> {
        let bytes = request.bytes();
        let host = format!("Host: localhost:{}\r\n", self.address.port());
        replace(bytes, b"Host: HOST\r\n", host.as_bytes())
    }

    /// Sends a request and reads the whole answer.
    pub fn request(&mut self, request: &Request) -> Answer {
        self.send_request(request);
        self.read_answer(request.method == "HEAD")
    }

    /// Reads a whole answer; `head_only` for the answer to HEAD.
    pub fn read_answer(&mut self, head_only: bool) -> Answer {
        let mut answer = self.read_head();
        if head_only || answer.status == 304 || answer.status == 204 {
            return answer;
        }
        if let Some(length) = answer.header("content-length") {
            let length: usize = length.parse().expect("a length");
            answer.body = self.read_exactly(length);
        } else if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.read_chunk() {
                answer.body.extend_from_slice(&chunk);
            }
        } else {
            while let Some(byte) = self.read_byte() {
                answer.body.push(byte);
            }
        }
        answer
    }

    /// Reads the status line and the fields.
    pub fn read_head(&mut self) -> Answer {
        let status_line = self.read_line();
        let mut parts = status_line.splitn(3, ' ');
        let version = parts.next().expect("a version").to_owned();
        let status = parts.next().and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.read_line();
            if line.is_empty() {
                return Answer {
                    version,
                    status,
                    headers,
                    body: Vec::new(),
                };
            }
            let (name, value) = line.split_once(':').expect("a field");
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Reads one chunk; nothing at the last one.
    pub fn read_chunk(&mut self) -> Option<Vec<u8>> {
        let size = self.read_line();
        let size =
            usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("chunk size {size:?}"));
        let chunk = self.read_exactly(size);
        assert_eq!(self.read_line(), "", "a chunk ends with a line break");
        (size > 0).then_some(chunk)
    }

    fn read_line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            let byte = self.read_byte().unwrap_or_else(|| {
                panic!(
                    "the hub closed within a line: {:?}",
                    String::from_utf8_lossy(&line)
                )
            });
            line.push(byte);
            if line.ends_with(b"\r\n") {
                line.truncate(line.len() - 2);
                return String::from_utf8_lossy(&line).into_owned();
            }
        }
    }

    /// Reads this many bytes; an end before fails the test.
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        while self.unread.len() < count {
            assert!(self.fill(), "the hub closed within a body");
        }
        self.unread.drain(..count).collect()
    }

    /// Reads one byte; nothing at the end of the connection.
    pub fn read_byte(&mut self) -> Option<u8> {
        if self.unread.is_empty() && !self.fill() {
            return None;
        }
        self.unread.pop_front()
    }

    /// Reads what there is, waiting for something; nothing at the end of the connection.
    pub fn read_some(&mut self) -> Option<Vec<u8>> {
        if self.unread.is_empty() && !self.fill() {
            return None;
        }
        Some(std::mem::take(&mut self.unread).into())
    }

    /// Reads until the hub closes; fails at the deadline.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(some) = self.read_some() {
            all.extend(some);
        }
        all
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(count) => {
                    self.unread.extend(&buffer[..count]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof
                    ) =>
                {
                    return false;
                }
                Err(error) => panic!("nothing came before the deadline: {error}"),
            }
        }
    }
}

fn replace(bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes,
    }
}
