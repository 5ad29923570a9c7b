//! The leases of a member: its own, by which others know that it lives; those with a name, which
//! one hub of the cluster holds; and the claim of a hub that has died.
//!
//! ```text
//! own ─▶ each name ─▶ list ─▶ claims ─▶ (a pause) ─▶ own …
//!  └─ claimed by another: as another start from here on
//! ```
//!
//! Leases run by the engine's clock. What a member believes to hold, it believes by its own clock
//! for shorter than that: counted from before it asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::request::Request;
use super::status::Membership;
use super::{Member, Phase};
use crate::Epoch;
use crate::engine::{
    BootId, Claimed, Lease, LeaseName, Leased, NOTE_BYTES_MAX, NodeLease, Note, Path, Sender,
};
use crate::record::{Difference, Needed, Record};
use crate::roster::{CLAIMED_MAX, Holder, Named, Peer, Roster};

/// See the module.
pub(super) struct Leases {
    membership: Membership,
    record: Arc<Record>,
    encoded: Arc<[u8]>,
    step: Step,
    /// When the next round begins.
    pub(super) due: Duration,
    /// When the last round began.
    begun: Duration,
    /// When the call that is on its way was sent.
    sent: Duration,
    /// Whether the engine has the record.
    recorded: bool,
    /// The named leases that are held, and until when that may be believed.
    held: BTreeMap<Arc<str>, Duration>,
    /// What this hub leaves under names that it holds.
    notes: BTreeMap<Arc<str>, Arc<[u8]>>,
    /// Since when leases that lapsed have been seen like this.
    lapsed: BTreeMap<Sender, Duration>,
    /// Lapsed leases to claim in this round.
    claims: VecDeque<Sender>,
    /// What is shown.
    roster: Arc<Roster>,
    /// In what living hubs differ from this one.
    differences: Vec<(Sender, Difference)>,
    /// Whether the settings fitted once, after which a difference is only reported.
    fitted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Resting,
    Own,
    Named(usize),
    List,
    Claim(Sender),
}

/// Whether a hub takes part in what one hub of the cluster does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Names,
    /// It lives, and has not got everything that it needs for that.
    Nothing,
}

impl Leases {
    pub(super) fn new(membership: Membership, me: Sender, secret: Epoch, now: Duration) -> Self {
        let address = membership.address.clone();
        let record = Record::new(address, &membership.settings, secret);
        Self {
            encoded: record.encode(),
            record: Arc::new(record),
            roster: Arc::new(roster(me, &membership)),
            membership,
            step: Step::Resting,
            due: now,
            begun: now,
            sent: now,
            recorded: false,
            held: BTreeMap::new(),
            notes: BTreeMap::new(),
            lapsed: BTreeMap::new(),
            claims: VecDeque::new(),
            differences: Vec::new(),
            fitted: false,
        }
    }

    pub(super) fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    pub(super) fn differences(&self) -> &[(Sender, Difference)] {
        &self.differences
    }

