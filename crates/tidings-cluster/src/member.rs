//! A hub's part in a cluster, without its thread and its connections: it publishes into the line of
//! an [`Engine`](crate::engine::Engine), follows that line into the hub's history, and mends what
//! the engine loses.
//!
//! ```text
//!            ┌────────────── anything unexpected ◀──────────────┐
//!            ▼                                                  │
//! Waiting ─▶ Looking ─▶ Comparing ─┬─▶ Healing ──▶ Looking      │
//! (a pause)  (state)    (prints)   ├─▶ Fetching ─▶ Looking      │
//!                                  ├─▶ Forked ───▶ Looking      │
//!                                  └─▶ Following ───────────────┘
//! ```
//!
//! Every doubt is settled in one place: the member looks where the engine's line ends and compares
//! prints with its own history, and only then follows and publishes. [`Member`] knows no clock,
//! thread or socket: it is told the time and what happened ([`Input`]), and says what is to be done
//! ([`Output`]). A driver runs it over a real engine, the simulator over a model.

mod appending;
pub mod catching_up;
mod fetching;
mod follower;
mod forked;
mod leases;
mod looking;
pub mod note;
mod publisher;
pub mod request;
mod status;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidings_core::{IdSeal, IdSource, Position, Print, PrintKey, Update};

use crate::engine::{ByPath, EngineError, EpochId, LineEnd, Path, Sender, State};
use crate::record::Difference;
use crate::roster::Roster;
use crate::sabotage::{Rule, skips};
use crate::{Cause, Epoch, History, RelayError};

use catching_up::CatchUps;
use fetching::Fetching;
use follower::Follower;
use forked::Forked;
use leases::Leases;
use looking::Comparing;
use publisher::Publisher;
use request::{Input, Output, Publish, Reply, Request};

pub use status::{ClusterFigures, Counters, Membership, Options, Standing, Status};

/// See the module.
pub struct Member {
    options: Options,
    history: Arc<dyn History>,
    secret: Epoch,
    keys: PrintKey,
    seal: IdSeal,
    epoch: EpochId,
    now: Duration,
    phase: Phase,
    calls: ByPath<Option<Duration>>,
    publisher: Publisher,
    follower: Follower,
    /// What is to be known of the engine's line before anything is sent.
    gate: Gate,
    probe: Probe,
    catch_ups: CatchUps,
    leases: Leases,
    /// A look at the line that led to another one, how often in a row.
    looks: u32,
    reading: Reading,
    /// The number of the last question to another hub.
    ticket: u64,
    /// Whether a cut is on its way.
    cutting: bool,
    /// Why it cannot order, as one line.
    reason: Option<Arc<str>>,
    /// The bound of the engine that the log has last, by its name.
    bound_told: Option<(&'static str, u64)>,
    counters: Counters,
    outputs: VecDeque<Output>,
}

enum Phase {
    Waiting {
        until: Duration,
    },
    Looking,
    Comparing(Comparing),
    /// Another hub gives what the engine does not keep any more.
    Fetching(Fetching),
    /// The engine gets its line, or the end of it, back.
    Healing {
        expected: Option<(Position, Option<Print>)>,
    },
    /// The engine moves its end to what is there.
    Repairing,
    Forked(Forked),
    Following,
}

/// When publishing begins after a look.
#[derive(Clone, Copy)]
struct Gate {
    /// The history has everything up to here: what was sent before the look is there or lost.
    through: Position,
    /// Whether that was dealt with.
    passed: bool,
    /// Not before this time: other hubs may have more to put back.
    from: Duration,
    /// The highest position that the engine told of since the look.
    known: Position,
    /// Whether the print was compared on this connection.
    compared: bool,
    /// Whether the line that is followed is known to be the hub's own, or the hub has nothing of
    /// another.
    vouched: bool,
}

/// What the next probe is compared with.
#[derive(Clone, Copy)]
struct Probe {
    at: Duration,
    /// What the history had when it was sent.
    sent_at: Option<Position>,
    /// Whether it was sent because somebody waits, and so soon after the one before that a reader
    /// that is behind need not be stale.
    is_early: bool,
    /// Where the line ended at the one before.
    before: Option<Position>,
}

/// What a read of the history is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Nothing,
    /// The phase.
    Phase,
    /// Those who wait for something that is stored.
    Known,
    /// Nothing any more: the answer is dropped.
    Stale,
}

