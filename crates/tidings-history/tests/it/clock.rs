//! A machine's clock that is set: what is kept grows old by the time that passes.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings_core::{Position, Presence};
use tidings_history::{Kind, PresenceRetention, Reading, Retention, start};

use crate::desk::{Desk, KEEP_ALL, draft, presence_draft};
use crate::threads::{append, options};

const WEEK: Retention = Retention {
    age_max: Some(Duration::from_secs(WEEK_SECS)),
    ..KEEP_ALL
};
const WEEK_SECS: u64 = 7 * DAY_SECS;
const DAY_SECS: u64 = 86_400;
const NOW_SECS: u64 = 1_800_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine whose clock can be set, and what runs on it.
struct Machine {
    wall_secs: u64,
    steady_secs: u64,
}

impl Machine {
    fn new() -> Self {
        Self {
            wall_secs: NOW_SECS,
            steady_secs: 5,
        }
    }

    fn now(&self) -> Reading {
        Reading {
            wall_ms: self.wall_secs * 1000,
            steady: Duration::from_secs(self.steady_secs),
        }
    }

    /// Time passes: the hub looks after its history each hour.
    fn pass(&mut self, secs: u64, desk: &mut Desk) {
        for _ in 0..secs / 3600 {
            self.wall_secs += 3600;
            self.steady_secs += 3600;
            desk.tick_at(self.now());
        }
    }

    /// The clock is set, and the hub looks after its history.
    fn set(&mut self, wall_secs: u64, desk: &mut Desk) {
        self.wall_secs = wall_secs;
        desk.tick_at(self.now());
    }

    /// The hub ends, and starts after some time at which the clock shows something.
    fn restart(&mut self, wall_secs: u64, desk: Desk, path: &Path) -> Desk {
        let mut desk = desk;
        desk.writer.close();
        self.crash(wall_secs, desk, path)
    }

    fn crash(&mut self, wall_secs: u64, desk: Desk, path: &Path) -> Desk {
        drop(desk);
        self.wall_secs = wall_secs;
        // The machine was started anew.
        self.steady_secs = 1;
        let mut desk = Desk::on_file(path, WEEK);
        desk.tick_at(self.now());
        desk
    }

    fn publish(&self, data: &str, desk: &mut Desk) -> u64 {
        let answers = desk.append_at(vec![draft(data)], self.now());
        answers.first().unwrap().as_ref().unwrap().published_ms
    }
}

fn on_file(path: &Path) -> (Machine, Desk) {
    (Machine::new(), Desk::on_file(path, WEEK))
}

fn kept(desk: &mut Desk) -> Vec<String> {
    let oldest = desk.published.bounds().oldest.get();
    let read = desk.read_all(Position::new(oldest - 1)).unwrap();
    read.iter().map(|update| update.data.to_string()).collect()
}

#[test]
fn a_clock_that_is_set_while_the_hub_runs_changes_no_ones_age() {
    for step_days in [400, -400, 20_000, -20_000] {
        let folder = tempfile::tempdir().unwrap();
        let (mut machine, mut desk) = on_file(&folder.path().join("history.db"));
        machine.publish("before", &mut desk);
        machine.pass(DAY_SECS, &mut desk);
        let away = machine.wall_secs.saturating_add_signed(step_days * 86_400);
        machine.set(away, &mut desk);
        machine.publish("meanwhile", &mut desk);
        machine.pass(DAY_SECS, &mut desk);
        assert_eq!(kept(&mut desk), ["before", "meanwhile"], "{step_days}");
        machine.set(NOW_SECS + 2 * DAY_SECS, &mut desk);
        machine.publish("after", &mut desk);
        assert_eq!(desk.published.stats().clock_steps, 2);
        // Each ends a week after it came, to the hour.
        let all = ["before", "meanwhile", "after"];
        for (passed, left) in [
            (5 * DAY_SECS - 3600, 0),
            (3600, 1),
            (DAY_SECS, 2),
            (DAY_SECS, 3),
        ] {
            machine.pass(passed, &mut desk);
            assert_eq!(kept(&mut desk), all[left..], "{step_days}");
        }
        assert_eq!(desk.published.stats().clock_steps, 2);
    }
}

#[test]
fn events_about_subscriptions_end_by_the_time_that_passes_too() {
    let retention = Retention {
        presence: PresenceRetention {
            age_max: Some(Duration::from_secs(2 * 3600)),
            events_max: 10,
        },
        ..WEEK
    };
    let mut machine = Machine::new();
    let mut desk = Desk::in_memory(retention);
    desk.append_at(
        vec![presence_draft("event", Presence::Begins(None))],
        machine.now(),
    );
    machine.publish("update", &mut desk);
    machine.set(NOW_SECS + 400 * DAY_SECS, &mut desk);
    machine.pass(3600, &mut desk);
    assert_eq!(kept(&mut desk), ["event", "update"]);
    machine.set(NOW_SECS, &mut desk);
    machine.pass(3600, &mut desk);
    assert_eq!(kept(&mut desk), ["update"]);
}