    /// Has the other hubs looked at soon.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.due = now;
    }

    /// The connections are closed: the round begins anew, and the engine may be another one.
    pub(super) fn on_reset(&mut self) {
        self.step = Step::Resting;
        self.recorded = false;
        self.claims.clear();
    }

    /// Returns when something that is held is not believed any more.
    pub(super) fn expiry(&self) -> Option<Duration> {
        self.held.values().min().copied()
    }

    /// Gives up what was not renewed in time.
    pub(super) fn expire(&mut self, now: Duration) {
        let lapsed = self.held.iter().filter(|(_, until)| **until <= now);
        let lapsed: Vec<Arc<str>> = lapsed.map(|(name, _)| Arc::clone(name)).collect();
        for name in lapsed {
            self.set_holder(&name, Holder::Unknown, None);
        }
    }

    /// Changes what is shown.
    fn show(&mut self, change: impl FnOnce(&mut Roster)) {
        change(Arc::make_mut(&mut self.roster));
    }

    /// Takes note of who holds a name, and of what was left there if there is something.
    fn set_holder(&mut self, name: &Arc<str>, holder: Holder, note: Note) {
        if holder != Holder::Here {
            self.held.remove(name);
            self.notes.remove(name);
        }
        self.show(|roster| {
            let named = roster.named.iter_mut().find(|named| named.name == *name);
            if let Some(named) = named {
                named.holder = holder;
                // An engine that lost its notes does not make what was known unknown.
                named.note = note.or_else(|| named.note.take());
            }
        });
    }

    /// Keeps what this hub leaves under a name that it holds, for the next renewal, which comes soon.
    fn leave(&mut self, name: Arc<str>, note: Arc<[u8]>) {
        let bytes = note.len();
        if bytes > NOTE_BYTES_MAX {
            return tracing::warn!(lease = %name, bytes, "a note is too long for the other hubs");
        }
        if self.held.contains_key(&name) {
            self.notes.insert(name, note);
            self.due = self.due.min(self.begun + NOTES_EVERY);
        }
    }

    /// Returns what gives up all that is held.
    fn releases(&self, me: Sender) -> Vec<Lease> {
        let release = |name: &Arc<str>| Lease {
            name: LeaseName::Named(Arc::clone(name)),
            holder: me,
            ttl_ms: 0,
            record: self.notes.get(name).cloned(),
        };
        self.held.keys().map(release).collect()
    }

    /// Returns whether every hub that was seen, also one whose lease has lapsed, reads envelopes with
    /// traces.
    pub(super) fn read_traces(&self) -> bool {
        let reads = |peer: &Peer| peer.record.as_ref().is_some_and(|one| one.reads_traces());
        self.roster.looks > 0 && self.roster.peers.iter().all(reads)
    }

    /// Returns why this hub must not serve yet: it has not seen the others, or differs from one.
    pub(super) fn unfit(&self) -> Option<Arc<str>> {
        if self.fitted {
            return None;
        }
        if self.roster.looks == 0 {
            return Some("it has not seen the other hubs yet".into());
        }
        let needed = |(_, difference): &&(Sender, Difference)| difference.needed == Needed::Equal;
        let (peer, difference) = self.differences.iter().find(needed)?;
        let at = self.roster.peers.iter().find(|other| other.run == *peer);
        let at = at.and_then(|peer| peer.record.as_ref()?.address.clone());
        let at = at.map_or_else(String::new, |address| format!(" at {address}"));
        let (key, group, node) = (&difference.key, &difference.group, peer.node);
        let reason = format!(
            "its setting {key} differs from that of hub {node}{at}: hubs of a cluster need the \
             same settings of the group {group}"
        );
        Some(reason.into())
    }

    fn lease(&self, name: LeaseName, holder: Sender) -> Request {
        let record = match &name {
            LeaseName::Node => (!self.recorded).then(|| Arc::clone(&self.encoded)),
            LeaseName::Named(name) => self.notes.get(name).cloned(),
        };
        Request::Lease(Lease {
            name,
            holder,
            ttl_ms: u64::try_from(self.membership.lease.as_millis()).unwrap_or(u64::MAX),
            record,
        })
    }

    /// Returns the call of the next step.
    fn next(&mut self, me: Sender, now: Duration, takes: Takes) -> Request {
        self.sent = now;
        if self.step == Step::Resting {
            self.step = Step::Own;
            self.begun = now;
        }
        match self.step {
            Step::Resting | Step::Own => self.lease(LeaseName::Node, me),
            Step::Named(index) => match self.membership.names.get(index) {
                Some(name) if takes == Takes::Names => {
                    self.lease(LeaseName::Named(Arc::clone(name)), me)
                }
                Some(_) | None => {
                    self.step = Step::List;
                    Request::Leases
                }
            },
            Step::List => Request::Leases,
            Step::Claim(dead) => Request::Claim { dead, by: me },
        }
    }

    fn rest(&mut self, now: Duration) {
        self.step = Step::Resting;
        self.due = now + self.membership.lease / RENEWALS;
    }

    fn next_claim(&mut self, now: Duration) {
        match self.claims.pop_front() {
            Some(dead) => self.step = Step::Claim(dead),
            None => self.rest(now),
        }
    }

    fn on_listed(&mut self, leases: Vec<NodeLease>, me: Sender, now: Duration) {
        let own = leases.iter().find(|lease| lease.holder == me);
        self.recorded = own.is_some_and(|own| *own.record == *self.encoded);
        let others = leases.into_iter().filter(|lease| lease.holder != me);
        let mut peers: Vec<Peer> = others.map(|lease| self.peer(lease)).collect();
        peers.sort_by_key(|peer| peer.run);
        let since = &self.lapsed;
        self.lapsed = peers
            .iter()
            .filter(|peer| !peer.alive)
            .map(|peer| (peer.run, since.get(&peer.run).copied().unwrap_or(now)))
            .collect();
        self.differences = self.compare(&peers);
        self.show(|roster| {
            roster.peers = peers;
            roster.looks += 1;
        });
        self.fitted |= self.unfit().is_none();
        // After the engine was away all leases have lapsed, those of the living too. They renew soon.
        let patience = self.membership.lease / RENEWALS;
        let claims = self.membership.claims_with.as_deref();
        if claims.is_some_and(|name| self.roster.holds(name)) {
            let lapsed = self.lapsed.iter();
            let long = lapsed.filter(|(_, since)| now.saturating_sub(**since) >= patience);
            self.claims = long.map(|(run, _)| *run).collect();
        }
        self.next_claim(now);
    }

    fn peer(&self, lease: NodeLease) -> Peer {
        let mut known = self.roster.peers.iter();
        let known = known.find(|peer| peer.run == lease.holder);
        let known = known.and_then(|peer| peer.record.clone());
        // Records seldom change.
        let record = match known {
            Some(record) if *record.encode() == *lease.record => Some(record),
            _ => Record::decode(&lease.record).map(Arc::new),
        };
        Peer {
            run: lease.holder,
            alive: lease.alive,
            record,
        }
    }

    fn compare(&self, peers: &[Peer]) -> Vec<(Sender, Difference)> {
        let mut differences = Vec::new();
        for peer in peers.iter().filter(|peer| peer.alive) {
            let theirs = peer.record.iter();
            let found = theirs.flat_map(|theirs| self.record.differences(theirs));
            differences.extend(found.map(|difference| (peer.run, difference)));
        }
        differences
    }
}