impl Member {
    /// Makes a member of the line with `secret`, whose epoch was `epoch` when it was read.
    #[must_use]
    pub fn new(
        options: Options,
        history: Arc<dyn History>,
        secret: Epoch,
        epoch: EpochId,
        now: Duration,
    ) -> Self {
        let keys = PrintKey::new(secret.secret());
        let leases = Leases::new(options.membership.clone(), options.me, secret, now);
        Self {
            history,
            secret,
            seal: IdSeal::new(secret.secret()),
            epoch,
            now,
            phase: Phase::Waiting { until: now },
            calls: ByPath::default(),
            publisher: Publisher::new(options.me, keys.clone()),
            keys,
            options,
            leases,
            follower: Follower::default(),
            gate: Gate {
                through: Position::ZERO,
                passed: false,
                from: now,
                known: Position::ZERO,
                compared: false,
                vouched: true,
            },
            probe: Probe {
                at: now + PROBE_EVERY,
                sent_at: None,
                is_early: false,
                before: None,
            },
            catch_ups: CatchUps::default(),
            looks: 0,
            reading: Reading::Nothing,
            ticket: 0,
            cutting: false,
            reason: Some("it has not reached its engine yet".into()),
            bound_told: None,
            counters: Counters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes note of what happened by `now`, and decides what is to be done.
    pub fn on_input(&mut self, now: Duration, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Publish(publishes) => self.on_publish(publishes),
            Input::CatchUp(waiting) => {
                self.catch_ups
                    .push(waiting, self.now + self.options.wait_max);
            }
            Input::Note(name, note) => self.on_note(name, note),
            Input::Reply(path, result) => self.on_reply(path, result),
            Input::Stored(result, rest) => self.on_stored(result, rest),
            Input::Read(result) => self.on_read(result),
            Input::Fetched(ticket, result) => self.on_fetched(ticket, result),
            Input::Cut(result) => {
                self.cutting = false;
                if result.is_ok() {
                    self.publisher.on_cut(&in_doubt());
                    self.look();
                } else {
                    self.look_later("the history cannot leave its line".into());
                }
            }
        }
        self.advance();
    }

    /// Does what is due by `now`.
    pub fn on_time(&mut self, now: Duration) {
        self.now = self.now.max(now);
        for path in Path::ALL {
            if self.calls.of(path).is_some_and(|due| due <= self.now) {
                let cause: Cause = Arc::new(NoAnswer);
                self.outputs.push_back(Output::Reset(path));
                self.on_reply(path, Err(EngineError::InDoubt { cause }));
            }
        }
        let away = RelayError::Away {
            reason: self.reason.clone(),
        };
        let expired = self.publisher.expire(self.now, &away, &in_doubt());
        self.counters.expired += expired as u64;
        self.leases.expire(self.now);
        self.catch_ups.expire(self.now);
        self.advance();
    }

    /// Returns the next thing to be done.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns when [`on_time`](Self::on_time) is due at the latest.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let calls = Path::ALL
            .into_iter()
            .filter_map(|path| *self.calls.of(path));
        let phase = match &self.phase {
            Phase::Waiting { until } => Some(*until),
            Phase::Following => Some(self.probe.at),
            Phase::Fetching(fetching) => fetching.due(),
            Phase::Looking
            | Phase::Comparing(_)
            | Phase::Healing { .. }
            | Phase::Repairing
            | Phase::Forked(_) => None,
        };
        let gate = (self.gate.from > self.now).then_some(self.gate.from);
        calls
            .chain(phase)
            .chain(gate)
            .chain(self.follower.retry_at)
            .chain(self.publisher.deadline())
            .chain(self.leases_due())
            .chain(self.catch_ups.due())
            .min()
    }

    /// Answers everybody who waits: nothing more is sent.
    pub fn close(&mut self) {
        self.publisher.close(&RelayError::Closed, &in_doubt());
        self.catch_ups.expire(Duration::MAX);
    }

