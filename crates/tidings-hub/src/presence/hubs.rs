//! What presence does about the other hubs of a cluster: it hears what they publish, answers for those that have died,
//! and asks the others when it may have missed something.

use std::collections::VecDeque;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tidings_cluster::engine::Sender;
use tidings_cluster::member::Membership;
use tidings_cluster::roster::Roster;
use tidings_core::position::Position;
use tidings_core::update::Update;
use tidings_history::sabotage::{Rule, skips};
use tidings_history::storage::Announced;
use tokio::time::Instant;

use super::table::{Heard, Outcome, run_of};
use super::{Hubs, RollCall, Sent, Tracker, tell_of_left_over};
use crate::control::Message;

/// See the module.
pub(super) struct Others {
    hubs: Option<Hubs>,
    /// What the history said at the start, until it is known who this hub is.
    announced: Option<Vec<Announced>>,
    roll_call: RollCall,
    me: Option<Sender>,
    /// Since when starts have no lease whose subscriptions are here.
    absent: HashMap<Sender, Instant, RandomState>,
    /// Messages to publish, one after the other.
    messages: VecDeque<Message>,
    /// Whether the first of them is on its way.
    telling: bool,
}

impl Others {
    pub(super) fn new(hubs: Hubs, announced: Vec<Announced>, roll_call: RollCall) -> Self {
        Self {
            hubs: Some(hubs),
            announced: Some(announced),
            roll_call,
            me: None,
            absent: HashMap::default(),
            messages: VecDeque::new(),
            telling: false,
        }
    }

    /// Adds a message, unless it waits already.
    fn add(&mut self, message: Message) {
        if !self.messages.contains(&message) {
            self.messages.push_back(message);
        }
    }

    pub(super) fn on_told(&mut self, outcome: Outcome) {
        self.telling = false;
        // After a doubt it is told again: each message may come twice.
        if let Outcome::Stored(_) = outcome {
            self.messages.pop_front();
        }
    }

    /// Returns the starts that this hub has to answer for. They are over: it holds the lease for that and has claimed
    /// them, or nobody did for as long as a lease lasts; or, for twice as long, nobody has answered who holds it,
    /// since a hub that was away may not know all subscriptions.
    fn over(&mut self, roster: &Roster, runs: &[Sender], now: Instant) -> Vec<Sender> {
        let holds = roster.holds(Membership::PRESENCE);
        let patience = match holds {
            true => roster.lease,
            false => roster.lease * 2,
        };
        let gone = |run: &&Sender| !roster.lists(**run);
        let gone: Vec<Sender> = runs.iter().filter(gone).copied().collect();
        self.absent.retain(|run, _| gone.contains(run));
        let over = gone.into_iter().filter(|run| {
            let since = *self.absent.entry(*run).or_insert(now);
            let claimed = holds && roster.claimed.contains(run);
            claimed || now.saturating_duration_since(since) >= patience
        });
        over.collect()
    }
}

/// Waits until something is known about the hubs that was not known before.
pub(super) async fn changed(others: &mut Option<Others>) {
    let Some(Others { hubs, .. }) = others else {
        return std::future::pending().await;
    };
    let Some(watched) = hubs else {
        return std::future::pending().await;
    };
    if watched.changed().await.is_err() {
        // The relay is gone.
        *hubs = None;
    }
}

impl Tracker {
    /// Returns whether the hub is in a cluster and does not know yet who it is there. Until then nobody joins: the
    /// number of a subscription is another one in a cluster. The relay shows who is there as soon as it runs.
    pub(super) fn waits_for_hubs(&self) -> bool {
        let others = self.others.as_ref();
        others.is_some_and(|others| others.announced.is_some() && others.hubs.is_some())
    }

    /// Looks who is in the cluster.
    pub(super) fn on_hubs(&mut self) {
        let now = Instant::now();
        let Some(others) = &mut self.others else {
            return;
        };
        let hubs = others.hubs.as_mut();
        let roster: Option<Arc<Roster>> = hubs.and_then(|hubs| hubs.borrow_and_update().clone());
        let Some(roster) = roster else {
            return;
        };
        if let Some(announced) = others.announced.take() {
            others.me = Some(roster.me);
            if others.roll_call == RollCall::Owed {
                others.add(Message::RollCall);
            }
            let left = announced.len();
            let ended = self.table.join(roster.me, announced, now);
            let elsewhere = self.table.len() - self.table.own();
            tell_of_left_over(left.saturating_sub(elsewhere), ended);
        }
        if others.me.is_some_and(|me| me != roster.me) {
            others.me = Some(roster.me);
            self.table.on_start(roster.me);
        }
        if skips(Rule::AnswerForTheDead) {
            return;
        }
        let runs: Vec<Sender> = self.table.runs().collect();
        for run in others.over(&roster, &runs, now) {
            let (node, count) = (run.node, self.table.take_over_run(run, now));
            tracing::info!(%node, count, "answering for the subscriptions of a hub that has died");
        }
    }

    /// Hears what hubs published, this one too.
    pub(super) fn on_heard(&mut self, own: &[Arc<Update>]) {
        let now = Instant::now();
        for update in own {
            if update.presence.is_some() {
                if !skips(Rule::HearOthers) && self.table.on_event(update, now) == Heard::NoRoom {
                    self.dependencies.metrics.presence.untracked.inc();
                }
                continue;
            }
            let run = update.note.as_deref().and_then(run_of);
            let (Some(message), Some(run)) = (Message::of(update), run) else {
                continue;
            };
            match message {
                Message::RollCall => self.table.on_roll_call(update.position),
                Message::Present { called } => {
                    self.table.on_present(run, Position::new(called));
                }
                // Those of operators.
                Message::Disconnect { .. }
                | Message::Revoke { .. }
                | Message::Reinstate { .. }
                | Message::Purge { .. } => {}
            }
        }
    }

    /// Asks the other hubs which subscriptions they have.
    pub(super) fn call_the_roll(&mut self) {
        if let Some(others) = &mut self.others {
            others.add(Message::RollCall);
        }
    }

    /// Publishes the next message.
    pub(super) fn tell(&mut self) {
        if self.closed || self.paused_until.is_some() {
            return;
        }
        let Some(others) = self.others.as_mut().filter(|others| !others.telling) else {
            return;
        };
        if let Some(message) = others.messages.front() {
            let draft = message.draft(&self.dependencies.hub);
            others.telling = true;
            self.send(Sent::Message, draft);
        }
    }
}
