//! The hub's own counters, from its metrics address (`admin.address`).

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use url::Url;

use crate::BenchError;

/// The longest time that a response may take.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// A page of metrics from one moment.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// Reads the page at `url`, which must be plain HTTP.
    ///
    /// # Errors
    ///
    /// [`BenchError::Metrics`] if the page cannot be read.
    pub(crate) fn read(url: &str) -> Result<Self, BenchError> {
        let wrong = |source| BenchError::Metrics {
            url: url.to_owned(),
            source,
        };
        let page = fetch(url).map_err(wrong)?;
        if !page.starts_with("HTTP/1.1 200") {
            let line = page.lines().next().unwrap_or_default().to_owned();
            return Err(wrong(io::Error::other(line)));
        }
        Ok(Self(page))
    }

    /// Returns the value of a counter without labels; zero if there is no such counter.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let line = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok())
            .unwrap_or_default()
    }
}

fn fetch(url: &str) -> io::Result<String> {
    let url = Url::parse(url).map_err(io::Error::other)?;
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or(80);
    let mut stream = TcpStream::connect((host, port))?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    let path = url.path();
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut page = String::new();
    stream.read_to_string(&mut page)?;
    Ok(page)
}
