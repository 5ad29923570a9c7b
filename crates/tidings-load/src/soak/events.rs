//! Reads the events of one stream with their ids: chunks, lines, fields. It does not use the hub's
//! decoder, so that the two do not share a mistake.
//!
//! ```text
//! bytes ─▶ chunks (or none) ─▶ lines ─▶ id, data ─▶ empty line: one event
//! ```

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) data: Vec<u8>,
}

/// The state of a stream.
#[derive(Debug)]
pub(crate) struct Events {
    framing: Framing,
    line: Vec<u8>,
    event: Event,
    /// Whether the event has a `data` line.
    has_data: bool,
    retry_ms: Option<u64>,
}

/// The framing of a body. RFC 9112, 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// None: the body extends to the end of the connection.
    Plain,
    /// In the line with a chunk's size; the size so far.
    Size(usize),
    /// In a chunk with this many bytes left.
    Chunk(usize),
    /// In the line break after a chunk.
    AfterChunk,
}

/// Whether a body is sent in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Chunked,
    Plain,
}

/// The size of a chunk is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadChunk;

impl Events {
    /// Starts at the beginning of a body.
    pub(crate) fn new(body: Body) -> Self {
        Self {
            framing: match body {
                Body::Chunked => Framing::Size(0),
                Body::Plain => Framing::Plain,
            },
            line: Vec::new(),
            event: Event::default(),
            has_data: false,
            retry_ms: None,
        }
    }

    /// Returns the reconnection time that the stream told last.
    pub(crate) fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Handles the next bytes and calls `on_event` for each event that they complete.
    ///
    /// # Errors
    ///
    /// [`BadChunk`] if the body cannot be read any further.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        mut on_event: impl FnMut(&Event),
    ) -> Result<(), BadChunk> {
        let mut rest = bytes;
        while let Some((first, tail)) = rest.split_first() {
            match self.framing {
                Framing::Plain => {
                    self.lines(rest, &mut on_event);
                    return Ok(());
                }
                Framing::Size(size) => {
                    self.framing = on_size(size, *first)?;
                    rest = tail;
                }
                Framing::Chunk(left) => {
                    let (piece, tail) = rest.split_at_checked(left).unwrap_or((rest, &[]));
                    self.framing = match left - piece.len() {
                        0 => Framing::AfterChunk,
                        left => Framing::Chunk(left),
                    };
                    self.lines(piece, &mut on_event);
                    rest = tail;
                }
                Framing::AfterChunk => {
                    if *first == b'\n' {
                        self.framing = Framing::Size(0);
                    }
                    rest = tail;
                }
            }
        }
        Ok(())
    }

    fn lines(&mut self, bytes: &[u8], on_event: &mut impl FnMut(&Event)) {
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (head, tail) = rest.split_at_checked(end).unwrap_or_default();
            self.line.extend_from_slice(head);
            let line = std::mem::take(&mut self.line);
            self.on_line(&line, on_event);
            self.line = line;
            self.line.clear();
            rest = tail.strip_prefix(b"\n").unwrap_or_default();
        }
        self.line.extend_from_slice(rest);
    }

    fn on_line(&mut self, line: &[u8], on_event: &mut impl FnMut(&Event)) {
        if let Some(id) = line.strip_prefix(b"id: ") {
            self.event.id = String::from_utf8_lossy(id).into_owned();
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            if self.has_data {
                self.event.data.push(b'\n');
            }
            self.event.data.extend_from_slice(data);
            self.has_data = true;
        } else if let Some(retry) = line.strip_prefix(b"retry: ") {
            let told = std::str::from_utf8(retry).ok();
            self.retry_ms = told.and_then(|text| text.parse().ok());
        } else if line.is_empty() {
            if self.has_data {
                on_event(&self.event);
            }
            self.event.data.clear();
            self.has_data = false;
        }
    }
}

/// Reads a byte of the size line of a chunk. A size of zero ends the body; the reader then waits
/// for more, and the end of the connection ends the stream.
fn on_size(size: usize, byte: u8) -> Result<Framing, BadChunk> {
    match byte {
        b'\r' => Ok(Framing::Size(size)),
        b'\n' if size == 0 => Ok(Framing::Size(0)),
        b'\n' => Ok(Framing::Chunk(size)),
        digit => {
            let digit = char::from(digit).to_digit(16).ok_or(BadChunk)?;
            let size = size.checked_mul(16).ok_or(BadChunk)?;
            Ok(Framing::Size(size + digit as usize))
        }
    }
}

#[cfg(test)]
mod tests;