    /// Returns what it counts.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns what it is doing.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match &self.phase {
            Phase::Waiting { .. } => Standing::Waiting,
            Phase::Looking | Phase::Comparing(_) => Standing::Looking,
            Phase::Fetching(_) => Standing::Fetching,
            Phase::Healing { .. } | Phase::Repairing => Standing::Healing,
            Phase::Forked(_) => Standing::Forked,
            Phase::Following if self.gate.passed => Standing::Following,
            Phase::Following => Standing::CatchingUp,
        }
    }

    /// Returns why it cannot order updates, if it cannot.
    #[must_use]
    pub fn reason(&self) -> Option<Arc<str>> {
        self.reason.clone()
    }

    /// Returns who is in the cluster, as far as this hub knows.
    #[must_use]
    pub fn roster(&self) -> &Arc<Roster> {
        self.leases.roster()
    }

    /// Returns the settings in which living hubs differ from this one.
    #[must_use]
    pub fn differences(&self) -> &[(Sender, Difference)] {
        self.leases.differences()
    }

    /// Returns how many publishes wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.publisher.waiting().0
    }

    /// Returns what it shows.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            standing: self.standing(),
            reason: self.reason().or_else(|| self.leases.unfit()),
            waiting: self.waiting(),
            behind: self.behind(),
            counters: self.counters,
        }
    }

    /// Returns how many positions the history is behind the engine, as far as that is known.
    #[must_use]
    pub fn behind(&self) -> u64 {
        let probed = self.probe.before.unwrap_or(Position::ZERO);
        let known = self.gate.known.max(self.follower.after).max(probed);
        known.get().saturating_sub(self.history.last().get())
    }

    /// Takes all of them or none: they must not overtake each other.
    fn on_publish(&mut self, publishes: Vec<Publish>) {
        let (count, bytes) = self.publisher.waiting();
        let fits = count < self.options.waiting_max && bytes < self.options.waiting_bytes_max;
        // A hub whose disk fails takes nothing that it could not keep.
        let taken = self.history.takes_updates();
        let taken = taken.and_then(|()| fits.then_some(()).ok_or(RelayError::Busy));
        for publish in publishes {
            match &taken {
                Err(error) => (publish.done)(Err(error.clone())),
                Ok(()) => self
                    .publisher
                    .push(publish, self.now + self.options.wait_max),
            }
        }
    }

    fn on_reply(&mut self, path: Path, result: Result<Reply, EngineError>) {
        *self.calls.of_mut(path) = None;
        let reply = match result {
            Ok(reply) => reply,
            Err(error) => {
                self.counters.faults += 1;
                if path == Path::Publish && matches!(error, EngineError::Unreachable { .. }) {
                    self.publisher.on_unsent();
                }
                return self.look_later(error.line().into());
            }
        };
        match (path, reply) {
            (Path::Tail, Reply::Tailed(tailed)) => self.on_tailed(tailed),
            (Path::Control, Reply::State(state)) => {
                if matches!(self.phase, Phase::Following) {
                    return self.on_probed(state);
                }
                self.on_state(state);
            }
            (Path::Control, Reply::Tailed(tailed)) => self.on_range(tailed),
            (Path::Control, Reply::Leased(leased)) => self.on_leased(leased),
            (Path::Control, Reply::Leases(leases)) => self.on_leases(leases),
            (Path::Control, Reply::Claimed(claimed)) => self.on_claimed(&claimed),
            (Path::Publish, Reply::Appended(appended)) => {
                if matches!(self.phase, Phase::Forked(_)) {
                    return self.on_republished(&appended);
                }
                self.on_appended(appended);
            }
            (Path::Publish, Reply::Changed(changed)) => self.on_changed(changed),
            (Path::Publish, Reply::Init(_)) => self.look(),
            (_, _) => self.look_later("the engine answered something else than was asked".into()),
        }
    }

    /// Has the end of the line moved to what is there.
    fn repair(&mut self, last: Position) {
        self.phase = Phase::Repairing;
        let epoch = self.epoch;
        self.call(Request::Repair(LineEnd { epoch, last }));
    }

    /// Where the engine's line ends, seen past the connections that are in use.
    fn on_probed(&mut self, state: State) {
        self.counters.probes += 1;
        let (own, print) = self.history.tip();
        let had = self.probe.sent_at.take().unwrap_or(own);
        let State::Line(line) = state else {
            return self.look();
        };
        if line.epoch != self.epoch || line.last < had {
            self.counters.rewinds += u64::from(line.last < had);
            return self.look();
        }
        if line.last == own && print.is_some() && line.print != print {
            return self.look();
        }
        if !self.probe.is_early {
            self.publisher.retry_stranded();
            let moved = self.follower.takes_in() || self.history.takes_updates().is_err();
            let stale = self.probe.before.is_some_and(|before| own < before);
            self.probe.before = Some(line.last);
            if stale && !moved {
                self.counters.stale += 1;
                return self.look();
            }
        }
        self.catch_ups.on_line(line.last);
        self.looks = 0;
    }

    /// Goes on wherever something can be done now.
    fn advance(&mut self) {
        if let Phase::Waiting { until } = self.phase
            && until <= self.now
            && !self.follower.is_storing()
            && !self.cutting
            && self.reading == Reading::Nothing
        {
            self.phase = Phase::Looking;
            self.call(Request::State);
        }
        if matches!(self.phase, Phase::Fetching(_)) {
            return self.go_on_fetching();
        }
        if !matches!(self.phase, Phase::Following) {
            return;
        }
        self.feed();
        self.pass_gate();
        self.pump();
        self.answer_known();
        self.catch_ups.answer(self.history.last());
        // Before the question: whoever waits may ask again and again, and a lease must not lapse by that.
        self.keep_leases();
        let is_due = self.probe.at <= self.now;
        if self.calls.of(Path::Control).is_none() && (is_due || self.catch_ups.want_question()) {
            self.probe.sent_at = Some(self.history.last());
            self.probe.is_early = !is_due;
            if is_due {
                self.probe.at = self.now + PROBE_EVERY;
            }
            self.catch_ups.on_asked();
            self.call(Request::State);
        }
    }

    /// Deals with what was sent before the look, once the history has what the engine had then.
    fn pass_gate(&mut self) {
        let there = self.history.last() >= self.gate.through && !self.follower.is_storing();
        if !self.gate.passed && there {
            self.gate.passed = true;
            self.reason = None;
            self.publisher.on_caught_up();
        }
    }

    /// Reads what somebody waits for that is stored already.
    fn answer_known(&mut self) {
        if self.reading != Reading::Nothing {
            return;
        }
        if let Some(position) = self.publisher.first_known(self.history.last()) {
            self.read(Reading::Known, position, position);
        }
    }

    fn on_read(&mut self, result: Result<crate::Stretch, RelayError>) {
        match std::mem::replace(&mut self.reading, Reading::Nothing) {
            Reading::Nothing | Reading::Stale => {}
            Reading::Known => self.on_known(result.ok()),
            Reading::Phase => match result {
                Ok(stretch) => self.on_stretch(stretch),
                Err(_) => self.look_later("the history cannot be read".into()),
            },
        }
    }

    fn on_known(&mut self, stretch: Option<crate::Stretch>) {
        let last = self.history.last();
        let Some((_, waiters)) = self.publisher.take_known(last) else {
            return;
        };
        let found = stretch.and_then(|stretch| stretch.updates.into_iter().next());
        let update = found.and_then(|found| {
            let print = found.print?;
            let (id, id_source) = match found.draft.id {
                Some(id) => (id, IdSource::Publisher),
                None => (self.seal.seal(found.position, Some(print)), IdSource::Hub),
            };
            Some(Arc::new(Update {
                trace: found.draft.trace,
                position: found.position,
                print: Some(print),
                id,
                id_source,
                published_ms: found.published_ms,
                topics: found.draft.topics,
                data: found.draft.data,
                visibility: found.draft.visibility,
                event_type: found.draft.event_type,
                retry_ms: found.draft.retry_ms,
                presence: found.draft.presence,
                note: None,
            }))
        });
        for waiter in waiters {
            // Retention was faster: it was stored, and its id is gone.
            (waiter.done)(update.clone().ok_or_else(in_doubt));
        }
    }

    fn read(&mut self, reading: Reading, from: Position, to: Position) {
        self.reading = reading;
        self.outputs.push_back(Output::Read {
            from,
            to,
            bytes_max: crate::engine::BATCH_BYTES_MAX,
        });
    }

    fn call(&mut self, request: Request) {
        let path = request.path();
        let answer_within = match path {
            Path::Publish | Path::Control => ANSWER_WITHIN,
            Path::Tail => TAIL_WITHIN,
        };
        *self.calls.of_mut(path) = Some(self.now + answer_within);
        self.outputs.push_back(Output::Call(request));
    }

    /// Looks where the line ends and compares: at once, or later if that was just done.
    fn look(&mut self) {
        let pause = match self.looks {
            0 => Duration::ZERO,
            _ if skips(Rule::LookAgain) => Duration::MAX.saturating_sub(self.now),
            looks => PAUSE_MIN.saturating_mul(1 << looks.min(16)).min(PAUSE_MAX),
        };
        self.looks += 1;
        for path in Path::ALL {
            *self.calls.of_mut(path) = None;
            self.outputs.push_back(Output::Reset(path));
        }
        self.publisher.on_reset();
        if !self.cutting {
            self.publisher.disown();
        }
        self.follower.on_reset();
        self.leases.on_reset();
        self.catch_ups.on_reset();
        if self.reading != Reading::Nothing {
            self.reading = Reading::Stale;
        }
        self.gate.passed = false;
        self.phase = Phase::Waiting {
            until: self.now + pause,
        };
    }

    /// Looks again after a pause, and says until then why nothing is ordered.
    fn look_later(&mut self, reason: Arc<str>) {
        self.reason = Some(reason);
        self.looks = self.looks.max(1);
        self.look();
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}

/// What a publisher is answered whose update may have been taken.
fn in_doubt() -> RelayError {
    RelayError::InDoubt
}

#[derive(Debug, thiserror::Error)]
#[error("no answer came in time")]
struct NoAnswer;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// How long a tail may wait: longer than any engine does.
const TAIL_WITHIN: Duration = Duration::from_secs(15);
/// How often the engine is asked past the connections in use.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// Pauses between looks that lead nowhere.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long a hub that put back a tail, or found a line that was, publishes nothing: another may
/// have more of it.
const HEAL_PAUSE: Duration = Duration::from_millis(300);
