//! One simulated run of a cluster, and what must hold at its end.

mod fetched;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tidings_cluster::engine::{EpochId, Proposal};
use tidings_cluster::member::Standing;
use tidings_cluster::member::request::Request;
use tidings_cluster::peers::Fetch;
use tidings_cluster::{Envelope, Epoch};
use tidings_core::matcher::MatcherType;
use tidings_core::position::Position;
use tidings_history::{Health, Order, Reading};
use tidings_hub::control::Message;
use tidings_wire::publish_form::PublishForm;

use super::hub::{Hub, Running};
use super::model::{Model, in_doubt};
use super::reader::Reader;
use super::scenarios::{Action, Scenario};
use crate::disk::{Disk, Fault};
use crate::lab::Published;
use crate::world::Outcome;

/// When the simulated world begins, in milliseconds of Unix time.
const BEGIN_MS: u64 = 1_800_000_000_000;
/// Rounds after the last fault in which everything must come right.
const HEALING_ROUNDS: u32 = 1500;
const HEALING_ROUND: Duration = Duration::from_millis(50);
/// How far the engine's clock is set.
const CLOCK_OFF_MS: i64 = 100_000;
/// Bounds of an item: between those of the smallest and of the largest update.
const ITEM_BYTES: Range<usize> = 60..300;
const TOPIC: &str = "/news/1";
const READERS: usize = 3;

/// Runs a scenario with a seed.
pub fn run(scenario: &Scenario, seed: u64) -> Outcome {
    let mut world = World::new(scenario, seed);
    let result = world.live().and_then(|()| world.heal());
    if let Err(broken) = &result {
        world.note(format!("BROKEN {broken}"));
    }
    Outcome {
        log: world.log,
        broken: result.err(),
    }
}

