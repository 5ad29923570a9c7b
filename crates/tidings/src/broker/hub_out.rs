//! Out of the hub: an ordinary subscriber with its own matchers, whose transport is ZeroMQ. It
//! receives live updates only: messages have no cursor to resume from.

use std::cell::RefCell;
use std::rc::Rc;

use hashbrown::HashMap;
use tidings_core::event_id::EventId;
use tidings_core::hub::SubscriberId;
use tidings_core::hub_url::HubUrl;
use tidings_core::index::MatcherId;
use tidings_wire::zmtp::decoder::Extent;

use super::options::{HubOutput, Options, OriginFilter};
use super::outbox::Chunk;
use super::session::Socket;
use super::{HubParts, Shared, mapping};
use tidings_hub::posted::Posted;
use tidings_hub::router::{Outgoing, Ticket};

/// Updates from another hub that are on their way into the history. The outputs must not send them back.
#[derive(Default)]
pub(crate) struct Foreign(RefCell<HashMap<EventId, usize>>);

impl Foreign {
    pub(crate) fn insert(&self, id: &EventId) {
        *self.0.borrow_mut().entry(id.clone()).or_default() += 1;
    }

    /// Removes one. Returns whether it was there.
    pub(crate) fn take(&self, id: &EventId) -> bool {
        let mut ids = self.0.borrow_mut();
        let Some(count) = ids.get_mut(id) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            ids.remove(id);
        }
        true
    }
}

/// Sends updates out until the hub stops.
pub(crate) async fn run(
    shared: Rc<Shared>,
    options: Options,
    sockets: Vec<Rc<Socket>>,
    mut hub: HubParts,
) {
    for (slot, output) in (0..).zip(&options.outputs) {
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
                Outgoing::Cut(_) | Outgoing::Withdrawn(..) => {}
                Outgoing::Batch(batch) => {
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

fn encode<'a>(output: &HubOutput, updates: impl Iterator<Item = &'a Posted>, node: &str) -> Chunk {
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
    }
}
