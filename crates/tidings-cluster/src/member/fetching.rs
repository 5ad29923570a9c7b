//! A hub that misses updates that the engine does not keep any more: another hub gives them.
//!
//! ```text
//! who lives ─▶ ask one ─▶ store the page ─▶ ask the same one … ─▶ look again
//!     ▲           └─ not, or too little: the next one
//!     └─ a pause ── all were asked
//! ```
//!
//! What comes is checked like what the engine sends: the history forms the prints again, from its own
//! last one on. It is fetched up to the middle of the engine's window, so that the look that follows
//! compares a print that the engine has too. If no hub gives what is missing, the hub begins anew at
//! the oldest update that anybody has, and its subscribers are told.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::Position;

use super::follower::{STORE_RETRY, ordered};
use super::request::Output;
use super::{Member, Phase};
use crate::engine::{Entry, Line};
use crate::page::{Ask, Page};
use crate::peers::{Fetch, PeerError};
use crate::sabotage::{Rule, skips};
use crate::{Batch, Cut, OrderedUpdate};

/// How far this is.
pub(super) struct Fetching {
    /// The last position that the engine does not keep any more.
    before_oldest: Position,
    /// The position up to which other hubs are asked: the window moves on meanwhile.
    through: Position,
    step: Step,
    /// How many looks at the leases there were when the hubs of this round were asked for.
    looks: u64,
    round: u32,
    /// Who is asked, and who is asked next.
    peers: VecDeque<Arc<str>>,
    /// Whether one that was asked in this round may answer something else next time.
    failed: bool,
    /// Who has another line.
    unfit: Vec<Arc<str>>,
    /// The earliest position after which anybody has everything, if that is not early enough.
    later: Option<Position>,
    /// Where the hub began.
    from: Position,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Who lives.
    Listing,
    /// The first of the peers is asked.
    Choosing,
    /// It has been asked, and must answer by then.
    Asked { ticket: u64, due: Duration },
    /// What it gave is being stored.
    Storing,
    /// All were asked, in vain.
    Resting { until: Duration },
}

impl Fetching {
    pub(super) fn due(&self) -> Option<Duration> {
        match self.step {
            Step::Asked { due, .. } => Some(due),
            Step::Resting { until } => Some(until),
            Step::Listing | Step::Choosing | Step::Storing => None,
        }
    }
}

impl Member {
    /// Gets what this hub misses and the engine does not keep any more.
    pub(super) fn fetch(&mut self, line: Line) {
        let before_oldest = Position::new(line.oldest.get().saturating_sub(1));
        if !self.options.membership.fetches || skips(Rule::FetchMissed) {
            return self.skip_to(before_oldest);
        }
        let own = self.history.last();
        let window = line.last.get().saturating_sub(before_oldest.get());
        let through = Position::new(before_oldest.get() + window.div_ceil(2));
        let (from, to) = (own.next(), before_oldest);
        tracing::info!(
            %from, %to,
            "the engine does not have these updates any more, which this hub misses: it asks the \
             other hubs for them"
        );
        self.reason = Some(REASON.into());
        self.gate.known = self.gate.known.max(line.last);
        self.leases.hurry(self.now);
        self.phase = Phase::Fetching(Fetching {
            before_oldest,
            through,
            step: Step::Listing,
            looks: self.leases.roster().looks,
            round: 1,
            peers: VecDeque::new(),
            failed: false,
            unfit: Vec::new(),
            later: None,
            from: own,
        });
    }

