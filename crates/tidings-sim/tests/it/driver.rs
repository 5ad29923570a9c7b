//! Members on their own threads over the model: publishing, following, an engine that is away, and
//! the end.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use fastrand::Rng;
use tidings_cluster::driver::{IfNone, JoinError, join};
use tidings_cluster::engine::{
    Append, Appended, BootId, EpochId, Item, NodeId, Origin, Proposal, Seen, Sender,
};
use tidings_cluster::host::Clustered;
use tidings_cluster::member::request::{Reply, Request};
use tidings_cluster::member::{Membership, Options};
use tidings_cluster::{Envelope, Epoch, Health, History as _, Publication, Relay, RelayError};
use tidings_core::Digest;
use tidings_core::position::Position;
use tidings_core::topic::Topic;
use tidings_core::update::{Draft, Topics, Update, Visibility};
use tidings_history::{Handle, Kind, Order, PresenceRetention, Retention, start};
use tidings_sim::cluster::engine::ModelEngine;
use tidings_sim::cluster::model::Model;

const SECRET: Epoch = Epoch::new([9; 32]);
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn hubs_on_threads_of_their_own_have_one_line() {
    let engine = ModelEngine::new(Model::new(None));
    let hubs = [1, 2].map(|node| Hub::start(&engine, node, DEADLINE));
    let answers: Vec<_> = (0..40)
        .map(|number| hubs[number % 2].publish(&number.to_string()))
        .collect();
    for answer in answers {
        answer
            .recv_timeout(DEADLINE)
            .expect("an answer")
            .expect("an update");
    }
    let end = Position::new(40);
    for hub in &hubs {
        wait(|| hub.history.last() == end);
    }
    assert_eq!(
        hubs[0].history.tip(),
        hubs[1].history.tip(),
        "position and print"
    );
    assert_eq!(hubs[0].relay.health(), Health::Ok);
    for hub in hubs {
        hub.stop();
    }
}

#[test]
fn an_engine_that_comes_back_in_time_is_not_noticed_by_publishers() {
    let engine = ModelEngine::new(Model::new(None));
    let hub = Hub::start(&engine, 1, DEADLINE);
    wait(|| hub.relay.health() == Health::Ok);
    engine.with(|model| model.set_away(true));
    wait(|| hub.relay.health() != Health::Ok);
    let answer = hub.publish("waits");
    let early = answer.recv_timeout(Duration::ZERO).err();
    assert_eq!(early, Some(RecvTimeoutError::Timeout));
    engine.with(|model| model.set_away(false));
    answer
        .recv_timeout(DEADLINE)
        .expect("an answer")
        .expect("an update");
    wait(|| hub.relay.health() == Health::Ok);
    hub.stop();
}

#[test]
fn an_engine_that_stays_away_refuses_in_bounded_time() {
    let engine = ModelEngine::new(Model::new(None));
    let hub = Hub::start(&engine, 1, Duration::from_millis(50));
    wait(|| hub.relay.health() == Health::Ok);
    engine.with(|model| model.set_away(true));
    wait(|| hub.relay.health() != Health::Ok);
    let refused = hub
        .publish("in vain")
        .recv_timeout(DEADLINE)
        .expect("an answer");
    assert!(
        matches!(refused, Err(RelayError::Away { .. })),
        "{refused:?}"
    );
    let figures = hub.relay.figures().cluster.expect("figures of a cluster");
    wait(|| figures.counters.expired <= 1);
    hub.stop();
}

#[test]
fn what_must_not_overtake_is_stored_in_order_or_not_at_all() {
    let engine = ModelEngine::new(Model::new(None));
    let hub = Hub::start(&engine, 1, Duration::from_millis(50));
    wait(|| hub.relay.health() == Health::Ok);
    engine.with(|model| model.set_away(true));
    wait(|| hub.relay.health() != Health::Ok);
    let answers = hub.publish_in_order(0..50);
    let mut answers = answers.into_iter();
    let first = answers.next().expect("fifty").recv_timeout(DEADLINE);
    // From here on the engine would take the others.
    engine.with(|model| model.set_away(false));
    for answer in std::iter::once(first).chain(answers.map(|next| next.recv_timeout(DEADLINE))) {
        let refused = answer.expect("an answer");
        assert!(
            matches!(refused, Err(RelayError::Away { .. })),
            "{refused:?}"
        );
    }
    wait(|| hub.relay.health() == Health::Ok);
    let answers = hub.publish_in_order(0..100).into_iter();
    let stored = answers.map(|answer| answer.recv_timeout(DEADLINE).expect("an answer"));
    let stored: Vec<Arc<Update>> = stored.map(|stored| stored.expect("an update")).collect();
    for (number, pair) in stored.windows(2).enumerate() {
        assert_eq!(&*pair[0].data, number.to_string());
        assert!(pair[0].position < pair[1].position);
    }
    let too_many = (0..101).map(|number| publication(&number.to_string()).0);
    let refused = hub.relay.publish_in_order(too_many.collect());
    assert!(matches!(refused, Err(RelayError::Busy)), "{refused:?}");
    assert_eq!(
        hub.history.last(),
        Position::new(100),
        "none of them was taken"
    );
    hub.stop();
}

