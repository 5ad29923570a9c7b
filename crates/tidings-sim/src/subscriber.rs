//! A simulated subscriber. It reads as fast as the seed says, loses its connection, resumes from
//! its last event id, and checks what it receives against the truth.

use crate::lab::{Read, Stream};
use tidings_core::position::Position;
use tidings_wire::sse_decoder::{Decoded, Decoder};
use tokio::sync::oneshot;

use crate::disk::Disk;
use crate::truth::{Interest, Truth, number_of};

/// Maximum bytes of an event.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// One subscriber over all its connections.
#[derive(Debug)]
pub struct Subscriber {
    /// What it should receive.
    pub interest: Interest,
    connection: Connection,
    /// The id that it sends when it reconnects.
    last_event_id: Option<String>,
    /// Whether that id is not from an event, but from the hub's response to a connection without a
    /// cursor.
    standing: bool,
    /// The position of the id.
    cursor_at: Position,
    /// Whether the history has gone back to before that position since.
    lost: bool,
    /// It has received everything up to here that it must receive.
    through: Position,
    /// After a start without a cursor, until the first event: updates after this position may be
    /// received too, because the hub joined the subscriber at some moment between its request and
    /// the response.
    may_come_after: Option<Position>,
    /// Events received over all connections.
    pub received: u64,
    /// Gaps that the hub told it about.
    pub gaps: u64,
    /// Whether it has received nothing since it was told about a gap.
    after_gap: bool,
}

enum Connection {
    Away,
    Opening {
        stream: oneshot::Receiver<Stream>,
        asked: Option<String>,
        from: Position,
    },
    Open {
        stream: Stream,
        decoder: Decoder,
    },
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Away => "away",
            Self::Opening { .. } => "opening",
            Self::Open { .. } => "open",
        })
    }
}

impl Subscriber {
    /// Makes a subscriber that has never been connected.
    pub fn new(interest: Interest) -> Self {
        Self {
            interest,
            connection: Connection::Away,
            last_event_id: None,
            standing: false,
            cursor_at: Position::ZERO,
            lost: false,
            through: Position::ZERO,
            may_come_after: None,
            received: 0,
            gaps: 0,
            after_gap: false,
        }
    }

    /// Returns whether it has no connection.
    pub fn is_away(&self) -> bool {
        matches!(self.connection, Connection::Away)
    }

    /// Returns whether its stream is open.
    pub fn is_open(&self) -> bool {
        matches!(self.connection, Connection::Open { .. })
    }

    /// Returns the cursor that it sends when it reconnects.
    pub fn cursor(&self) -> Option<&str> {
        self.last_event_id.as_deref()
    }

    /// Starts to connect. `last` is the history's last position at that moment.
    pub fn connect(&mut self, stream: oneshot::Receiver<Stream>, last: Position) {
        let asked = self.last_event_id.clone();
        self.connection = Connection::Opening {
            stream,
            asked,
            from: last,
        };
    }

    /// Records that the history has gone back and now ends at `last`.
    pub fn on_restore(&mut self, last: Position) {
        self.lost |= self.cursor_at > last;
    }

    /// Loses the connection.
    pub fn disconnect(&mut self) {
        self.connection = Connection::Away;
    }

    /// Takes its stream if the hub has opened it. `last` is the history's last position now.
    ///
    /// # Errors
    ///
    /// The hub's response to the cursor is wrong.
    pub fn poll_open(&mut self, last: Position, truth: &Truth) -> Result<(), String> {
        let Connection::Opening {
            stream,
            asked,
            from,
        } = &mut self.connection
        else {
            return Ok(());
        };
        let stream = match stream.try_recv() {
            Ok(stream) => stream,
            Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
            Err(oneshot::error::TryRecvError::Closed) => {
                self.connection = Connection::Away;
                return Ok(());
            }
        };
        match (asked.as_deref(), stream.answered.as_str()) {
            // Everything that is committed from now on must be received. What was committed since
            // the request may be received. The response is the cursor to resume from if the
            // connection is lost before the first event.
            (None, answered) => {
                self.may_come_after = Some(*from);
                self.through = last;
                self.last_event_id = Some(answered.to_owned());
                self.standing = true;
                self.cursor_at = stream.after;
                self.lost = false;
            }
            (Some("earliest"), "earliest") => {
                self.after_gap = true;
                self.may_come_after = None;
                self.through = Position::ZERO;
            }
            (Some(asked), answered) if asked == answered && self.lost => {
                return Err(format!(
                    "{asked} resumed in another line of history than its own \
                     (invariant 4, no silent gap)"
                ));
            }
            (Some(asked), answered) if asked == answered => {
                self.may_come_after = None;
                if self.standing {
                    // It has received nothing yet, so everything after the earlier response must
                    // come now.
                    self.through = stream.after;
                }
                let at = truth.update(asked).map(|update| update.position);
                if at.is_some_and(|at| at > self.through) {
                    return Err(format!(
                        "{asked} was accepted as a cursor but never received"
                    ));
                }
            }
            (Some(_), "earliest") => {
                self.gaps += 1;
                self.after_gap = true;
                self.may_come_after = None;
                self.through = Position::ZERO;
            }
            (asked, answered) => {
                return Err(format!("requested {asked:?}, answered {answered:?}"));
            }
        }
        let last_event_id = self.last_event_id.clone().unwrap_or_default();
        let decoder = Decoder::new(EVENT_BYTES_MAX, &last_event_id);
        self.connection = Connection::Open { stream, decoder };
        Ok(())
    }

