//! Out of the hub: an ordinary subscriber with its own matchers, whose transport is ZeroMQ. It
//! receives live updates only: messages have no cursor to resume from.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use hashbrown::HashMap;
use tidings_core::event_id::EventId;
use tidings_core::hub::SubscriberId;
use tidings_core::hub_url::HubUrl;
use tidings_core::index::MatcherId;
use tidings_core::position::Position;
use tidings_wire::zmtp::decoder::Extent;

use super::onward::Onward;
use super::options::{HubOutput, Options, OriginFilter};
use super::outbox::Chunk;
use super::session::Socket;
use super::{HubParts, Shared, mapping};
use tidings_hub::posted::Posted;
use tidings_hub::router::{Outgoing, Ticket};
use tokio::sync::watch;

/// Updates from another hub that are on their way into the history. The outputs must not send them back.
#[derive(Default)]
pub(crate) struct Foreign {
    coming: RefCell<Counted>,
    passed: RefCell<Passed>,
}

/// Updates from another hub that are remembered after they were routed.
const PASSED_MAX: usize = 16 * 1024;

/// The newest updates that came, at most [`PASSED_MAX`], for outputs that read the history.
#[derive(Default)]
struct Passed {
    order: VecDeque<EventId>,
    ids: Counted,
}

/// Ids, and how often each is there.
#[derive(Default)]
struct Counted(HashMap<EventId, usize>);

impl Counted {
    fn add(&mut self, id: &EventId) {
        *self.0.entry(id.clone()).or_default() += 1;
    }

    /// Removes one. Returns whether it was there.
    fn remove(&mut self, id: &EventId) -> bool {
        let Some(count) = self.0.get_mut(id) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.0.remove(id);
        }
        true
    }
}

impl Foreign {
    pub(crate) fn insert(&self, id: &EventId) {
        self.coming.borrow_mut().add(id);
    }

    /// Removes one. Returns whether it was there.
    pub(crate) fn take(&self, id: &EventId) -> bool {
        let was_there = self.coming.borrow_mut().remove(id);
        if was_there {
            self.passed.borrow_mut().add(id);
        }
        was_there
    }

    /// Returns whether an update came from another hub, on its way or some time ago.
    pub(crate) fn knows(&self, id: &EventId) -> bool {
        let coming = self.coming.borrow().0.contains_key(id);
        coming || self.passed.borrow().ids.0.contains_key(id)
    }
}

impl Passed {
    fn add(&mut self, id: &EventId) {
        if self.order.len() >= PASSED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.ids.add(id);
    }
}

/// Sends updates out until the hub stops.
pub(crate) async fn run(
    shared: Rc<Shared>,
    options: Options,
    (sockets, onward): (Vec<Rc<Socket>>, Vec<Option<Rc<Onward>>>),
    line: watch::Sender<Position>,
    mut hub: HubParts,
) {
    for ((slot, output), _) in (0..)
        .zip(&options.outputs)
        .zip(&onward)
        .filter(|(_, one)| one.is_none())
    {
        let generation = 0;
        let ticket = Ticket(SubscriberId { slot, generation });
        hub.router
            .join(hub.index, ticket, output.matchers.clone())
            .await;
    }
    let mut joined: Vec<Option<Box<[MatcherId]>>> = vec![None; sockets.len()];
    while let Some(outgoing) = hub.inbox.recv().await {
        for one in outgoing {
            match one {
                Outgoing::Joined { ticket, ids, .. } => {
                    if let Some(place) = joined.get_mut(ticket.0.slot as usize) {
                        *place = Some(ids);
                    }
                }
                // Peers of a broker have no cursors.
                Outgoing::Withdrawn(..) => {}
                Outgoing::Cut(tip) => {
                    onward
                        .iter()
                        .flatten()
                        .for_each(|one| one.on_cut(tip.position));
                    line.send_replace(tip.position);
                }
                Outgoing::Batch(batch) => {
                    if let Some(last) = batch.posts.last() {
                        line.send_replace(last.update.position);
                    }
                    let news: Vec<_> = batch
                        .posts
                        .iter()
                        .map(|posted| (posted, shared.foreign.take(&posted.update.id)))
                        .collect();
                    let outputs = options.outputs.iter().zip(&sockets).zip(&joined);
                    for ((output, socket), ids) in outputs {
                        let Some(ids) = ids else { continue };
                        let wanted = news.iter().filter(|(posted, foreign)| {
                            let sent = output.origin == OriginFilter::All || !foreign;
                            sent && is_for(output, ids, posted, &hub.url)
                        });
                        let posted = wanted.map(|(posted, _)| &***posted);
                        let chunk = encode(output, posted, &options.node);
                        if !chunk.messages.is_empty() {
                            socket.offer(&chunk);
                        }
                    }
                }
            }
        }
    }
}

/// Returns whether an output sends an update: it selects the update, a message can carry it, and the output's grants
/// allow reading it.
fn is_for(output: &HubOutput, ids: &[MatcherId], posted: &Posted, hub: &HubUrl) -> bool {
    ids.iter().any(|id| posted.matching.contains(id))
        && mapping::can_carry(&posted.update)
        && posted.is_readable_with(Some(&output.grants), hub)
}

pub(crate) fn encode<'a>(
    output: &HubOutput,
    updates: impl Iterator<Item = &'a Posted>,
    node: &str,
) -> Chunk {
    let mut wire = Vec::new();
    let mut messages = Vec::new();
    for posted in updates {
        let start = wire.len();
        mapping::write(&mut wire, output.format, &posted.update, node);
        let one = Chunk::first_of(wire.get(start..).unwrap_or_default());
        messages.push(Extent {
            end: wire.len(),
            first: start + one.first,
            ..one
        });
    }
    Chunk {
        wire: wire.into(),
        messages,
        place: None,
    }
}
