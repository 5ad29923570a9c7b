//! One simulated run: a hub, its disk, publishers and subscribers, and the dice that decide what
//! happens next. The same scenario and seed give the same log, line by line.

use std::sync::Arc;
use std::time::Duration;

use crate::lab::{Lab, Options, Published};
use fastrand::Rng;
use tidings_cluster::{Epoch, Loopback};
use tidings_core::grant::Grants;
use tidings_core::hub_url::HubUrl;
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_core::position::Position;
use tidings_history::{Health, Order, PresenceRetention, Reading, Retention};
use tidings_wire::publish_form::PublishForm;
use tokio::runtime::Builder;

use crate::disk::{Disk, Fault};
use crate::scenarios::{Action, Scenario};
use crate::subscriber::Subscriber;
use crate::truth::{Interest, Truth, Wanted};

/// Folders of topics; each has this many topics.
const FOLDERS: [&str; 3] = ["/news/", "/chat/", "/secret/"];
const TOPICS_PER_FOLDER: usize = 3;
/// The start of the simulated world, in milliseconds of Unix time.
const EPOCH_MS: u64 = 1_800_000_000_000;
/// The largest change of the machine's clock: about four hundred days.
const CLOCK_STEP_MAX_MS: i64 = 35_000_000_000;
/// Rounds after the last fault within which everything must recover.
const HEALING_ROUNDS: u32 = 400;
const HEALING_ROUND: Duration = Duration::from_millis(100);

