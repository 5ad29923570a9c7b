//! The publishers of a long run: keep-alive connections with one update in flight each, which
//! reconnect when they break.

use std::collections::VecDeque;

use crate::BenchError;
use crate::clock::now_ns;
use crate::link::{Link, Protocol};
use crate::mark::Mark;
use crate::poller::Poller;
use crate::publisher::{Answer, Publisher};
use crate::target::{Target, escaped};

/// All publishers, and what each has on its way.
#[derive(Debug)]
pub(crate) struct Publishers {
    list: Vec<Slot>,
    /// Numbers of those that have nothing on their way; the one that waited longest is next.
    idle: VecDeque<usize>,
    /// Number of the first in the epoll set.
    first: u64,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Publisher>,
    in_flight: Option<Mark>,
}

/// What became of an update.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Nothing yet.
    Open,
    /// It was taken under this id.
    Acknowledged {
        mark: Mark,
        id: String,
        took_ns: u64,
    },
    /// The connection broke before an answer came.
    Broken { mark: Option<Mark> },
}

impl Publishers {
    /// Makes room for `count` publishers without connecting any.
    pub(crate) fn new(count: usize, first: u64) -> Self {
        Self {
            list: (0..count).map(|_| Slot::default()).collect(),
            idle: VecDeque::new(),
            first,
        }
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns how many updates are on their way.
    pub(crate) fn in_flight(&self) -> usize {
        let busy = self.list.iter().filter(|slot| slot.in_flight.is_some());
        busy.count()
    }

    /// Says whether an update could be sent at once.
    pub(crate) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Connects publisher `number`.
    ///
    /// # Errors
    ///
    /// [`BenchError::Connect`] if the hub cannot be reached.
    pub(crate) fn connect(
        &mut self,
        number: usize,
        target: &Target,
        poller: &Poller,
    ) -> Result<(), BenchError> {
        let link = Link::open(target, number, Protocol::Http1);
        let link = link.map_err(|source| BenchError::Connect { number, source })?;
        poller.add(&link, self.first + number as u64)?;
        if let Some(slot) = self.list.get_mut(number) {
            slot.connection = Some(Publisher::new(link));
            self.idle.push_back(number);
        }
        Ok(())
    }

    /// Sends an update with an idle publisher. Returns the number of the publisher whose connection
    /// turned out to be broken, if it was.
    pub(crate) fn send(
        &mut self,
        target: &Target,
        topic: &str,
        mark: Mark,
        visibility: &str,
        data_bytes: usize,
    ) -> Option<usize> {
        let number = self.idle.pop_front()?;
        let slot = self.list.get_mut(number)?;
        let mut form = format!("topic={}{visibility}&data=", escaped(topic)).into_bytes();
        mark.write(&mut form, data_bytes);
        slot.in_flight = Some(mark);
        let request = target.publication(&form);
        let sent = slot.connection.as_mut()?.send(&request, now_ns());
        sent.is_err().then_some(number)
    }

    /// Reads what the connection of publisher `number` brought.
    ///
    /// # Errors
    ///
    /// [`BenchError::Refused`] if an update was not taken.
    pub(crate) fn on_readable(
        &mut self,
        number: usize,
        buffer: &mut [u8],
    ) -> Result<Outcome, BenchError> {
        let Some(slot) = self.list.get_mut(number) else {
            return Ok(Outcome::Open);
        };
        let Some(connection) = &mut slot.connection else {
            return Ok(Outcome::Open);
        };
        match connection.on_readable(buffer) {
            Ok(Answer::Incomplete) => Ok(Outcome::Open),
            Ok(Answer::Acknowledged(acknowledged)) => {
                self.idle.push_back(number);
                let took_ns = now_ns().saturating_sub(acknowledged.sent_ns);
                let id = acknowledged.id;
                Ok(slot
                    .in_flight
                    .take()
                    .map_or(Outcome::Open, |mark| Outcome::Acknowledged {
                        mark,
                        id,
                        took_ns,
                    }))
            }
            Ok(Answer::Closed) | Err(BenchError::Connection(_)) => Ok(Outcome::Broken {
                mark: self.on_broken(number),
            }),
            Err(other) => Err(other),
        }
    }

    /// Forgets the connection of publisher `number`. Returns the update that was on its way.
    pub(crate) fn on_broken(&mut self, number: usize) -> Option<Mark> {
        self.idle.retain(|idle| *idle != number);
        let slot = self.list.get_mut(number)?;
        slot.connection = None;
        slot.in_flight.take()
    }
}
