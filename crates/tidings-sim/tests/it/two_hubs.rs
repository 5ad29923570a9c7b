//! Two hubs behind a model engine: one log of updates, ids that both hubs know, and an engine that
//! is unreachable, stopped, or replaced by one with another log.

use std::sync::Arc;
use std::time::Duration;

use tidings_cluster::{Epoch, Health, Relay};
use tidings_core::matcher::MatcherType;
use tidings_core::position::Position;
use tidings_core::update::Update;
use tidings_history::{Order, PresenceRetention, Reading, Retention};
use tidings_sim::disk::{Disk, Fault};
use tidings_sim::engine::{Engine, Member};
use tidings_sim::lab::{Lab, Options, Published, Read, Stream};
use tidings_wire::publish_form::PublishForm;

const EPOCH: Epoch = Epoch::new([5; 32]);
const TOPIC: &str = "/news/1";
const NOW_MS: u64 = 1_800_000_000_000;

#[test]
fn both_hubs_hold_the_same_updates_whoever_took_them() {
    let engine = Engine::new(EPOCH);
    let (mut one, mut other) = (Hub::start(&engine), Hub::start(&engine));
    for round in 0..5 {
        engine.set_clock(NOW_MS + round);
        let taken = [one.publish("a"), other.publish("b"), one.publish("c")];
        // The two hubs store the updates at different times.
        one.work();
        if round % 2 == 0 {
            other.work();
        }
        other.work();
        for answer in taken {
            assert!(outcome(answer).is_some_and(|outcome| outcome.is_ok()));
        }
    }
    let updates = one.disk.updates();
    assert_eq!(updates.len(), 15);
    assert_eq!(updates, other.disk.updates());
    assert_eq!(updates[14].published_ms, NOW_MS + 4, "the engine's clock");
    assert_eq!(one.member.figures().waiting, 0);
}

#[test]
fn a_publisher_is_answered_when_its_own_hub_has_stored_the_update() {
    let engine = Engine::new(EPOCH);
    let (mut one, mut other) = (Hub::start(&engine), Hub::start(&engine));
    let mut answer = one.publish("a");
    other.work();
    assert_eq!(other.disk.updates().len(), 1);
    assert!(answer.try_recv().is_err(), "its own hub has not stored it");
    assert_eq!(one.member.figures().waiting, 1);
    one.work();
    let id = answer.try_recv().expect("an answer").expect("an id");
    assert_eq!(id, other.disk.updates()[0].id.as_str());
}

#[test]
fn a_cursor_of_one_hub_resumes_on_the_other() {
    let engine = Engine::new(EPOCH);
    let (mut one, mut other) = (Hub::start(&engine), Hub::start(&engine));
    let mut stream = one.subscribe(None);
    for data in ["first", "second", "third"] {
        drop(one.publish(data));
    }
    one.work();
    other.work();
    assert_eq!(one.read(&mut stream), ["first", "second", "third"]);
    drop(stream);
    let cursor = one.disk.updates()[0].id.as_str().to_owned();
    let mut stream = other.subscribe(Some(&cursor));
    assert_eq!(stream.answered, cursor, "known, and no gap");
    drop(one.publish("fourth"));
    one.work();
    other.work();
    assert_eq!(other.read(&mut stream), ["second", "third", "fourth"]);
}

#[test]
fn an_engine_that_is_away_refuses_and_nothing_is_lost_when_it_is_back() {
    let engine = Engine::new(EPOCH);
    let mut hub = Hub::start(&engine);
    let waits = hub.publish("before");
    engine.set_away(true);
    assert!(matches!(hub.member.health(), Health::Unavailable { .. }));
    let refused = outcome(hub.publish("meanwhile"));
    let expected = "the update was not stored: the hub takes no updates until its fault is mended";
    assert_eq!(refused, Some(Err(expected.to_owned())));
    hub.work();
    engine.set_away(false);
    assert_eq!(hub.member.health(), Health::Ok);
    hub.work();
    assert!(outcome(waits).is_some_and(|outcome| outcome.is_ok()));
    assert_eq!(data(&hub.disk.updates()), ["before"]);
}

#[test]
fn a_failure_that_the_relay_reports_later_reaches_the_publisher_at_once() {
    let engine = Engine::new(EPOCH);
    let hub = Hub::start(&engine);
    let mut waits = hub.publish("a");
    engine.set_away(true);
    assert!(waits.try_recv().is_err());
    hub.member.give_up();
    hub.lab.run_until_idle();
    assert!(outcome(waits).is_some_and(|outcome| outcome.is_err()));
}

#[test]
fn what_waits_when_the_relay_stops_is_answered_and_what_comes_later_is_refused() {
    let engine = Engine::new(EPOCH);
    let mut hub = Hub::start(&engine);
    let waiting: Vec<_> = (0..300).map(|_| hub.publish("in time")).collect();
    hub.member.stop();
    let late = outcome(hub.publish("late"));
    assert_eq!(late, Some(Err("the hub is being stopped".to_owned())));
    // The history closes after the relay, so it stores what is queued.
    while hub.lab.write(1000, now()) {}
    hub.lab.run_until_idle();
    for answer in waiting {
        assert!(outcome(answer).is_some_and(|outcome| outcome.is_ok()));
    }
    assert_eq!(hub.disk.updates().len(), 300);
}

