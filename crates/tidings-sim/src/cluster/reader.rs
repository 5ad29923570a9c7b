//! A subscriber of a cluster: it reads everything, loses its connection, and comes back to any hub
//! with the last id that it has.

use tidings_wire::sse_decoder::{Decoded, Decoder};
use tokio::sync::oneshot;

use crate::lab::{Read, Stream};

/// See the module.
#[derive(Default)]
pub struct Reader {
    connection: Connection,
    cursor: Option<String>,
    /// What it has, in the order in which it came, since it was told of a gap.
    received: Vec<(String, String)>,
    /// How often it was told of one.
    pub gaps: u64,
}

#[derive(Default)]
enum Connection {
    #[default]
    Away,
    Opening(usize, oneshot::Receiver<Stream>),
    Open(usize, Stream, Decoder),
}

impl Reader {
    /// Returns the hub that it is connected to.
    pub fn hub(&self) -> Option<usize> {
        match &self.connection {
            Connection::Away => None,
            Connection::Opening(hub, _) | Connection::Open(hub, _, _) => Some(*hub),
        }
    }

    /// Returns what it asks to resume after.
    pub fn cursor(&self) -> &str {
        self.cursor.as_deref().unwrap_or("earliest")
    }

    /// Begins to connect.
    pub fn connect(&mut self, hub: usize, stream: oneshot::Receiver<Stream>) {
        self.connection = Connection::Opening(hub, stream);
    }

    /// Loses its connection.
    pub fn disconnect(&mut self) {
        self.connection = Connection::Away;
    }

    /// Reads what came.
    ///
    /// # Errors
    ///
    /// The hub answered something that is none of its answers.
    pub fn read(&mut self) -> Result<(), String> {
        if let Connection::Opening(hub, stream) = &mut self.connection {
            let hub = *hub;
            match stream.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
                Err(oneshot::error::TryRecvError::Closed) => {
                    self.connection = Connection::Away;
                    return Ok(());
                }
                Ok(stream) => self.open(hub, stream)?,
            }
        }
        loop {
            let Connection::Open(_, stream, decoder) = &mut self.connection else {
                return Ok(());
            };
            let mut decoded = Vec::new();
            match stream.read() {
                Read::Nothing => return Ok(()),
                Read::End => {
                    self.connection = Connection::Away;
                    return Ok(());
                }
                Read::Bytes(bytes) => decoder
                    .push(&bytes, &mut decoded)
                    .map_err(|error| error.to_string())?,
            }
            for decoded in decoded {
                if let Decoded::Event(event) = decoded {
                    self.cursor = Some(event.last_event_id.clone());
                    self.received.push((event.last_event_id, event.data));
                }
            }
        }
    }

    fn open(&mut self, hub: usize, stream: Stream) -> Result<(), String> {
        let asked = self.cursor().to_owned();
        match stream.answered.as_str() {
            answered if answered == asked && asked != "earliest" => {}
            "earliest" => {
                self.gaps += u64::from(!self.received.is_empty());
                self.received.clear();
                self.cursor = None;
            }
            answered => return Err(format!("asked after {asked}, answered {answered}")),
        }
        let decoder = Decoder::new(64 * 1024, self.cursor());
        self.connection = Connection::Open(hub, stream, decoder);
        Ok(())
    }

    /// Checks, when all is quiet, that it has everything of `log` from its first event on, in order,
    /// once. What every hub has `skipped`, no log has.
    ///
    /// # Errors
    ///
    /// What is missing, or comes twice.
    pub fn check(
        &self,
        log: &[(String, String)],
        skipped: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        if !matches!(self.connection, Connection::Open(..)) {
            return Err("is not connected although all is mended".to_owned());
        }
        let gone = |(_, data): &&(String, String)| skipped(data);
        let gone = self.received.iter().take_while(gone).count();
        let received = self.received.get(gone..).unwrap_or_default();
        let first = match received.first() {
            None => log.len(),
            Some(first) => match log.iter().position(|entry| entry == first) {
                Some(first) => first,
                None => return Err(format!("has {first:?}, which is not in the log")),
            },
        };
        let rest = log.get(first..).unwrap_or_default();
        let differs = received
            .iter()
            .zip(rest)
            .find(|(had, should)| had != should);
        if let Some((had, should)) = differs {
            return Err(format!(
                "has {had:?} where the log has {should:?} (promise 2, one order)"
            ));
        }
        match received.len().cmp(&rest.len()) {
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Less => Err(format!(
                "misses {:?} and was not told (promise 2, one order)",
                rest.get(received.len())
            )),
            std::cmp::Ordering::Greater => Err("has more than the log".to_owned()),
        }
    }
}
