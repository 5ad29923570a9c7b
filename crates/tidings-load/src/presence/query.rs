//! One connection that queries the subscription API, one request at a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::BenchError;
use crate::clock::now_ns;
use crate::histogram::Histogram;
use crate::load::PATIENCE;
use crate::target::{self, Target};

/// A connection for queries.
pub(super) struct QueryConnection {
    stream: BufReader<TcpStream>,
    target: Target,
}

/// The results of one query.
pub(super) struct QueryResult {
    /// From each request to the last byte of its response.
    pub(super) times: Histogram,
    /// Bytes of the last response body.
    pub(super) bytes: u64,
    /// The `ETag` of the last response.
    pub(super) tag: Option<String>,
}

impl QueryConnection {
    /// Connects, without TLS.
    pub(super) fn open(options: &target::Options) -> Result<Self, BenchError> {
        let target = Target::find(options)?;
        if target.tls.is_some() {
            let reason = "queries need plain HTTP";
            return Err(BenchError::Option {
                option: "--hub",
                reason,
            });
        }
        let stream = TcpStream::connect(target.address).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            Ok(stream)
        });
        let stream = stream.map_err(|source| BenchError::Connect { number: 0, source })?;
        Ok(Self {
            stream: BufReader::new(stream),
            target,
        })
    }

    /// Sends a query for a path below that of all subscriptions, `times` times, with an `ETag` that
    /// is already known if there is one.
    pub(super) fn query(
        &mut self,
        below: &str,
        times: u32,
        known: Option<&str>,
    ) -> Result<QueryResult, BenchError> {
        let request = self.target.subscriptions_request(below, known);
        let wanted = if known.is_some() { " 304 " } else { " 200 " };
        let mut result = QueryResult {
            times: Histogram::new(),
            bytes: 0,
            tag: None,
        };
        for _ in 0..times {
            let begin = now_ns();
            let answer = self.exchange(&request).map_err(BenchError::Connection)?;
            result.times.record(now_ns() - begin);
            if !answer.status.contains(wanted) {
                return Err(BenchError::Refused {
                    request: "question about subscriptions",
                    status: answer.status,
                    detail: String::new(),
                });
            }
            (result.bytes, result.tag) = (answer.bytes, answer.tag);
        }
        Ok(result)
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.get_mut().write_all(request)?;
        let mut answer = Answer::default();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            match line.split_once(": ") {
                _ if answer.status.is_empty() => line.clone_into(&mut answer.status),
                None => break,
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    answer.bytes = value.parse().map_err(io::Error::other)?;
                }
                Some((name, value)) if name.eq_ignore_ascii_case("etag") => {
                    answer.tag = Some(value.to_owned());
                }
                Some(_) => {}
            }
        }
        let mut content = self.stream.by_ref().take(answer.bytes);
        io::copy(&mut content, &mut io::sink())?;
        Ok(answer)
    }
}

#[derive(Default)]
struct Answer {
    status: String,
    bytes: u64,
    tag: Option<String>,
}