    /// Does the next step, if it can be done now.
    pub(super) fn go_on_fetching(&mut self) {
        // While this lasts, others must not take the hub for dead.
        self.keep_leases();
        if self.cutting {
            return;
        }
        let Phase::Fetching(fetching) = &mut self.phase else {
            return;
        };
        match fetching.step {
            Step::Listing => {
                let roster = self.leases.roster();
                if roster.looks > fetching.looks {
                    // An earlier start of this hub may still have a lease.
                    let own = self.options.membership.address.as_ref();
                    let fits = |address: &&Arc<str>| {
                        own != Some(*address) && !fetching.unfit.contains(address)
                    };
                    fetching.peers = roster.addresses().filter(fits).cloned().collect();
                    fetching.failed = false;
                    fetching.step = Step::Choosing;
                    self.ask_peer();
                }
            }
            Step::Choosing => self.ask_peer(),
            Step::Asked { due, .. } if due <= self.now => self.on_no_page("no answer came in time"),
            Step::Asked { .. } => {}
            Step::Storing => self.store_page(),
            Step::Resting { until } => {
                if until <= self.now {
                    fetching.step = Step::Listing;
                    fetching.looks = self.leases.roster().looks;
                    self.leases.hurry(self.now);
                    self.keep_leases();
                }
            }
        }
    }

    /// Asks the hub whose turn it is.
    fn ask_peer(&mut self) {
        let Phase::Fetching(fetching) = &mut self.phase else {
            return;
        };
        let Some(address) = fetching.peers.front().cloned() else {
            return self.on_all_asked();
        };
        self.ticket += 1;
        let (ticket, due) = (self.ticket, self.now + PAGE_WITHIN);
        fetching.step = Step::Asked { ticket, due };
        let ask = Ask {
            after: self.history.last(),
            through: fetching.through,
        };
        self.outputs.push_back(Output::Fetch(Fetch {
            ticket,
            address,
            ask,
        }));
    }

    /// Another hub answered, or did not.
    pub(super) fn on_fetched(&mut self, ticket: u64, result: Result<Page, PeerError>) {
        let Phase::Fetching(fetching) = &self.phase else {
            return;
        };
        if !matches!(fetching.step, Step::Asked { ticket: asked, .. } if asked == ticket) {
            return;
        }
        match result {
            Ok(page) => self.on_page(page),
            Err(error) => self.on_no_page(&error.line()),
        }
    }

    fn on_page(&mut self, page: Page) {
        let (own, print) = self.history.tip();
        let Phase::Fetching(fetching) = &mut self.phase else {
            return;
        };
        if page.after > own && page.after <= page.last {
            // It has nothing before that any more. Another one may.
            let earlier = fetching.later.is_none_or(|later| page.after < later);
            if earlier {
                fetching.later = Some(page.after);
            }
            return self.next_peer();
        }
        if page.last <= own || page.entries.is_empty() {
            // It misses the same.
            return self.next_peer();
        }
        let same = print.is_none() || page.before.is_none() || page.before == print;
        if page.after != own || !same {
            return self.on_unfit_page("it has another line of updates");
        }
        match in_order(own, &page.entries) {
            Err(reason) => self.on_no_page(&reason),
            Ok(updates) => {
                // Whoever did not answer before may not be needed.
                fetching.round = 1;
                fetching.later = None;
                fetching.step = Step::Storing;
                self.follower.waiting = updates;
                self.store_page();
            }
        }
    }

    /// Hands the next batch of a page to the history, or goes on after the page.
    fn store_page(&mut self) {
        let rests = self.follower.retry_at.is_some_and(|at| at > self.now);
        if rests || self.follower.is_storing() {
            return;
        }
        // A history that took nothing has dropped the rest of the page: it is asked for again.
        if self.follower.retry_at.take().is_some() && self.history.takes_updates().is_err() {
            self.follower.retry_at = Some(self.now + STORE_RETRY);
            return;
        }
        if let Some(batch) = Batch::take(&mut self.follower.waiting) {
            return self.store(batch);
        }
        let own = self.history.last();
        match &self.phase {
            Phase::Fetching(fetching) if own >= fetching.through => self.on_fetched_all(),
            Phase::Fetching(_) => self.ask_peer(),
            Phase::Waiting { .. }
            | Phase::Looking
            | Phase::Comparing(_)
            | Phase::Healing { .. }
            | Phase::Repairing
            | Phase::Forked(_)
            | Phase::Following => {}
        }
    }

