//! A model of an engine: a primary, a replica that lags, and what happens to them. It does what
//! `tidings_cluster::engine` asks for, and nothing on its own.

use std::collections::{BTreeMap, HashMap};

use fastrand::Rng;
use tidings_cluster::engine::{
    Again, Append, Appended, Changed, EngineError, Entry, EpochId, Init, Item, Key, Lease,
    LeaseName, Line, LineEnd, Note, Place, Proposal, Refusal, Restore, Sender, State, Tailed,
    TooLarge,
};
use tidings_cluster::member::request::{Reply, Request};
use tidings_cluster::{Epoch, link};
use tidings_core::position::Position;
use tidings_core::print::Print;

use super::leases::Leases;

/// A server, by its place in the order of their making.
pub type ServerId = usize;

/// The engine.
#[derive(Debug)]
pub struct Model {
    servers: Vec<Server>,
    primary: ServerId,
    replica: (Option<Log>, Leases),
    now_ms: u64,
    away: bool,
    /// Entries of the window; nothing bounds it without.
    window_max: Option<u64>,
    /// What the window does not have any more.
    trimmed: Vec<Entry>,
    /// Whether the next append dies midway.
    pub dies: bool,
    /// Bytes of an item that it takes; nothing bounds them without.
    pub item_bytes_max: Option<usize>,
}

#[derive(Debug)]
struct Server {
    log: Option<Log>,
    leases: Leases,
    /// Whether it takes calls.
    alive: bool,
}

#[derive(Debug, Clone)]
struct Log {
    epoch: EpochId,
    secret: Epoch,
    entries: BTreeMap<u64, Entry>,
    last: u64,
    print: Option<Print>,
    /// The time of the last entry.
    last_ms: u64,
    keys: HashMap<Key, Position>,
    remembered: HashMap<Sender, BTreeMap<u64, Vec<Place>>>,
}

/// The last position: every number up to it is exact as a double, which some engines count in.
const POSITION_MAX: u64 = (1 << 53) - 1;

/// Why nothing is answered.
#[derive(Debug, thiserror::Error)]
#[error("the model's fault")]
struct Fault;

impl Model {
    /// Makes an engine that has nothing.
    pub fn new(window_max: Option<u64>) -> Self {
        let server = Server {
            log: None,
            leases: Leases::default(),
            alive: true,
        };
        Self {
            servers: vec![server],
            primary: 0,
            replica: (None, Leases::default()),
            now_ms: 0,
            away: false,
            window_max,
            trimmed: Vec::new(),
            dies: false,
            item_bytes_max: None,
        }
    }

    /// Returns the server that takes appends.
    pub fn primary(&self) -> ServerId {
        self.primary
    }

