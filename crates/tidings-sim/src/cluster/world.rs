//! One simulated run of a cluster, and what must hold at its end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fastrand::Rng;
use tidings_cluster::Epoch;
use tidings_cluster::engine::{EpochId, Proposal};
use tidings_cluster::member::Standing;
use tidings_cluster::member::request::Request;
use tidings_core::matcher::MatcherType;
use tidings_history::{Health, Reading};
use tidings_wire::publish_form::PublishForm;

use super::hub::Hub;
use super::model::Model;
use super::reader::Reader;
use super::scenarios::{Action, Scenario};
use crate::lab::Published;
use crate::world::Outcome;

/// When the simulated world begins, in milliseconds of Unix time.
const BEGIN_MS: u64 = 1_800_000_000_000;
/// Rounds after the last fault in which everything must come right.
const HEALING_ROUNDS: u32 = 1500;
const HEALING_ROUND: Duration = Duration::from_millis(50);
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
    number: u64,
    elapsed: Duration,
    clock_off_ms: i64,
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
            number: 0,
            elapsed: Duration::ZERO,
            clock_off_ms: 0,
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
            hub.start(secret, epoch, now);
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
            Action::Crash => self.crash(hub),
            Action::Start => self.start(hub),
            Action::SetClock => self.clock_off_ms = self.dice.i64(-100_000..100_000),
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

    fn work(&mut self, index: usize) {
        let clock = self.now().wall_ms.saturating_add_signed(self.clock_off_ms);
        self.model.set_clock(clock);
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
        for index in 0..self.hubs.len() {
            self.start(index);
        }
        for hub in &mut self.hubs {
            hub.forget_late();
        }
        for _ in 0..HEALING_ROUNDS {
            for index in 0..self.hubs.len() {
                for _ in 0..4 {
                    if let Some(hub) = self.hubs.get_mut(index) {
                        hub.work(self.elapsed, self.model.primary(), self.scenario.late);
                        let log = hub.transmit(&mut self.model, &mut self.dice, (false, false));
                        for line in log {
                            self.note(format!("hub {index} {line}"));
                        }
                    }
                }
                let now = self.now();
                if let Some(running) = self.hubs.get_mut(index).and_then(|h| h.running.as_mut()) {
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
        self.check()
    }

    fn check(&mut self) -> Result<(), String> {
        for (index, hub) in self.hubs.iter().enumerate() {
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
            let number = data
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok());
            *places.entry(number.unwrap_or(0)).or_default() += 1;
        }
        if let Some((number, count)) = places.iter().find(|(_, count)| **count > 1) {
            return Err(format!("{number} is there {count} times (promise 3, once)"));
        }
        if let Some(lost) = self.acknowledged.iter().find(|n| !places.contains_key(n)) {
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
                .check(&log)
                .map_err(|broken| format!("reader {index} {broken}"))?;
        }
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
        let logs: Vec<_> = self.hubs.iter().map(|hub| hub.disk.updates()).collect();
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
            .map(|update| (update.id.as_str().to_owned(), update.data.to_string()))
            .collect())
    }
}