#[test]
fn a_stop_counts_for_what_it_was_but_for_a_quarter_of_the_limit_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let (mut machine, mut desk) = on_file(&path);
    machine.publish("1", &mut desk);
    // A stop of a day is believed.
    desk = machine.restart(NOW_SECS + DAY_SECS, desk, &path);
    assert_eq!(desk.published.stats().clock_steps, 0);
    assert_eq!(
        machine.publish("2", &mut desk),
        (NOW_SECS + DAY_SECS) * 1000
    );
    // One of four hundred days counts for a quarter of a week.
    let mut desk = machine.restart(NOW_SECS + 401 * DAY_SECS, desk, &path);
    assert_eq!(desk.published.stats().clock_steps, 1);
    let told_ms = machine.publish("3", &mut desk);
    assert_eq!(told_ms, (NOW_SECS + DAY_SECS + WEEK_SECS / 4) * 1000);
    assert_eq!(kept(&mut desk), ["1", "2", "3"]);
    // So "1" is a day and a quarter of a week old.
    machine.pass(WEEK_SECS * 3 / 4 - DAY_SECS - 3600, &mut desk);
    assert_eq!(kept(&mut desk), ["1", "2", "3"]);
    machine.pass(3600, &mut desk);
    assert_eq!(kept(&mut desk), ["2", "3"]);
    machine.pass(DAY_SECS, &mut desk);
    assert_eq!(kept(&mut desk), ["3"]);
}

#[test]
fn a_clock_that_is_wrong_at_the_start_costs_a_part_once_and_is_forgotten_when_it_is_right_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let (mut machine, mut desk) = on_file(&path);
    machine.publish("1", &mut desk);
    let wrong = NOW_SECS + 400 * DAY_SECS;
    for _ in 0..10 {
        // A hub that dies again and again does not take another part each time.
        desk = machine.crash(wrong, desk, &path);
    }
    assert_eq!(kept(&mut desk), ["1"]);
    machine.set(NOW_SECS + 3600, &mut desk);
    for _ in 0..10 {
        desk = machine.crash(NOW_SECS + 3600, desk, &path);
    }
    let told_ms = machine.publish("2", &mut desk);
    assert_eq!(told_ms, (NOW_SECS + WEEK_SECS / 4) * 1000);
    machine.pass(WEEK_SECS * 3 / 4 - 3600, &mut desk);
    assert_eq!(kept(&mut desk), ["1", "2"]);
    machine.pass(3600, &mut desk);
    assert_eq!(kept(&mut desk), ["2"]);
}

#[test]
fn a_clock_that_begins_far_back_ends_nothing_sooner_and_nothing_later() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let (mut machine, mut desk) = on_file(&path);
    machine.publish("1", &mut desk);
    // A machine without a battery for its clock, until a time server answers.
    let mut desk = machine.restart(0, desk, &path);
    assert_eq!(machine.publish("2", &mut desk), NOW_SECS * 1000);
    machine.set(NOW_SECS + 3600, &mut desk);
    assert_eq!(desk.published.stats().clock_steps, 2);
    machine.pass(WEEK_SECS - 3600, &mut desk);
    assert_eq!(kept(&mut desk), ["1", "2"]);
    machine.pass(3600, &mut desk);
    assert_eq!(kept(&mut desk), [""; 0]);
    // With nothing kept, the machine's clock is taken as it is.
    let mut desk = machine.restart(NOW_SECS + 400 * DAY_SECS, desk, &path);
    let told_ms = machine.publish("3", &mut desk);
    assert_eq!(told_ms, (NOW_SECS + 400 * DAY_SECS) * 1000);
}

#[test]
fn a_quiet_hub_that_is_restarted_daily_forgets_what_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let (mut machine, mut desk) = on_file(&path);
    machine.publish("1", &mut desk);
    for day in 1..=6 {
        machine.pass(20 * 3600, &mut desk);
        // The time is noted hourly, so even a crash loses little of it.
        desk = machine.crash(NOW_SECS + day * DAY_SECS, desk, &path);
        assert_eq!(kept(&mut desk), ["1"]);
    }
    machine.pass(DAY_SECS, &mut desk);
    assert_eq!(kept(&mut desk), [""; 0]);
}

#[test]
fn the_threads_of_a_history_keep_to_the_time_that_passes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let machine = Arc::new(Mutex::new(Machine::new()));
    let (asked_tx, asked) = sync_channel(0);
    let shown = Arc::clone(&machine);
    let clock = Box::new(move || {
        // The test may have ended, so that nobody receives this.
        asked_tx.try_send(()).ok();
        shown.lock().unwrap().now()
    });
    let history = start(options(Kind::File { path }, WEEK), Box::new(|_| {}), clock).unwrap();
    append(&history, draft("before"));
    machine.lock().unwrap().wall_secs += 400 * DAY_SECS;
    append(&history, draft("meanwhile"));
    // Two ticks: the second begins after all that the first one led to.
    asked.recv_timeout(PATIENCE).unwrap();
    asked.recv_timeout(PATIENCE).unwrap();
    assert_eq!(history.bounds().oldest, Position::new(1));
    machine.lock().unwrap().steady_secs += WEEK_SECS;
    while history.bounds().oldest < Position::new(3) {
        asked.recv_timeout(PATIENCE).unwrap();
    }
    history.close();
}