    /// The hub has what it missed: the engine's line is compared next.
    fn on_fetched_all(&mut self) {
        let Phase::Fetching(fetching) = &self.phase else {
            return;
        };
        let own = self.history.last();
        let updates = own.get().saturating_sub(fetching.from.get());
        let peer = fetching.peers.front().map(|peer| &**peer);
        tracing::info!(
            updates,
            peer,
            "the other hubs gave the updates that this hub missed"
        );
        self.looks = 0;
        self.look();
    }

    /// The hub that was asked gave nothing, and may do so later.
    fn on_no_page(&mut self, reason: &str) {
        self.tell_of_peer(reason);
        if let Phase::Fetching(fetching) = &mut self.phase {
            fetching.failed = true;
        }
        self.next_peer();
    }

    /// What the hub that was asked gave does not follow what is stored: it, or this one, has another line.
    pub(super) fn on_unfit_page(&mut self, reason: &str) {
        self.tell_of_peer(reason);
        if let Phase::Fetching(fetching) = &mut self.phase {
            fetching.unfit.extend(fetching.peers.front().cloned());
        }
        self.next_peer();
    }

    fn tell_of_peer(&mut self, reason: &str) {
        self.counters.failed_fetches += 1;
        let Phase::Fetching(fetching) = &self.phase else {
            return;
        };
        let peer = fetching.peers.front().map(|peer| &**peer);
        tracing::warn!(
            peer,
            reason,
            "another hub did not give the updates that this hub misses"
        );
    }

    fn next_peer(&mut self) {
        self.follower.waiting.clear();
        let own = self.history.last();
        let Phase::Fetching(fetching) = &mut self.phase else {
            return;
        };
        fetching.peers.pop_front();
        fetching.step = Step::Choosing;
        if own >= fetching.before_oldest {
            // The engine has the rest.
            return self.on_fetched_all();
        }
        self.ask_peer();
    }

    /// Every hub was asked in this round.
    fn on_all_asked(&mut self) {
        let own = self.history.last();
        let Phase::Fetching(fetching) = &mut self.phase else {
            return;
        };
        let later = fetching.later.filter(|at| *at < fetching.before_oldest);
        let settled = later.is_some() && !fetching.failed;
        if fetching.round < ROUNDS_MAX && !settled {
            fetching.round += 1;
            fetching.step = Step::Resting {
                until: self.now + PAUSE,
            };
            return;
        }
        match later {
            Some(at) => {
                tracing::warn!(
                    after = %own, through = %at,
                    "no hub that answers has these updates any more: this hub goes on after them"
                );
                self.skip_to(at);
            }
            None => {
                let at = fetching.before_oldest;
                self.skip_to(at);
            }
        }
    }

    /// Begins anew after a position, since nobody has what is before it.
    fn skip_to(&mut self, after: Position) {
        // A hub without a history misses nothing that its subscribers know of, if others have no more.
        let knows_more =
            matches!(&self.phase, Phase::Fetching(fetching) if fetching.later == Some(after));
        if self.history.last() > Position::ZERO || !knows_more {
            self.counters.holes += 1;
        }
        // What was sent may be in what is skipped: nobody can look for it.
        self.publisher.forsake(&super::in_doubt());
        self.cut(Cut::All(after));
    }
}

/// Returns the updates of a page, if they follow `own` without a hole.
fn in_order(own: Position, entries: &[Entry]) -> Result<VecDeque<OrderedUpdate>, String> {
    let mut next = own.next();
    let mut updates = VecDeque::with_capacity(entries.len());
    for entry in entries {
        if entry.position != next {
            return Err(format!("it leaves out position {next}"));
        }
        next = next.next();
        updates.push_back(ordered(entry).map_err(|error| error.to_string())?);
    }
    Ok(updates)
}

/// What readiness says meanwhile.
const REASON: &str =
    "it was away for longer than the engine keeps updates, and fetches them from another hub";
/// How long another hub may take for a page. Whoever asks it over sockets has a shorter bound.
const PAGE_WITHIN: Duration = Duration::from_secs(15);
/// How often the living hubs are asked, one after the other, before the hub does without.
const ROUNDS_MAX: u32 = 4;
/// The pause after a round: hubs that start together, or whose engine was away, have their leases by
/// the last one.
const PAUSE: Duration = Duration::from_secs(1);