impl Member {
    /// Sends the next call about leases, if it is time.
    pub(super) fn keep_leases(&mut self) {
        let begins = self.leases.step != Step::Resting || self.leases.due <= self.now;
        if begins && self.calls.of(Path::Control).is_none() {
            let takes = match self.phase {
                Phase::Following => Takes::Names,
                Phase::Waiting { .. }
                | Phase::Looking
                | Phase::Comparing(_)
                | Phase::Fetching(_)
                | Phase::Healing { .. }
                | Phase::Repairing
                | Phase::Forked(_) => Takes::Nothing,
            };
            let request = self.leases.next(self.options.me, self.now, takes);
            self.call(request);
        }
    }

    pub(super) fn on_leased(&mut self, leased: Leased) {
        let until = self.leases.sent + self.leases.membership.lease;
        match (self.leases.step, leased) {
            (Step::Own, Leased::Held(_)) => {
                self.leases.recorded = true;
                self.leases.step = Step::Named(0);
            }
            (Step::Own, Leased::HeldBy(by, _)) => self.on_claimed_by(by),
            (Step::Named(index), leased) => {
                if let Some(name) = self.leases.membership.names.get(index).cloned() {
                    let (holder, note) = match leased {
                        Leased::Held(note) => {
                            self.leases.held.insert(Arc::clone(&name), until);
                            (Holder::Here, note)
                        }
                        Leased::HeldBy(by, note) => (Holder::Another(by), note),
                    };
                    self.leases.set_holder(&name, holder, note);
                }
                self.leases.step = Step::Named(index + 1);
            }
            // The round began anew meanwhile.
            (Step::Resting | Step::List | Step::Claim(_), _) => {}
        }
    }

    /// Another hub took this one for dead. It goes on as another start, so that nothing of the one
    /// that was claimed counts as its own.
    fn on_claimed_by(&mut self, by: Sender) {
        self.counters.claimed_by += 1;
        let next = self.options.me.boot.get().wrapping_add(1);
        self.options.me.boot = BootId::new(next);
        let me = self.options.me;
        self.publisher.on_start(me);
        self.leases.recorded = false;
        for name in Arc::clone(&self.leases.membership.names).iter() {
            self.leases.set_holder(name, Holder::Unknown, None);
        }
        self.leases.show(|roster| roster.me = me);
        tracing::warn!(
            by = %by.node,
            "another hub took this one for dead, because its lease had lapsed: it goes on as a \
             hub that has just started"
        );
    }

    /// Leaves something to the next holder of a name. Nothing happens if this hub does not hold it.
    pub(super) fn on_note(&mut self, name: Arc<str>, note: Arc<[u8]>) {
        self.leases.leave(name, note);
    }

    /// Returns the calls that give up what this hub holds, at once instead of when it lapses.
    #[must_use]
    pub fn releases(&self) -> Vec<Lease> {
        self.leases.releases(self.options.me)
    }

    pub(super) fn on_leases(&mut self, leases: Vec<NodeLease>) {
        if self.leases.step == Step::List {
            self.leases.on_listed(leases, self.options.me, self.now);
        }
    }

    pub(super) fn on_claimed(&mut self, claimed: &Claimed) {
        let Step::Claim(dead) = self.leases.step else {
            return;
        };
        match claimed {
            Claimed::Won(_) => {
                self.counters.claims += 1;
                self.leases.show(|roster| {
                    let excess = (roster.claimed.len() + 1).saturating_sub(CLAIMED_MAX);
                    roster.claimed.drain(..excess);
                    roster.claimed.push(dead);
                    roster.peers.retain(|peer| peer.run != dead);
                });
            }
            Claimed::Gone => self
                .leases
                .show(|roster| roster.peers.retain(|peer| peer.run != dead)),
            Claimed::Alive => {}
        }
        self.leases.lapsed.remove(&dead);
        self.leases.next_claim(self.now);
    }

    /// Returns when there is something to do about leases.
    pub(super) fn leases_due(&self) -> Option<Duration> {
        let resting = self.leases.step == Step::Resting;
        let works = matches!(self.phase, Phase::Following | Phase::Fetching(_));
        let round = works && resting;
        let round = round.then_some(self.leases.due);
        round.into_iter().chain(self.leases.expiry()).min()
    }
}

fn roster(me: Sender, membership: &Membership) -> Roster {
    let unknown = |name: &Arc<str>| Named {
        name: Arc::clone(name),
        holder: Holder::Unknown,
        note: None,
    };
    Roster {
        named: membership.names.iter().map(unknown).collect(),
        ..Roster::unknown(me, membership.lease)
    }
}

/// How often a lease is renewed while it would last.
const RENEWALS: u32 = 3;
/// How soon after a round the next one may begin because of a note.
const NOTES_EVERY: Duration = Duration::from_millis(500);