/// The result of a run.
#[derive(Debug)]
pub struct Outcome {
    /// The log, one line for each step.
    pub log: Vec<String>,
    /// The invariant that was broken, if one was.
    pub broken: Option<String>,
}

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
    disk: Disk,
    lab: Option<Lab>,
    truth: Truth,
    subscribers: Vec<Subscriber>,
    waiting: Vec<(u64, Published)>,
    number: u64,
    elapsed: Duration,
    /// How far the machine's clock is off.
    clock_off_ms: i64,
    /// How often the process has crashed.
    crashes: u32,
    log: Vec<String>,
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let mut epoch = [0; 32];
        dice.fill(&mut epoch);
        let subscribers = (0..scenario.subscribers).map(|_| Subscriber::new(interest(&mut dice)));
        let subscribers = subscribers.collect();
        let epoch = Epoch::new(epoch);
        let mut world = Self {
            scenario,
            dice,
            disk: Disk::new(Order::Own(epoch)),
            lab: None,
            truth: Truth::default(),
            subscribers,
            waiting: Vec::new(),
            number: 0,
            elapsed: Duration::ZERO,
            clock_off_ms: 0,
            crashes: 0,
            log: Vec::new(),
        };
        world.start();
        world
    }

    fn note(&mut self, line: String) {
        self.log
            .push(format!("{:>8} {line}", self.elapsed.as_millis()));
    }

    fn now(&self) -> Reading {
        let passed_ms = u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX);
        Reading {
            wall_ms: (EPOCH_MS + passed_ms).saturating_add_signed(self.clock_off_ms),
            steady: self.elapsed,
        }
    }

    fn set_clock(&mut self) {
        self.clock_off_ms = match self.dice.bool() {
            true => self.dice.i64(-CLOCK_STEP_MAX_MS..CLOCK_STEP_MAX_MS),
            false => 0,
        };
        self.note(format!("the clock is {} ms off", self.clock_off_ms));
    }

    fn start(&mut self) {
        let mut builder = Builder::new_current_thread();
        builder.enable_time().start_paused(true);
        #[expect(clippy::expect_used, reason = "a simulation without a runtime is over")]
        let runtime = crate::lab::runtime(&mut builder).expect("a runtime");
        let options = Options {
            shards: self.scenario.shards,
            ring_bytes: self.scenario.ring_bytes,
            retention: Retention {
                age_max: self.scenario.age_max,
                updates_max: self.scenario.updates_max,
                bytes_max: None,
                presence: PresenceRetention::DEFAULT,
            },
            keep_alive: Duration::from_secs(15),
            stall: Duration::from_secs(60),
            presence: true,
        };
        let relay = Arc::new(Loopback::new());
        #[expect(clippy::expect_used, reason = "reading the simulated disk never fails")]
        let lab = Lab::start(runtime, self.disk.storage(), &options, relay).expect("a hub");
        self.note(format!("start {:?}", lab.bounds()));
        self.lab = Some(lab);
    }

    fn lab(&mut self) -> &mut Lab {
        #[expect(clippy::expect_used, reason = "a crash starts the next hub at once")]
        self.lab.as_mut().expect("a hub runs")
    }

    fn live(&mut self) -> Result<(), String> {
        for _ in 0..self.scenario.steps {
            let action = self.scenario.choose(&mut self.dice);
            self.step(action)?;
        }
        Ok(())
    }

    fn step(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Publish => self.publish(),
            Action::Connect => self.connect(),
            Action::Disconnect => self.disconnect(),
            Action::Read => return self.read(),
            Action::Write => {
                let updates_max = self.dice.usize(1..20);
                self.write(updates_max)?;
            }
            Action::Answer => {
                self.lab().read();
            }
            Action::Route => {
                let commands_max = self.dice.usize(0..10);
                self.lab().route(commands_max);
            }
            Action::Settle => self.lab().run_until_idle(),
            Action::Advance => {
                let by = Duration::from_millis(self.dice.u64(1..2000));
                self.advance(by);
            }
            Action::Tick => {
                let now = self.now();
                self.lab().tick(now);
                return self.check_ages();
            }
            Action::SetClock => self.set_clock(),
            Action::Crash => return self.crash(),
            Action::BackUp => self.disk.back_up(),
            Action::Restore => return self.restore(),
            Action::Fault(fault) => {
                self.note(format!("disk {fault:?}"));
                self.disk.set_fault(fault);
            }
        }
        Ok(())
    }

    fn publish(&mut self) {
        self.number += 1;
        let number = self.number;
        let folder = self.dice.choice(FOLDERS).unwrap_or(FOLDERS[0]);
        let mut topics = vec![topic(folder, &mut self.dice)];
        if self.dice.u8(0..8) == 0 {
            let folder = self.dice.choice(FOLDERS).unwrap_or(FOLDERS[0]);
            topics.push(topic(folder, &mut self.dice));
        }
        let length = self.dice.usize(0..self.scenario.data_bytes_max);
        let form = PublishForm {
            traceparent: None,
            topics,
            data: Some(format!("{number} {}", "x".repeat(length))),
            private: folder == FOLDERS[2] || self.dice.u8(0..6) == 0,
            id: (self.dice.u8(0..4) == 0).then(|| format!("own-{number}")),
            event_type: None,
            retry: None,
        };
        self.note(format!(
            "publish {number} {:?} private={}",
            form.topics, form.private
        ));
        let answer = self.lab().publish(form);
        self.waiting.push((number, answer));
    }

    fn write(&mut self, updates_max: usize) -> Result<(), String> {
        let now = self.now();
        if self.lab().write(updates_max, now) {
            let last = self.lab().bounds().last;
            self.note(format!("committed through {last:?}"));
        }
        self.on_disk();
        if let Health::Poisoned { .. } = self.lab().health() {
            // The server would exit now. Answers that it has already given may still be sent.
            self.lab().run_until_idle();
            return self.crash();
        }
        Ok(())
    }

    fn on_disk(&mut self) {
        let updates = self.disk.updates();
        self.truth.on_disk(&updates);
        self.truth.on_age(self.elapsed, self.crashes);
        let mut acknowledged = Vec::new();
        self.waiting
            .retain_mut(|(number, answer)| match answer.try_recv() {
                Ok(result) => {
                    acknowledged.push((*number, result));
                    false
                }
                Err(tokio::sync::oneshot::error::TryRecvError::Empty) => true,
                Err(tokio::sync::oneshot::error::TryRecvError::Closed) => false,
            });
        for (number, result) in acknowledged {
            match result {
                Ok(id) => {
                    self.note(format!("acknowledged {number}"));
                    self.truth.on_acknowledged(id, number);
                }
                Err(error) => self.note(format!("refused {number}: {error}")),
            }
        }
    }

    fn connect(&mut self) {
        let Some(index) = self.pick(Subscriber::is_away) else {
            return;
        };
        self.connect_one(index);
    }

    fn connect_one(&mut self, index: usize) {
        let shard = self.dice.usize(0..self.scenario.shards);
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return;
        };
        let Some(lab) = self.lab.as_mut() else { return };
        let pattern = match &subscriber.interest.wanted {
            Wanted::Exact(topic) => (MatcherType::Exact, topic.clone()),
            Wanted::Below(folder) => (MatcherType::UrlPattern, format!("{folder}:topic")),
        };
        let grants = subscriber
            .interest
            .granted
            .as_deref()
            .map(|folder| grants(folder, lab.hub()));
        let stream = lab.subscribe(
            shard,
            &[(pattern.0, pattern.1.as_str())],
            subscriber.cursor(),
            grants,
        );
        // The id is not logged: it depends on presence events, which contain random session names.
        let after = subscriber.cursor().map(|cursor| {
            let update = self.truth.update(cursor);
            update.map_or(Position::ZERO, |update| update.position)
        });
        let line = format!("subscriber {index} connects after {after:?}");
        subscriber.connect(stream, lab.bounds().last);
        self.note(line);
    }

    fn disconnect(&mut self) {
        let Some(index) = self.pick(|subscriber| !subscriber.is_away()) else {
            return;
        };
        if let Some(subscriber) = self.subscribers.get_mut(index) {
            subscriber.disconnect();
        }
        self.note(format!("subscriber {index} loses its connection"));
    }

    fn read(&mut self) -> Result<(), String> {
        let Some(index) = self.pick(|subscriber| !subscriber.is_away()) else {
            return Ok(());
        };
        let pieces_max = self.dice.usize(1..6);
        self.read_one(index, pieces_max)
    }

    fn read_one(&mut self, index: usize, pieces_max: usize) -> Result<(), String> {
        self.on_disk();
        let last = self.lab().bounds().last;
        let Some(subscriber) = self.subscribers.get_mut(index) else {
            return Ok(());
        };
        let before = subscriber.received;
        subscriber
            .poll_open(last, &self.truth)
            .and_then(|()| subscriber.read(pieces_max, &self.truth, &self.disk))
            .map_err(|broken| {
                format!("subscriber {index} ({:?}): {broken}", subscriber.interest)
            })?;
        let received = subscriber.received - before;
        if received > 0 {
            self.note(format!("subscriber {index} receives {received}"));
        }
        Ok(())
    }

    fn pick(&mut self, like: impl Fn(&Subscriber) -> bool) -> Option<usize> {
        let indexes: Vec<usize> = (0..self.subscribers.len())
            .filter(|&index| self.subscribers.get(index).is_some_and(&like))
            .collect();
        self.dice.choice(indexes)
    }

    fn advance(&mut self, by: Duration) {
        self.elapsed += by;
        self.lab().block_on(tokio::time::advance(by));
    }

    fn crash(&mut self) -> Result<(), String> {
        self.on_disk();
        self.lab = None;
        self.crashes += 1;
        let keep = self.dice.bool();
        self.disk.crash(keep);
        let (updates, trimmed) = (self.disk.updates(), self.disk.trimmed_through());
        self.note(format!("crash, {} updates are left", updates.len()));
        self.truth.check_acknowledged(&updates, trimmed)?;
        Truth::check_dense(&updates)?;
        self.truth.on_crash(&updates, trimmed);
        self.truth.on_disk(&updates);
        self.waiting.clear();
        for subscriber in &mut self.subscribers {
            subscriber.disconnect();
        }
        self.start();
        Ok(())
    }

    /// Replaces the history with an older copy while no hub runs.
    fn restore(&mut self) -> Result<(), String> {
        self.on_disk();
        if !self.disk.restore() {
            return Ok(());
        }
        self.lab = None;
        let (updates, trimmed) = (self.disk.updates(), self.disk.trimmed_through());
        let last = updates.last().map_or(trimmed, |update| update.position);
        self.note(format!("the history goes back to {last:?}"));
        self.truth.on_restore(&updates, trimmed);
        self.waiting.clear();
        for subscriber in &mut self.subscribers {
            subscriber.disconnect();
            subscriber.on_restore(last);
        }
        self.start();
        Ok(())
    }

    /// Clears all faults, lets everything recover, and checks the result.
    fn heal(&mut self) -> Result<(), String> {
        self.disk.set_fault(Fault::None);
        self.note("heal".to_owned());
        for _ in 0..HEALING_ROUNDS {
            self.step(Action::Tick)?;
            self.write(1000)?;
            self.lab().route(1000);
            self.lab().run_until_idle();
            self.lab().read();
            self.lab().run_until_idle();
            for index in 0..self.subscribers.len() {
                if self.subscribers.get(index).is_some_and(Subscriber::is_away) {
                    self.connect_one(index);
                }
                self.read_one(index, 1000)?;
            }
            self.advance(HEALING_ROUND);
        }
        let updates = self.disk.updates();
        self.truth
            .check_acknowledged(&updates, self.disk.trimmed_through())?;
        Truth::check_dense(&updates)?;
        self.truth.check_ids()?;
        for (index, subscriber) in self.subscribers.iter().enumerate() {
            subscriber
                .check_complete(&self.truth, &self.disk)
                .map_err(|broken| {
                    format!("subscriber {index} ({:?}): {broken}", subscriber.interest)
                })?;
        }
        self.check_old()?;
        self.check_presence()?;
        self.check_bounds()?;
        self.leave()
    }

    /// Checks that retention by age removed nothing too early, whatever the machine's clock showed
    /// (invariant 3, acknowledged is kept).
    fn check_ages(&self) -> Result<(), String> {
        let Some(age_max) = self.scenario.age_max else {
            return Ok(());
        };
        let trimmed = self.disk.trimmed_through();
        self.truth
            .check_ages(trimmed, age_max, self.elapsed, self.crashes)
    }

    /// Checks that retention by age removes old updates: nobody published while the world
    /// recovered.
    fn check_old(&self) -> Result<(), String> {
        let old = self.disk.updates();
        let old = old.iter().find(|update| update.presence.is_none());
        match (self.scenario.age_max, old) {
            (Some(age_max), Some(update)) if HEALING_ROUND * HEALING_ROUNDS > age_max => {
                Err(format!(
                    "{:?} is stored although older than {age_max:?} (invariant 7, bounded memory)",
                    update.position
                ))
            }
            _ => Ok(()),
        }
    }

    /// Checks that memory stays within its configured bound (invariant 7, bounded memory).
    fn check_bounds(&mut self) -> Result<(), String> {
        let bound = self.scenario.ring_bytes;
        let kept = self.lab().ring_bytes();
        // The newest update always stays: its text in up to four forms, with some overhead.
        if kept > bound + self.scenario.data_bytes_max * 4 + 1024 {
            return Err(format!(
                "the ring holds {kept} bytes, more than {bound} (invariant 7, bounded memory)"
            ));
        }
        Ok(())
    }

    /// Checks that presence shows exactly the live connections, and that its events agree
    /// (invariant 9, true presence).
    fn check_presence(&mut self) -> Result<(), String> {
        let wanted = |subscriber: &Subscriber| match &subscriber.interest.wanted {
            Wanted::Exact(topic) => topic.clone(),
            Wanted::Below(folder) => format!("{folder}:topic"),
        };
        let mut live: Vec<String> = self.subscribers.iter().map(wanted).collect();
        live.sort_unstable();
        let mut asked = self.lab().subscriptions();
        self.lab().run_until_idle();
        let shown = asked.try_recv().unwrap_or_default().patterns;
        if shown != live {
            return Err(format!(
                "presence shows {shown:?}, but {live:?} are connected (invariant 9, true presence)"
            ));
        }
        let said = self.disk.announced();
        if said != live.len() {
            let live = live.len();
            return Err(format!(
                "events say that {said} subscriptions are live, but {live} are \
                 (invariant 9, true presence)"
            ));
        }
        Ok(())
    }

    /// Disconnects all subscribers, and checks that nothing of them stays (invariant 9, true
    /// presence).
    fn leave(&mut self) -> Result<(), String> {
        let (sessions, open) = (self.lab().sessions(), self.subscribers.len());
        if sessions != open {
            return Err(format!(
                "{sessions} sessions for {open} connections (invariant 9, true presence)"
            ));
        }
        self.subscribers.clear();
        for _ in 0..8 {
            self.lab().run_until_idle();
            self.advance(Duration::from_secs(1));
            self.lab().run_until_idle();
            self.lab().route(1000);
        }
        let (sessions, matchers) = (self.lab().sessions(), self.lab().matchers());
        if sessions != 0 || matchers != 0 {
            return Err(format!(
                "{sessions} sessions and {matchers} matchers remained after all had left \
                 (invariant 9, true presence)"
            ));
        }
        self.note("all left".to_owned());
        Ok(())
    }
}

fn topic(folder: &str, dice: &mut Rng) -> String {
    format!("{folder}{}", dice.usize(0..TOPICS_PER_FOLDER))
}

fn interest(dice: &mut Rng) -> Interest {
    let folder = dice.choice(FOLDERS).unwrap_or(FOLDERS[0]);
    let wanted = match dice.bool() {
        true => Wanted::Exact(topic(folder, dice)),
        false => Wanted::Below(folder.to_owned()),
    };
    let granted = dice
        .bool()
        .then(|| dice.choice(FOLDERS).unwrap_or(FOLDERS[0]).to_owned());
    Interest { wanted, granted }
}

fn grants(folder: &str, hub: &HubUrl) -> Arc<Grants> {
    let matcher = Matcher::parse(MatcherType::UrlPattern, &format!("{folder}:topic"), hub);
    #[expect(clippy::expect_used, reason = "a fixed pattern and one grant")]
    let grants =
        Grants::new(Vec::new(), vec![matcher.expect("a pattern")], Vec::new()).expect("grants");
    Arc::new(grants)
}