/// The hub had begun to leave its line, and could not publish anew what the other one lacks.
#[test]
fn a_hub_that_is_on_its_own_line_again_sends_nothing_of_it_again() {
    let engine = ModelEngine::new(Model::new(None));
    let hub = Hub::start(&engine, 1, DEADLINE);
    let publish = |data: &str| {
        let answer = hub.publish(data).recv_timeout(DEADLINE);
        answer.expect("an answer").expect("an update");
    };
    publish("first");
    engine.with(Model::replicate);
    let large = "x".repeat(1000);
    publish(&large);
    publish(&large);
    engine.with(|model| {
        model.fail_over(false);
        model.item_bytes_max = Some(500);
        let (server, another) = (model.primary(), Request::Append(another()));
        let taken = model.answer(server, &another, &mut Rng::with_seed(1));
        assert!(matches!(
            taken,
            Some(Ok(Reply::Appended(Appended::Taken { .. })))
        ));
    });
    wait(|| match hub.relay.health() {
        Health::Unavailable { reason } => reason.contains("`item_bytes_max`"),
        Health::Ok => false,
    });
    engine.with(|model| {
        model.fail_back();
        model.item_bytes_max = None;
    });
    wait(|| hub.relay.health() == Health::Ok);
    publish("last");
    assert_eq!(engine.with(|model| model.last()), Position::new(4));
    assert_eq!(hub.history.last(), Position::new(4));
    hub.stop();
}

/// An update of another hub, after the first one.
fn another() -> Append {
    let sender = Sender {
        node: NodeId::new(2),
        boot: BootId::new(1),
    };
    let envelope = Envelope {
        draft: draft("another"),
        key: None,
    };
    let item = Item {
        origin: Origin {
            sender,
            batch: 1,
            index: 0,
        },
        digest: Digest::new([7; 16]),
        key: None,
        bytes: envelope.encode().into(),
    };
    Append {
        epoch: EpochId::new(1),
        seen: Seen {
            position: Position::new(1),
            print: None,
        },
        sender,
        batch: 1,
        items: Arc::new([item]),
    }
}

#[test]
fn what_comes_after_the_stop_is_refused() {
    let engine = ModelEngine::new(Model::new(None));
    let hub = Hub::start(&engine, 1, DEADLINE);
    let answer = hub.publish("in time");
    hub.relay.stop();
    answer
        .recv_timeout(DEADLINE)
        .expect("an answer")
        .expect("an update");
    let late = hub
        .relay
        .publish(draft("late"), None, Box::new(|_| unreachable!()));
    assert!(matches!(late, Err(RelayError::Closed)));
    hub.history.close();
}

#[test]
fn a_hub_does_not_start_without_its_engine() {
    let engine = ModelEngine::new(Model::new(None));
    engine.with(|model| model.set_away(true));
    let joined = join(
        Box::new(engine),
        None,
        options(1, DEADLINE),
        IfNone::Make(proposal(), Duration::ZERO),
        Duration::from_millis(300),
    );
    assert!(matches!(
        joined,
        Err(JoinError::Engine { fault: Some(_), .. })
    ));
}

struct Hub {
    relay: Clustered,
    history: Handle,
}

impl Hub {
    fn start(engine: &ModelEngine, node: u64, wait_max: Duration) -> Self {
        let engine = Box::new(engine.clone());
        let if_none = IfNone::Make(proposal(), Duration::ZERO);
        let relay = join(engine, None, options(node, wait_max), if_none, DEADLINE);
        let relay = relay.expect("an engine that answers");
        let options = tidings_history::Options {
            kind: Kind::Memory,
            retention: Retention {
                age_max: None,
                updates_max: None,
                bytes_max: None,
                presence: PresenceRetention::DEFAULT,
            },
            queue_max: 100,
            group_max: 100,
            reads_max: 100,
            cache_bytes_max: 1024,
            order: Order::Own(SECRET),
        }
        .ordered_by(relay.epoch());
        let history = start(options, Box::new(|_| {}), Box::new(Default::default));
        let history = history.expect("a history in memory");
        relay
            .start(Arc::new(history.clone()))
            .expect("a relay that starts once");
        Self { relay, history }
    }

    fn publish(&self, data: &str) -> Answer {
        let (Publication { draft, key, done }, rx) = publication(data);
        self.relay
            .publish(draft, key, done)
            .expect("a relay that runs");
        rx
    }

    fn publish_in_order(&self, numbers: std::ops::Range<u32>) -> Vec<Answer> {
        let (publications, answers) = numbers
            .map(|number| publication(&number.to_string()))
            .unzip();
        self.relay
            .publish_in_order(publications)
            .expect("a relay that runs");
        answers
    }

    fn stop(self) {
        self.relay.stop();
        self.history.close();
    }
}

type Answer = Receiver<Result<Arc<Update>, RelayError>>;

fn publication(data: &str) -> (Publication, Answer) {
    let (tx, rx) = sync_channel(1);
    let publication = Publication {
        draft: draft(data),
        key: None,
        done: Box::new(move |taken| drop(tx.send(taken))),
    };
    (publication, rx)
}

fn options(node: u64, wait_max: Duration) -> Options {
    Options {
        me: Sender {
            node: NodeId::new(node),
            boot: BootId::new(1),
        },
        wait_max,
        waiting_max: 100,
        waiting_bytes_max: 1024 * 1024,
        membership: Membership::default(),
    }
}

fn proposal() -> Proposal {
    Proposal {
        epoch: EpochId::new(1),
        secret: Some(SECRET),
    }
}

fn draft(data: &str) -> Draft {
    Draft {
        trace: None,
        topics: Topics::one(Topic::parse("/news/1").expect("a topic")),
        data: data.into(),
        visibility: Visibility::Public,
        id: None,
        event_type: None,
        retry_ms: None,
        presence: None,
    }
}

/// Waits until something holds.
#[track_caller]
fn wait(holds: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < end, "it took too long");
        std::thread::yield_now();
    }
}