struct World<'a> {
    scenario: &'a Scenario,
    dice: Rng,
    model: Model,
    hubs: Vec<Hub>,
    readers: Vec<Reader>,
    secret: Epoch,
    epoch: EpochId,
    waiting: Vec<(u64, usize, Published)>,
    acknowledged: BTreeSet<u64>,
    /// Updates whose publishers were told that they are not stored.
    refused: BTreeSet<u64>,
    /// Messages that were acknowledged, or may be yet.
    messages: BTreeSet<u64>,
    number: u64,
    elapsed: Duration,
    clock_off_ms: i64,
    /// The oldest position that the engine kept when all was mended.
    healed_from: Position,
    log: Vec<String>,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let mut secret = [0; 32];
        dice.fill(&mut secret);
        let (secret, epoch) = (Epoch::new(secret), EpochId::new(1));
        let mut model = Model::new(scenario.window_max);
        let proposal = Proposal {
            epoch,
            secret: Some(secret),
        };
        drop(model.answer(0, &Request::Init(proposal), &mut dice));
        model.replicate();
        let hubs = (1..=scenario.hubs as u64).map(|node| Hub::new(node, secret));
        let mut world = Self {
            scenario,
            dice,
            model,
            hubs: hubs.collect(),
            readers: (0..READERS).map(|_| Reader::default()).collect(),
            secret,
            epoch,
            waiting: Vec::new(),
            acknowledged: BTreeSet::new(),
            refused: BTreeSet::new(),
            messages: BTreeSet::new(),
            number: 0,
            elapsed: Duration::ZERO,
            clock_off_ms: 0,
            healed_from: Position::ZERO,
            log: Vec::new(),
        };
        for hub in 0..world.hubs.len() {
            world.start(hub);
        }
        world
    }

    fn note(&mut self, line: String) {
        self.log
            .push(format!("{:>8} {line}", self.elapsed.as_millis()));
    }

    fn now(&self) -> Reading {
        Reading {
            wall_ms: BEGIN_MS + u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            steady: self.elapsed,
        }
    }

    fn start(&mut self, index: usize) {
        let (secret, epoch, now) = (self.secret, self.epoch, self.elapsed);
        if let Some(hub) = self.hubs.get_mut(index)
            && hub.running.is_none()
        {
            hub.start(secret, epoch, now, self.scenario.fetches);
            self.note(format!("hub {index} starts"));
        }
    }

    fn crash(&mut self, index: usize) {
        let keep = self.dice.bool();
        let Some(hub) = self.hubs.get_mut(index) else {
            return;
        };
        if hub.running.is_none() {
            return;
        }
        self.collect();
        if let Some(hub) = self.hubs.get_mut(index) {
            hub.crash(self.scenario.late);
            hub.disk.crash(keep);
        }
        self.waiting.retain(|(_, at, _)| *at != index);
        for reader in &mut self.readers {
            if reader.hub() == Some(index) {
                reader.disconnect();
            }
        }
        self.note(format!("hub {index} dies"));
    }

    fn empty(&mut self, index: usize) {
        self.crash(index);
        if let Some(hub) = self.hubs.get_mut(index) {
            hub.disk = Disk::new(Order::Relay(self.secret));
            self.note(format!("hub {index} has an empty disk"));
        }
    }

    fn live(&mut self) -> Result<(), String> {
        for _ in 0..self.scenario.steps {
            let action = self.scenario.choose(&mut self.dice);
            self.step(action)?;
        }
        Ok(())
    }

    fn step(&mut self, action: Action) -> Result<(), String> {
        let hub = self.dice.usize(0..self.hubs.len());
        match action {
            Action::Publish => self.publish(hub),
            Action::Tell => self.tell(hub),
            Action::Work => self.work(hub),
            Action::Turn => self.turn(hub),
            Action::Read => {
                let reader = self.dice.usize(0..READERS);
                return self.read(reader);
            }
            Action::Move => {
                let reader = self.dice.usize(0..READERS);
                if let Some(reader) = self.readers.get_mut(reader) {
                    reader.disconnect();
                }
            }
            Action::Advance => {
                let by = Duration::from_millis(self.dice.u64(1..400));
                self.advance(by);
            }
            Action::Replicate => self.model.replicate(),
            Action::FailOver | Action::Split => {
                self.model.fail_over(action == Action::Split);
                let last = self.model.last();
                self.note(format!("{action:?}, the new primary ends at {last}"));
            }
            Action::Demote => self.model.demote(),
            Action::Forget => {
                self.model.forget();
                self.note("the engine forgets".to_owned());
            }
            Action::Die => self.model.dies = true,
            Action::Away | Action::Back => {
                self.model.set_away(action == Action::Away);
                self.note(format!("the engine: {action:?}"));
            }
            Action::Narrow => {
                let bytes_max = self.dice.usize(ITEM_BYTES);
                self.model.item_bytes_max = Some(bytes_max);
                self.note(format!("the engine takes {bytes_max} bytes"));
            }
            Action::Widen => {
                self.model.item_bytes_max = None;
                self.note("the engine takes any number of bytes".to_owned());
            }
            Action::Disk(fault) => {
                self.note(format!("the disk of hub {hub}: {fault:?}"));
                if let Some(hub) = self.hubs.get(hub) {
                    hub.disk.set_fault(fault);
                }
            }
            Action::Crash => self.crash(hub),
            Action::Start => self.start(hub),
            Action::Empty => self.empty(hub),
            Action::SetClock => self.clock_off_ms = self.dice.i64(-CLOCK_OFF_MS..CLOCK_OFF_MS),
        }
        self.collect();
        Ok(())
    }

    fn publish(&mut self, index: usize) {
        self.number += 1;
        let number = self.number;
        let Some(running) = self.hubs.get(index).and_then(|hub| hub.running.as_ref()) else {
            return;
        };
        let answer = running.lab.publish(PublishForm {
            traceparent: None,
            topics: vec![TOPIC.to_owned()],
            data: Some(format!("{number} {}", "x".repeat(self.dice.usize(0..200)))),
            private: false,
            id: (self.scenario.own_ids && self.dice.u8(0..4) == 0).then(|| format!("own-{number}")),
            event_type: None,
            retry: None,
        });
        running.lab.run_until_idle();
        self.note(format!("publish {number} on hub {index}"));
        self.waiting.push((number, index, answer));
    }

    fn tell(&mut self, index: usize) {
        let Some(running) = self.hubs.get(index).and_then(|hub| hub.running.as_ref()) else {
            return;
        };
        self.number += 1;
        let answer = running.lab.tell(&message(self.number));
        running.lab.run_until_idle();
        self.messages.insert(self.number);
        let number = self.number;
        self.note(format!("tell {number} on hub {index}"));
        self.waiting.push((number, index, answer));
    }

    fn work(&mut self, index: usize) {
        self.set_engine_clock();
        let Some(hub) = self.hubs.get_mut(index) else {
            return;
        };
        hub.work(self.elapsed, self.model.primary(), self.scenario.late);
        let how = (self.scenario.lossy, self.scenario.late);
        let mut log = Vec::new();
        for _ in 0..self.dice.u8(1..4) {
            log.extend(hub.transmit(&mut self.model, &mut self.dice, how));
        }
        hub.work(self.elapsed, self.model.primary(), self.scenario.late);
        for line in log {
            self.note(format!("hub {index} {line}"));
        }
        self.pass_fetch(index, self.scenario.lossy);
    }

    /// Passes the question of a hub to the one that it asks, if there is a question. `lossy` ones are lost now
    /// and then.
    fn pass_fetch(&mut self, index: usize, lossy: bool) {
        let hub = self.hubs.get_mut(index);
        let running = hub.and_then(|hub| hub.running.as_mut());
        let Some(fetch) = running.and_then(Running::take_fetch) else {
            return;
        };
        let lost = lossy && self.dice.u8(0..8) == 0;
        let Fetch { address, ask, .. } = &fetch;
        self.note(format!(
            "hub {index} asks {address} for {ask:?}, lost: {lost}"
        ));
        let mut hubs = self.hubs.iter();
        let asked = hubs.find(|hub| hub.address() == **address);
        let asked = asked.and_then(|hub| hub.running.as_ref());
        let Some(asking) = self.hubs.get(index).and_then(|hub| hub.running.as_ref()) else {
            return;
        };
        match asked.filter(|_| !lost) {
            Some(asked) => asked.answer(&fetch, asking),
            None => asking.lose(&fetch, Arc::new(in_doubt())),
        }
    }

    fn set_engine_clock(&mut self) {
        let clock = self.now().wall_ms.saturating_add_signed(self.clock_off_ms);
        self.model.set_clock(clock);
    }

    fn turn(&mut self, index: usize) {
        let now = self.now();
        let hub = self.hubs.get_mut(index);
        let Some(running) = hub.and_then(|hub| hub.running.as_mut()) else {
            return;
        };
        running.turn(&mut self.dice, now);
        if matches!(running.lab.health(), Health::Poisoned { .. }) {
            self.crash(index);
        }
    }

    fn read(&mut self, index: usize) -> Result<(), String> {
        let to = self.dice.usize(0..self.hubs.len());
        let Some(reader) = self.readers.get_mut(index) else {
            return Ok(());
        };
        if let Some(hub) = reader.hub() {
            let hub = self.hubs.get(hub).and_then(|hub| hub.running.as_ref());
            hub.inspect(|running| running.lab.run_until_idle());
            return reader
                .read()
                .map_err(|broken| format!("reader {index}: {broken}"));
        }
        if let Some(running) = self.hubs.get(to).and_then(|hub| hub.running.as_ref()) {
            let cursor = reader.cursor().to_owned();
            let matchers = [(MatcherType::Exact, TOPIC)];
            let stream = running.lab.subscribe(0, &matchers, Some(&cursor), None);
            reader.connect(to, stream);
        }
        Ok(())
    }

    /// Takes the answers that publishers were given.
    fn collect(&mut self) {
        let mut notes = Vec::new();
        for hub in self.hubs.iter().filter_map(|hub| hub.running.as_ref()) {
            hub.lab.run_until_idle();
        }
        self.waiting.retain_mut(|(number, _, answer)| {
            use tokio::sync::oneshot::error::TryRecvError;
            match answer.try_recv() {
                Ok(Ok(_)) => {
                    notes.push((*number, "acknowledged".to_owned()));
                    self.acknowledged.insert(*number);
                    false
                }
                Ok(Err(error)) => {
                    if error.contains("was not stored") {
                        self.refused.insert(*number);
                    }
                    notes.push((*number, error));
                    false
                }
                Err(TryRecvError::Empty) => true,
                Err(TryRecvError::Closed) => false,
            }
        });
        for (number, outcome) in notes {
            self.note(format!("{number}: {outcome}"));
        }
    }

    fn advance(&mut self, by: Duration) {
        self.elapsed += by;
        for hub in self.hubs.iter().filter_map(|hub| hub.running.as_ref()) {
            hub.lab.block_on(tokio::time::advance(by));
        }
    }

    /// Mends everything, lets all come right, and checks that it did.
    fn heal(&mut self) -> Result<(), String> {
        self.note("heal".to_owned());
        self.model.set_away(false);
        self.model.demote();
        self.model.dies = false;
        self.model.item_bytes_max = None;
        self.hubs
            .iter()
            .for_each(|hub| hub.disk.set_fault(Fault::None));
        // Leases that were taken while the clock was ahead have lapsed.
        self.clock_off_ms = 2 * CLOCK_OFF_MS;
        let dead = usize::from(self.scenario.one_dies);
        (0..dead).for_each(|index| self.crash(index));
        for index in dead..self.hubs.len() {
            if self.standing(index) == Some(Standing::Fetching) {
                // What was lost before counts among what it may try.
                self.crash(index);
            }
            self.start(index);
        }
        let before = self.held();
        self.healed_from = self.model.oldest();
        for hub in &mut self.hubs {
            hub.forget_late();
        }
        for _ in 0..HEALING_ROUNDS {
            self.set_engine_clock();
            for index in 0..self.hubs.len() {
                for _ in 0..4 {
                    if let Some(hub) = self.hubs.get_mut(index) {
                        hub.work(self.elapsed, self.model.primary(), self.scenario.late);
                        let log = hub.transmit(&mut self.model, &mut self.dice, (false, false));
                        for line in log {
                            self.note(format!("hub {index} {line}"));
                        }
                    }
                    self.pass_fetch(index, false);
                }
                let now = self.now();
                let hub = self.hubs.get(index).and_then(|hub| hub.running.as_ref());
                if hub.is_some_and(|hub| matches!(hub.lab.health(), Health::Poisoned { .. })) {
                    self.crash(index);
                    self.start(index);
                }
                if let Some(running) = self.hubs.get_mut(index).and_then(|h| h.running.as_mut()) {
                    running.lab.tick(now);
                    running.lab.write(1000, now);
                    running.lab.route(100);
                    running.lab.run_until_idle();
                    running.lab.read();
                    running.lab.run_until_idle();
                }
            }
            for reader in 0..READERS {
                self.read(reader)?;
            }
            self.collect();
            self.advance(HEALING_ROUND);
        }
        self.check_fetched(&before)?;
        self.check()
    }

    fn standing(&self, index: usize) -> Option<Standing> {
        let running = self.hubs.get(index)?.running.as_ref()?;
        Some(running.host.member().standing())
    }

    fn check(&mut self) -> Result<(), String> {
        let dead = usize::from(self.scenario.one_dies);
        for (index, hub) in self.hubs.iter().enumerate().skip(dead) {
            let standing = hub.running.as_ref().map(|hub| hub.host.member().standing());
            if standing != Some(Standing::Following) {
                let reason = hub
                    .running
                    .as_ref()
                    .and_then(|hub| hub.host.member().reason());
                return Err(format!(
                    "hub {index} does not follow although all is mended: {standing:?} {reason:?} \
                     (promise 5, engine away)"
                ));
            }
        }
        let log = self.check_one_log()?;
        let mut places: BTreeMap<u64, u32> = BTreeMap::new();
        for (_, data) in &log {
            *places.entry(number_of(data)).or_default() += 1;
        }
        if let Some((number, count)) = places.iter().find(|(_, count)| **count > 1) {
            return Err(format!("{number} is there {count} times (promise 3, once)"));
        }
        if let Some(number) = self
            .refused
            .iter()
            .find(|number| places.contains_key(number))
        {
            return Err(format!(
                "{number} was refused and is there (promise 1, acknowledged)"
            ));
        }
        let skipped = self.skipped_by_all();
        let there = |number: &u64| places.contains_key(number) || skipped.contains(number);
        self.check_messages()?;
        let updates = self.acknowledged.difference(&self.messages);
        if let Some(lost) = updates.into_iter().find(|number| !there(number)) {
            return Err(format!(
                "{lost} was acknowledged and is not there (promise 4, nothing acknowledged is \
                 dropped)"
            ));
        }
        if let Some((number, _, _)) = self.waiting.first() {
            return Err(format!(
                "{number} was never answered (promise 5, engine away)"
            ));
        }
        for (index, reader) in self.readers.iter().enumerate() {
            reader
                .check(&log, |data| {
                    let number = number_of(data);
                    skipped.contains(&number) && !places.contains_key(&number)
                })
                .map_err(|broken| format!("reader {index} {broken}"))?;
        }
        self.check_presence()?;
        let counters: Vec<_> = self
            .hubs
            .iter()
            .filter_map(|hub| hub.running.as_ref())
            .map(|running| running.host.member().counters())
            .collect();
        for (index, counters) in counters.iter().enumerate() {
            self.note(format!("hub {index}: {counters:?}"));
        }
        Ok(())
    }

    /// Checks that all hubs have the same log, as far back as each goes, and returns the longest.
    fn check_one_log(&self) -> Result<Vec<(String, String)>, String> {
        let dead = usize::from(self.scenario.one_dies);
        let hubs = self.hubs.iter().skip(dead);
        let logs: Vec<_> = hubs.map(|hub| hub.disk.updates()).collect();
        let longest = logs.iter().max_by_key(|log| log.len());
        let longest = longest.cloned().unwrap_or_default();
        let at: BTreeMap<_, _> = longest.iter().map(|u| (u.position, u)).collect();
        for (index, log) in logs.iter().enumerate() {
            if log.last().map(|update| update.position) != longest.last().map(|u| u.position) {
                return Err(format!(
                    "hub {index} ends at {:?}, another at {:?} (promise 2, one order)",
                    log.last().map(|update| update.position),
                    longest.last().map(|update| update.position)
                ));
            }
            for update in log {
                let same = at.get(&update.position).is_none_or(|other| {
                    other.id == update.id
                        && other.data == update.data
                        && other.print == update.print
                });
                if !same {
                    return Err(format!(
                        "hub {index} has another update at {} (promise 2, one order)",
                        update.position
                    ));
                }
            }
        }
        Ok(longest
            .iter()
            .filter(|update| !update.is_of_hub())
            .map(|update| (update.id.as_str().to_owned(), update.data.to_string()))
            .collect())
    }

    /// Checks that the handler of every hub was told every message that was acknowledged, unless the hub
    /// was away for longer than the engine keeps them.
    fn check_messages(&self) -> Result<(), String> {
        let told = self.messages.intersection(&self.acknowledged);
        for (index, hub) in self.hubs.iter().enumerate() {
            let skipped = hub.disk.oldest() > Position::ZERO.next();
            if hub.running.is_none() || skipped {
                continue;
            }
            if let Some(lost) = told
                .clone()
                .find(|number| !hub.told.has(&message(**number)))
            {
                return Err(format!(
                    "hub {index} was not told {lost}, which was acknowledged (promise 9, messages)"
                ));
            }
        }
        Ok(())
    }

    /// Returns the updates that every hub skipped, because it was away when the engine removed them.
    fn skipped_by_all(&self) -> BTreeSet<u64> {
        let dead = usize::from(self.scenario.one_dies);
        let hubs = self.hubs.iter().skip(dead);
        let oldest = hubs.map(|hub| hub.disk.oldest()).min();
        let trimmed = self.model.trimmed().iter();
        let skipped = trimmed.filter(|entry| oldest.is_some_and(|oldest| entry.position < oldest));
        let drafts = skipped.filter_map(|entry| Envelope::decode(&entry.bytes).ok());
        drafts
            .map(|envelope| number_of(&envelope.draft.data))
            .collect()
    }

    /// Checks that every hub lists the subscriptions of all living subscribers and no others, in the same
    /// version, and that the events in each log say the same.
    fn check_presence(&mut self) -> Result<(), String> {
        let connected = self.readers.iter().filter(|reader| reader.hub().is_some());
        let expected = vec![TOPIC.to_owned(); connected.count()];
        let mut versions = BTreeSet::new();
        for (index, hub) in self.hubs.iter().enumerate() {
            let Some(running) = &hub.running else {
                continue;
            };
            let mut asked = running.lab.subscriptions();
            running.lab.run_until_idle();
            let listed = asked.try_recv().unwrap_or_default();
            if listed.patterns != expected {
                return Err(format!(
                    "hub {index} lists {} subscriptions of {} subscribers (promise 11, presence)",
                    listed.patterns.len(),
                    expected.len()
                ));
            }
            versions.insert(listed.version);
            let said = hub.disk.announced();
            if said != expected.len() {
                return Err(format!(
                    "the events in the log of hub {index} say that there are {} subscriptions of {} \
                     subscribers (promise 11, presence)",
                    said,
                    expected.len()
                ));
            }
        }
        match versions.len() {
            0 | 1 => Ok(()),
            _ => Err(format!(
                "hubs with the same subscriptions have the versions {versions:?} (promise 11, presence)"
            )),
        }
    }
}

/// Returns what all hubs are told under a number.
fn message(number: u64) -> Message {
    Message::Purge {
        topic: format!("/{number}").into(),
    }
}

/// Returns the number of an update of this world.
fn number_of(data: &str) -> u64 {
    let number = data.split(' ').next();
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}