    /// Sets the clock, which may go back.
    pub fn set_clock(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Lets nobody be answered any more, or everybody again.
    pub fn set_away(&mut self, away: bool) {
        self.away = away;
    }

    /// Brings the replica up to the primary.
    pub fn replicate(&mut self) {
        if let Some(primary) = self.servers.get(self.primary) {
            self.replica = (primary.log.clone(), primary.leases.clone());
        }
    }

    /// Makes the replica the primary. The old one goes on for those who are connected to it, unless
    /// it died.
    pub fn fail_over(&mut self, old_lives: bool) {
        if let Some(old) = self.servers.get_mut(self.primary) {
            old.alive = old_lives;
        }
        let (log, leases) = self.replica.clone();
        self.servers.push(Server {
            log,
            leases,
            alive: true,
        });
        self.primary = self.servers.len() - 1;
    }

    /// Makes the first server the primary again, with what it had.
    pub fn fail_back(&mut self) {
        self.primary = 0;
        if let Some(first) = self.servers.first_mut() {
            first.alive = true;
        }
        self.demote();
    }

    /// Ends all servers but the primary.
    pub fn demote(&mut self) {
        let primary = self.primary;
        for (id, server) in self.servers.iter_mut().enumerate() {
            server.alive &= id == primary;
        }
    }

    /// Lets `by` hold a name for so long, and leave something there.
    pub fn hold(&mut self, name: &str, by: Sender, ttl_ms: u64, note: Note) {
        let lease = Lease {
            name: LeaseName::Named(name.into()),
            holder: by,
            ttl_ms,
            record: note,
        };
        let now_ms = self.now_ms;
        if let Some(primary) = self.servers.get_mut(self.primary) {
            primary.leases.take(&lease, now_ms);
        }
    }

    /// Lets `by` claim a hub, whether its lease runs or not.
    pub fn claim(&mut self, dead: Sender, by: Sender) {
        if let Some(primary) = self.servers.get_mut(self.primary) {
            primary.leases.claim(dead, by, u64::MAX);
        }
    }

    /// Loses everything.
    pub fn forget(&mut self) {
        if let Some(primary) = self.servers.get_mut(self.primary) {
            primary.log = None;
            primary.leases = Leases::default();
        }
        self.replica = (None, Leases::default());
    }

    /// Forgets what comes after `last`, as an older snapshot of the primary has it.
    pub fn lose_tail(&mut self, last: Position) {
        if let Some(log) = self.log() {
            log.entries.split_off(&(last.get() + 1));
            log.keys.retain(|_, position| *position <= last);
            log.remembered.clear();
            log.last = last.get();
            log.print = log.entries.get(&log.last).and_then(|entry| entry.print);
        }
    }

    /// Moves the end of the line back by some entries, which stay: an append died midway.
    pub fn end_behind(&mut self, entries: u64) {
        if let Some(log) = self.log() {
            log.last -= entries.min(log.last);
            log.print = log.entries.get(&log.last).and_then(|entry| entry.print);
        }
    }

    /// Lets the window begin at `oldest`.
    pub fn trim_before(&mut self, oldest: Position) {
        if let Some(log) = self.log() {
            log.entries = log.entries.split_off(&oldest.get());
        }
    }

    fn log(&mut self) -> Option<&mut Log> {
        self.servers.get_mut(self.primary)?.log.as_mut()
    }

    /// Returns what the window does not have any more.
    pub fn trimmed(&self) -> &[Entry] {
        &self.trimmed
    }

    /// Returns the oldest position that the primary keeps.
    pub fn oldest(&self) -> Position {
        let primary = self.servers.get(self.primary);
        let log = primary.and_then(|server| server.log.as_ref());
        log.map_or(Position::ZERO, |log| log.line().oldest)
    }

    /// Returns where the primary's line ends.
    pub fn last(&self) -> Position {
        let log = self
            .servers
            .get(self.primary)
            .and_then(|server| server.log.as_ref());
        Position::new(log.map_or(0, |log| log.last))
    }

    /// Answers a call that came to a server; nothing if it waits.
    pub fn answer(
        &mut self,
        server: ServerId,
        request: &Request,
        dice: &mut Rng,
    ) -> Option<Result<Reply, EngineError>> {
        if self.away {
            return Some(Err(unreachable_now()));
        }
        // By a topology that is looked up.
        let server = match matches!(request, Request::State) {
            true => self.primary,
            false => server,
        };
        let (now_ms, window_max) = (self.now_ms, self.window_max);
        let bytes_max = self.item_bytes_max.unwrap_or(usize::MAX);
        let dies = matches!(request, Request::Append(_)) && std::mem::take(&mut self.dies);
        let server = self.servers.get_mut(server).filter(|server| server.alive);
        let Some(Server { log, leases, .. }) = server else {
            return Some(Err(unreachable_now()));
        };
        let reply = match request {
            Request::Init(proposal) => Reply::Init(init(log, *proposal)),
            Request::State => Reply::State(state(log.as_ref())),
            Request::Append(append) => {
                let appended = match log {
                    Some(log) if dies => {
                        log.append_midway(append, now_ms, dice);
                        return Some(Err(EngineError::Refused {
                            reason: "the script died midway".into(),
                        }));
                    }
                    Some(log) => log.append(append, now_ms, bytes_max),
                    None => refused(Refusal::None, 0),
                };
                if let Some(log) = log {
                    self.trimmed.extend(log.trim(window_max));
                }
                Reply::Appended(appended)
            }
            Request::Tail { after, bytes_max } => {
                let tailed = log.as_ref().map_or(
                    Tailed::Rewound {
                        last: Position::ZERO,
                    },
                    |log| log.tail(*after, *bytes_max),
                );
                if tailed == Tailed::Entries(Vec::new()) && dice.u8(0..20) > 0 {
                    return None;
                }
                Reply::Tailed(tailed)
            }
            Request::Range {
                from,
                to,
                bytes_max,
            } => Reply::Tailed(log.as_ref().map_or(
                Tailed::Rewound {
                    last: Position::ZERO,
                },
                |log| log.range(*from, *to, *bytes_max),
            )),
            Request::Restore(request) => match restore(log, request, bytes_max) {
                Ok(changed) => Reply::Changed(changed),
                Err(error) => return Some(Err(error)),
            },
            Request::Repair(expected) => Reply::Changed(changed(log, *expected, Log::repair)),
            Request::Lease(lease) => Reply::Leased(leases.take(lease, now_ms)),
            Request::Leases => Reply::Leases(leases.list(now_ms)),
            Request::Claim { dead, by } => Reply::Claimed(leases.claim(*dead, *by, now_ms)),
            Request::Bump(expected, new) => {
                Reply::Changed(changed(log, *expected, |log| log.epoch = *new))
            }
        };
        Some(Ok(reply))
    }
}

fn unreachable_now() -> EngineError {
    EngineError::Unreachable {
        cause: std::sync::Arc::new(Fault),
    }
}

/// The connection broke after the call was sent.
pub fn in_doubt() -> EngineError {
    EngineError::InDoubt {
        cause: std::sync::Arc::new(Fault),
    }
}

fn refused(why: Refusal, last: u64) -> Appended {
    let last = Position::new(last);
    Appended::Refused { why, last }
}

fn init(log: &mut Option<Log>, proposal: Proposal) -> Init {
    if let Some(log) = log {
        return Init::Found(log.line());
    }
    let Some(secret) = proposal.secret else {
        return Init::None;
    };
    let made = Log {
        epoch: proposal.epoch,
        secret,
        entries: BTreeMap::new(),
        last: 0,
        print: None,
        last_ms: 0,
        keys: HashMap::new(),
        remembered: HashMap::new(),
    };
    let line = made.line();
    *log = Some(made);
    Init::Made(line)
}

fn state(log: Option<&Log>) -> State {
    log.map_or(State::None, |log| State::Line(log.line()))
}

fn restore(
    log: &mut Option<Log>,
    request: &Restore,
    bytes_max: usize,
) -> Result<Changed, EngineError> {
    let expected = match (&log, request.expected_last) {
        (None, None) => true,
        (Some(log), Some(last)) => {
            let there = log.last == last.get() && log.print == request.expected_print;
            log.epoch == request.epoch && there
        }
        (None, Some(_)) | (Some(_), None) => false,
    };
    if !expected {
        return Ok(Changed::Moved(state(log.as_ref())));
    }
    if let Some(log) = log.as_ref().filter(|log| log.has_more()) {
        let last = Position::new(log.last);
        return Ok(Changed::Repair { last });
    }
    let mut before = request.expected_last;
    for restored in &request.entries {
        if restored.entry.bytes.len() > bytes_max {
            return Err(EngineError::Refused {
                reason: "an entry is too large".into(),
            });
        }
        let position = restored.entry.position;
        if before.is_some_and(|before| before.next() != position) {
            return Err(EngineError::Refused {
                reason: "entries that do not follow the line's last one".into(),
            });
        }
        before = Some(position);
    }
    let log = log.get_or_insert_with(|| Log {
        epoch: request.epoch,
        secret: request.secret,
        entries: BTreeMap::new(),
        last: 0,
        print: None,
        last_ms: 0,
        keys: HashMap::new(),
        remembered: HashMap::new(),
    });
    for restored in &request.entries {
        let entry = restored.entry.clone();
        log.last = entry.position.get();
        log.print = entry.print;
        log.last_ms = entry.published_ms;
        if let Some((key, _)) = &restored.key {
            log.keys.insert(key.clone(), entry.position);
        }
        log.entries.insert(log.last, entry);
    }
    Ok(Changed::Done {
        last: Position::new(log.last),
    })
}

fn changed(log: &mut Option<Log>, expected: LineEnd, change: impl FnOnce(&mut Log)) -> Changed {
    match log {
        Some(log) if log.epoch == expected.epoch && log.last == expected.last.get() => {
            change(log);
            Changed::Done {
                last: Position::new(log.last),
            }
        }
        log => Changed::Moved(state(log.as_ref())),
    }
}

impl Log {
    fn line(&self) -> Line {
        let within = self.entries.range(..=self.last).next();
        let oldest = within.map_or(self.last + 1, |(position, _)| *position);
        Line {
            epoch: self.epoch,
            secret: self.secret,
            oldest: Position::new(oldest),
            last: Position::new(self.last),
            print: self.print,
            torn: self.has_more(),
        }
    }