#[test]
fn a_relay_that_sends_again_what_it_sent_changes_nothing() {
    let engine = Engine::new(EPOCH);
    let mut hub = Hub::start(&engine);
    let mut stream = hub.subscribe(None);
    for data in ["first", "second"] {
        drop(hub.publish(data));
    }
    hub.work();
    drop(hub.publish("third"));
    hub.member.follow_from(Position::new(1));
    hub.work();
    assert_eq!(hub.member.refused(), None);
    assert_eq!(hub.read(&mut stream), ["first", "second", "third"]);
    assert_eq!(hub.disk.updates().len(), 3);
}

#[test]
fn another_line_and_a_hole_are_refused_with_what_was_expected() {
    let engine = Engine::new(EPOCH);
    let mut hub = Hub::start(&engine);
    for _ in 0..4 {
        drop(hub.publish("a"));
    }
    hub.work();
    engine.rewrite(Position::new(3), |update| update.draft.data = "b".into());
    hub.member.follow_from(Position::new(2));
    hub.work();
    let refused = hub.member.refused().expect("a refusal");
    assert!(refused.starts_with("position 3 does not hold"), "{refused}");
    drop(hub.publish("a"));
    drop(hub.publish("a"));
    hub.member.follow_from(Position::new(6));
    hub.work();
    let refused = hub.member.refused().expect("a refusal");
    assert_eq!(refused, "position 5 comes next, but position 6 came");
    assert_eq!(hub.disk.updates().len(), 4);
}

#[test]
fn a_full_disk_keeps_the_publisher_waiting_until_its_update_is_stored() {
    let engine = Engine::new(EPOCH);
    let mut hub = Hub::start(&engine);
    hub.disk.set_fault(Fault::Full);
    let mut answer = hub.publish("taken by the engine");
    hub.work();
    // The engine has the update, so it is not refused.
    assert!(answer.try_recv().is_err());
    hub.disk.set_fault(Fault::None);
    hub.lab.tick(now());
    hub.work();
    assert!(outcome(answer).is_some_and(|outcome| outcome.is_ok()));
}

/// A hub of the cluster.
struct Hub {
    lab: Lab,
    disk: Disk,
    member: Member,
}

impl Hub {
    fn start(engine: &Engine) -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true);
        let runtime = tidings_sim::lab::runtime(&mut builder).expect("a runtime");
        let options = Options {
            shards: 1,
            ring_bytes: 64 * 1024,
            retention: Retention {
                age_max: None,
                updates_max: None,
                bytes_max: None,
                presence: PresenceRetention::DEFAULT,
            },
            keep_alive: Duration::from_secs(15),
            stall: Duration::from_secs(60),
            presence: false,
        };
        let disk = Disk::new(Order::Relay(EPOCH));
        let member = engine.member();
        let relay = Arc::new(member.clone());
        let lab = Lab::start(runtime, disk.storage(), &options, relay).expect("a hub");
        Self { lab, disk, member }
    }

    /// Publishes an update. The hub stores it when it works.
    fn publish(&self, data: &str) -> Published {
        let answer = self.lab.publish(PublishForm {
            traceparent: None,
            topics: vec![TOPIC.to_owned()],
            data: Some(data.to_owned()),
            private: false,
            id: None,
            event_type: None,
            retry: None,
        });
        self.lab.run_until_idle();
        answer
    }

    fn subscribe(&mut self, cursor: Option<&str>) -> Stream {
        let matchers = [(MatcherType::Exact, TOPIC)];
        let mut stream = self.lab.subscribe(0, &matchers, cursor, None);
        for _ in 0..4 {
            self.lab.run_until_idle();
            self.lab.read();
            self.lab.route(100);
        }
        stream.try_recv().expect("a stream")
    }

    /// Returns the data of all events that arrive.
    fn read(&mut self, stream: &mut Stream) -> Vec<String> {
        let mut text = Vec::new();
        for _ in 0..10 {
            while let Read::Bytes(bytes) = stream.read() {
                text.extend_from_slice(&bytes);
                self.lab.run_until_idle();
            }
            self.lab.read();
            self.lab.run_until_idle();
        }
        let text = String::from_utf8(text).expect("UTF-8");
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(str::to_owned).collect()
    }

    /// Follows the engine, stores and delivers.
    fn work(&mut self) {
        self.member.follow(1000);
        self.lab.write(1000, now());
        for _ in 0..4 {
            self.lab.route(100);
            self.lab.run_until_idle();
            self.lab.read();
        }
    }
}

fn now() -> Reading {
    Reading {
        wall_ms: NOW_MS,
        steady: Duration::ZERO,
    }
}

/// Returns the answer to a publisher, if there is one.
fn outcome(mut answer: Published) -> Option<Result<String, String>> {
    answer.try_recv().ok()
}

fn data(updates: &[Arc<Update>]) -> Vec<&str> {
    updates.iter().map(|update| &*update.data).collect()
}
