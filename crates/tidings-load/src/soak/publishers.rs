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

/// All publishers, and the update that each has in flight.
#[derive(Debug)]
pub(crate) struct Publishers {
    list: Vec<Slot>,
    /// The numbers of idle publishers. The one that has been idle longest is next.
    idle: VecDeque<usize>,
    /// The epoll number of the first publisher.
    first: u64,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Publisher>,
    in_flight: Option<Mark>,
}

/// The result of an update.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// No response yet.
    Open,
    /// The update was acknowledged with this id.
    Acknowledged {
        mark: Mark,
        id: String,
        took_ns: u64,
    },
    /// The connection failed before the response.
    Broken { mark: Option<Mark> },
}

impl Publishers {
    /// Makes `count` publishers without connections.
    pub(crate) fn new(count: usize, first: u64) -> Self {
        Self {
            list: (0..count).map(|_| Slot::default()).collect(),
            idle: VecDeque::new(),
            first,
        }
    }

    /// Returns the number of publishers.
    pub(crate) fn count(&self) -> usize {
        self.list.len()
    }

    /// Returns the number of updates in flight.
    pub(crate) fn in_flight(&self) -> usize {
        let busy = self.list.iter().filter(|slot| slot.in_flight.is_some());
        busy.count()
    }

    /// Returns whether a publisher is idle.
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

    /// Sends an update with an idle publisher. Returns the publisher's number if its connection
    /// turned out to be broken.
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

    /// Reads from the connection of publisher `number`.
    ///
    /// # Errors
    ///
    /// [`BenchError::Refused`] if an update was refused.
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

    /// Drops the connection of publisher `number`. Returns the update that was in flight.
    pub(crate) fn on_broken(&mut self, number: usize) -> Option<Mark> {
        self.idle.retain(|idle| *idle != number);
        let slot = self.list.get_mut(number)?;
        slot.connection = None;
        slot.in_flight.take()
    }
}