    fn append(&mut self, append: &Append, now_ms: u64, bytes_max: usize) -> Appended {
        if self.epoch != append.epoch {
            return refused(Refusal::OtherEpoch, self.last);
        }
        let answered = self.remembered.get(&append.sender);
        if let Some(places) = answered.and_then(|answers| answers.get(&append.batch)) {
            return Appended::Taken {
                places: places.clone(),
                last: Position::new(self.last),
                again: Again::Yes,
            };
        }
        let seen = append.seen.position.get();
        if self.last < seen {
            return refused(Refusal::Rewound, self.last);
        }
        if let Some(print) = append.seen.print.filter(|_| seen > 0) {
            let there = match seen == self.last {
                true => self.print,
                false => self.entries.get(&seen).and_then(|entry| entry.print),
            };
            match there {
                None => return refused(Refusal::Behind, self.last),
                Some(there) if there != print => return refused(Refusal::Forked, self.last),
                Some(_) => {}
            }
        }
        if self.has_more() {
            return refused(Refusal::Repair, self.last);
        }
        if self.last + append.items.len() as u64 > POSITION_MAX {
            return refused(Refusal::Full, self.last);
        }
        let is_new = |item: &Item| {
            let known = item
                .key
                .as_ref()
                .map(|(key, _)| self.keys.contains_key(key));
            known != Some(true)
        };
        let too_large = |item: &Item| item.bytes.len() > bytes_max && is_new(item);
        if let Some(index) = append.items.iter().position(too_large) {
            return refused(
                Refusal::TooLarge(TooLarge {
                    index,
                    bytes: append
                        .items
                        .get(index)
                        .map_or(0, |item| item.bytes.len() as u64),
                    max: bytes_max as u64,
                    setting: "item_bytes_max",
                }),
                self.last,
            );
        }
        let places: Vec<Place> = self.take(append, append.items.len(), now_ms);
        self.repair();
        let answers = self.remembered.entry(append.sender).or_default();
        answers.insert(append.batch, places.clone());
        Appended::Taken {
            places,
            last: Position::new(self.last),
            again: Again::No,
        }
    }

