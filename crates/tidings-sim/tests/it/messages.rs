//! Messages for hubs: they reach the handler of every hub, also one that was away, and no subscriber.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidings_cluster::{Epoch, Loopback};
use tidings_core::grant::Grants;
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_core::update::Update;
use tidings_history::{Order, PresenceRetention, Reading, Retention};
use tidings_hub::control::{Handler, Message, Operators};
use tidings_sim::disk::Disk;
use tidings_sim::lab::{self, Lab, Read, Stream};
use tidings_wire::publish_form::PublishForm;
use tokio::runtime::Builder;

const NOW: Reading = Reading {
    wall_ms: 1_800_000_000_000,
    steady: Duration::ZERO,
};

#[test]
fn a_message_reaches_the_handler_of_a_single_hub_and_no_subscriber() {
    let disk = Disk::new(Order::Own(Epoch::new([1; 32])));
    let mut lab = start(&disk);
    let seen = Seen::listening(&mut lab);
    let live = subscribe(&mut lab, None);
    let answer = lab.tell(&revoke());
    publish(&mut lab, "after it");
    answer.blocking_recv().expect("an answer").expect("stored");
    assert_eq!(*seen.0.lock().expect("a lock"), [revoke()]);
    assert_eq!(datas(&mut lab, live), ["after it"]);
    let replayed = subscribe(&mut lab, Some("earliest"));
    assert_eq!(datas(&mut lab, replayed), ["after it"]);
}

#[test]
fn a_message_is_there_after_a_restart() {
    let disk = Disk::new(Order::Own(Epoch::new([1; 32])));
    let mut lab = start(&disk);
    drop(lab.tell(&revoke()));
    publish(&mut lab, "after it");
    drop(lab);
    let mut lab = start(&disk);
    let seen = Seen::listening(&mut lab);
    assert_eq!(*seen.0.lock().expect("a lock"), [revoke()]);
    // Not again when something else comes.
    publish(&mut lab, "later");
    assert_eq!(seen.0.lock().expect("a lock").len(), 1);
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<Message>>>);

impl Seen {
    fn listening(lab: &mut Lab) -> Self {
        let seen = Self::default();
        let operators = Operators::new(seen.clone(), lab.stored_messages());
        lab.listen(Box::new(operators));
        seen
    }
}

impl Handler for Seen {
    fn on_message(&mut self, message: Message, update: &Update) {
        assert!(update.visibility.is_for_hubs());
        self.0.lock().expect("a lock").push(message);
    }
}

fn revoke() -> Message {
    Message::Revoke {
        token: "stolen".into(),
        until: None,
    }
}

fn start(disk: &Disk) -> Lab {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().start_paused(true);
    let runtime = lab::runtime(&mut builder).expect("a runtime");
    let options = lab::Options {
        shards: 1,
        ring_bytes: 0,
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
    Lab::start(runtime, disk.storage(), &options, Arc::new(Loopback::new())).expect("a hub")
}

fn publish(lab: &mut Lab, data: &str) {
    drop(lab.publish(PublishForm {
        traceparent: None,
        topics: vec!["/news".to_owned()],
        data: Some(data.to_owned()),
        private: false,
        id: None,
        event_type: None,
        retry: None,
    }));
    settle(lab);
}

/// Subscribes to everything, with a grant for everything.
fn subscribe(lab: &mut Lab, cursor: Option<&str>) -> Stream {
    let matchers = [(MatcherType::Exact, "*")];
    let hub = lab.hub().clone();
    let everything = Matcher::parse(MatcherType::Exact, "*", &hub).expect("a matcher");
    let grants = Grants::new(Vec::new(), vec![everything], Vec::new()).expect("grants");
    let stream = lab.subscribe(0, &matchers, cursor, Some(Arc::new(grants)));
    settle(lab);
    stream.blocking_recv().expect("a stream")
}

fn settle(lab: &mut Lab) {
    for _ in 0..8 {
        lab.run_until_idle();
        lab.write(100, NOW);
        lab.route(100);
        lab.run_until_idle();
        lab.read();
        lab.run_until_idle();
    }
}

fn datas(lab: &mut Lab, mut stream: Stream) -> Vec<String> {
    settle(lab);
    let mut text = String::new();
    while let Read::Bytes(bytes) = stream.read() {
        text.push_str(std::str::from_utf8(&bytes).expect("text"));
        lab.run_until_idle();
    }
    let datas = text.lines().filter_map(|line| line.strip_prefix("data:"));
    datas.map(|data| data.trim_start().to_owned()).collect()
}