    /// Reads up to `pieces_max` pieces of its stream and checks them.
    ///
    /// # Errors
    ///
    /// The invariant that is broken, and how.
    pub fn read(&mut self, pieces_max: usize, truth: &Truth, disk: &Disk) -> Result<(), String> {
        for _ in 0..pieces_max {
            let Connection::Open { stream, decoder } = &mut self.connection else {
                return Ok(());
            };
            let mut decoded = Vec::new();
            match stream.read() {
                Read::Nothing => return Ok(()),
                Read::End => {
                    self.connection = Connection::Away;
                    return Ok(());
                }
                Read::Bytes(bytes) => {
                    decoder
                        .push(&bytes, &mut decoded)
                        .map_err(|error| error.to_string())?;
                }
            }
            for decoded in decoded {
                if let Decoded::Event(event) = decoded {
                    self.on_event(&event.last_event_id, &event.data, truth, disk)?;
                }
            }
        }
        Ok(())
    }

    fn on_event(&mut self, id: &str, data: &str, truth: &Truth, disk: &Disk) -> Result<(), String> {
        let Some(update) = truth.update(id) else {
            return Err(format!(
                "received {id} ({data:?}), which is not in the history \
                 (invariant 3, acknowledged is kept)"
            ));
        };
        if *update.data != *data {
            return Err(format!(
                "{id} was received with {data:?} instead of {:?}",
                update.data
            ));
        }
        if !self.interest.may_read(update) {
            return Err(format!(
                "number {:?} is private and not granted (invariant 5, private by grant)",
                number_of(data)
            ));
        }
        if !self.interest.concerns(update) {
            return Err(format!(
                "number {:?} does not match the subscription",
                number_of(data)
            ));
        }
        let position = update.position;
        if let Some(after) = self.may_come_after.take()
            && position > after
            && position <= self.through
        {
            self.through = Position::new(position.get().saturating_sub(1));
        }
        if position <= self.through && self.through != Position::ZERO {
            return Err(format!(
                "{position:?} was received after {:?}: out of order (invariant 4, no silent gap)",
                self.through
            ));
        }
        self.check_no_hole(position, truth, disk)?;
        self.after_gap = false;
        self.through = position;
        self.last_event_id = Some(id.to_owned());
        self.standing = false;
        self.cursor_at = position;
        self.lost = false;
        self.received += 1;
        Ok(())
    }

    /// Checks that it has missed nothing between what it has and `position`. After a gap that it
    /// was told about, only updates that are still stored count.
    fn check_no_hole(&self, position: Position, truth: &Truth, disk: &Disk) -> Result<(), String> {
        let trimmed = disk.trimmed_through();
        let missed = truth.between(self.through, position).find(|update| {
            let excused = self.after_gap && update.position <= trimmed;
            !excused && self.interest.concerns(update)
        });
        match missed {
            None => Ok(()),
            Some(missed) => Err(format!(
                "{position:?} was received, but not {:?} (number {:?}): a gap \
                 (invariant 4, no silent gap)",
                missed.position,
                number_of(&missed.data)
            )),
        }
    }

    /// Checks at the end, after all faults are cleared and all is quiet, that nothing is missing.
    ///
    /// # Errors
    ///
    /// The missing update.
    pub fn check_complete(&self, truth: &Truth, disk: &Disk) -> Result<(), String> {
        if !self.is_open() {
            return Err("its connection is not open although all faults are mended".to_owned());
        }
        let end = Position::new(u64::MAX);
        self.check_no_hole(end, truth, disk)
    }
}