    /// Takes some of the items and forgets to move the end of the line.
    fn append_midway(&mut self, append: &Append, now_ms: u64, dice: &mut Rng) {
        let known = self
            .remembered
            .get(&append.sender)
            .is_some_and(|answers| answers.contains_key(&append.batch));
        let fits = self.epoch == append.epoch
            && append.seen.position.get() <= self.last
            && !self.has_more();
        if fits && !known {
            let count = dice.usize(0..=append.items.len());
            self.take(append, count, now_ms);
        }
    }

    fn take(&mut self, append: &Append, count: usize, now_ms: u64) -> Vec<Place> {
        let mut places = Vec::new();
        let mut position = self.last;
        for item in append.items.iter().take(count) {
            let known = item.key.as_ref().and_then(|(key, _)| self.keys.get(key));
            if let Some(known) = known {
                places.push(Place::Known(*known));
                continue;
            }
            let (print, before_ms) = match self.entries.get(&position) {
                Some(entry) => (entry.print, entry.published_ms),
                None => (self.print, self.last_ms),
            };
            let published_ms = now_ms.max(before_ms);
            position += 1;
            let entry = Entry {
                position: Position::new(position),
                published_ms,
                origin: item.origin,
                print: Some(link(print, published_ms, item.digest)),
                bytes: item.bytes.clone(),
            };
            self.entries.insert(position, entry);
            if let Some((key, _)) = &item.key {
                self.keys.insert(key.clone(), Position::new(position));
            }
            places.push(Place::New(Position::new(position)));
        }
        places
    }

    /// Returns whether there are entries beyond the end, since an append died midway.
    fn has_more(&self) -> bool {
        self.entries.range(self.last + 1..).next().is_some()
    }

    /// Moves the end of the line to the newest entry, if there is one.
    fn repair(&mut self) {
        if let Some((last, entry)) = self.entries.last_key_value() {
            (self.last, self.print) = (*last, entry.print);
            self.last_ms = entry.published_ms;
        }
    }

    /// Removes what is beyond the window, and returns it.
    fn trim(&mut self, window_max: Option<u64>) -> Vec<Entry> {
        let Some(window_max) = window_max else {
            return Vec::new();
        };
        // The newest entry stays, so that the next print follows from it.
        let from = (self.last + 1).saturating_sub(window_max).min(self.last);
        let kept = self.entries.split_off(&from);
        std::mem::replace(&mut self.entries, kept)
            .into_values()
            .collect()
    }

    fn tail(&self, after: Position, bytes_max: u64) -> Tailed {
        if after.get() > self.last {
            return Tailed::Rewound {
                last: Position::new(self.last),
            };
        }
        self.range(after.next(), Position::new(self.last), bytes_max)
    }

    fn range(&self, from: Position, to: Position, bytes_max: u64) -> Tailed {
        let to = to.get().min(self.last);
        if from.get() > self.last + 1 {
            return Tailed::Rewound {
                last: Position::new(self.last),
            };
        }
        if from.get() > to {
            return Tailed::Entries(Vec::new());
        }
        if !self.entries.contains_key(&from.get()) {
            return Tailed::Hole {
                oldest: self.line().oldest,
            };
        }
        let mut bytes = 0;
        let entries = self.entries.range(from.get()..=to).map(|(_, entry)| entry);
        let within = entries.take_while(|entry| {
            let first = bytes == 0;
            bytes += entry.bytes.len() as u64 + 1;
            first || bytes <= bytes_max
        });
        Tailed::Entries(within.cloned().collect())
    }
}
