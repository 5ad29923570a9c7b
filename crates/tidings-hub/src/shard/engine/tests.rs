//! Bounds of the engine's notes.

use tidings_core::dialect::Dialect;
use tidings_core::id_seal::IdSeal;
use tidings_core::index::MatcherIndex;
use tidings_core::matcher::{Matcher, MatcherType};
use tidings_core::topic::Topic;
use tidings_core::update::{IdSource, Topics, Update, Visibility};
use tidings_history::Tip;

use super::*;
use crate::account::Booked;
use crate::session::Parts;
use crate::session::progress::RUNS_PER_SESSION_MAX;
use crate::session::socket::{BodySink, Socket};

#[test]
fn a_long_sweep_of_many_runs_is_left_to_the_sessions_own_task() {
    let matcher = Matcher::parse(MatcherType::Exact, "a", &hub()).unwrap();
    let id = MatcherIndex::new().intern(&matcher);
    let mut engine = engine();
    let session = insert(&mut engine, None);
    engine.on_joined(session.id, Box::new([id]), Position::ZERO);
    session.update(Progress::go_live);
    // Each update has its own list of matchers, as updates of different groups do.
    let posts: Vec<_> = (1..=2 * RUNS_PER_SESSION_MAX as u64)
        .map(|number| Arc::new(Posted::new(update(number), Arc::from([id]))))
        .collect();
    engine.mark(&batch(&posts[..RUNS_PER_SESSION_MAX]));
    assert!(!session.is_up_to_date());
    assert_eq!(session.phase(), Phase::Live);
    engine.mark(&batch(&posts[RUNS_PER_SESSION_MAX..]));
    assert!(session.update(Progress::take_runs).is_empty());
    assert_eq!(session.phase(), Phase::Behind);
    assert_eq!(session.position(), Position::ZERO);
    assert!(engine.flush(start(), usize::MAX).done);
}

#[test]
fn an_update_is_timed_once_however_many_sessions_receive_it() {
    let (matcher, other) = ("a", "b");
    let matchers =
        [matcher, other].map(|text| Matcher::parse(MatcherType::Exact, text, &hub()).unwrap());
    let mut index = MatcherIndex::new();
    let [id, other] = matchers.map(|matcher| index.intern(&matcher));
    let mut engine = engine();
    for _ in 0..3 {
        let session = insert(&mut engine, None);
        engine.on_joined(session.id, Box::new([id]), Position::ZERO);
        session.update(Progress::go_live);
    }
    // Two go to the sessions of this shard, and one to those of another.
    let posts = [(1, id), (2, id), (3, other)]
        .map(|(number, id)| Arc::new(Posted::new(update(number), Arc::from([id]))));
    engine.mark(&batch(&posts));
    assert!(engine.flush(start(), usize::MAX).done);
    let durations = Histogram::default();
    engine.count_durations(Instant::now(), &durations);
    let counted = || durations.snapshot().buckets.iter().sum::<u64>();
    assert_eq!(counted(), 2);
    engine.count_durations(Instant::now(), &durations);
    assert_eq!(counted(), 2);
}

#[test]
fn an_http2_stream_whose_last_piece_hyper_has_not_taken_yet_is_behind_but_not_lagging() {
    let matcher = Matcher::parse(MatcherType::Exact, "a", &hub()).unwrap();
    let id = MatcherIndex::new().intern(&matcher);
    let mut engine = engine();
    let (sink, _body) = BodySink::new();
    let session = insert_on(&mut engine, None, sink);
    engine.on_joined(session.id, Box::new([id]), Position::ZERO);
    session.update(Progress::go_live);
    for (number, delivered, phase) in [(1, 1, Phase::Live), (2, 0, Phase::Behind)] {
        engine.mark(&batch(&[Arc::new(Posted::new(
            update(number),
            Arc::from([id]),
        ))]));
        let swept = engine.flush(start(), usize::MAX);
        assert_eq!((swept.updates, swept.lagging), (delivered, 0));
        assert_eq!(session.phase(), phase);
    }
    assert_eq!(session.position(), Position::new(1));
    assert!(!session.update(Progress::take_lagging));
}

#[test]
fn a_session_that_ended_long_before_its_time_leaves_no_note_behind() {
    let mut engine = engine();
    let end = start().after(Duration::from_secs(365 * 24 * 3600));
    let session = insert(&mut engine, Some((end, Ending::TokenExpired)));
    let soon = start().after(LOOK_EVERY);
    assert!(engine.on_timer(soon).is_some());
    assert_eq!(session.phase(), Phase::Joining);
    engine.remove(&session);
    assert!(engine.on_timer(soon.after(LOOK_EVERY)).is_some());
    assert_eq!(engine.timers.pop_due(end), None);
}

fn engine() -> Engine {
    Engine::new(
        hub(),
        Ring::new(
            Tip {
                position: Position::ZERO,
                print: None,
            },
            1024,
        ),
        None,
    )
}

fn insert(engine: &mut Engine, deadline: Option<(Tick, Ending)>) -> Rc<Session> {
    let (sink, _body) = BodySink::new();
    insert_on(engine, deadline, sink)
}

fn insert_on(
    engine: &mut Engine,
    deadline: Option<(Tick, Ending)>,
    sink: Rc<BodySink>,
) -> Rc<Session> {
    engine.insert(|id| {
        Session::new(Parts {
            id,
            encoding: Encoding::Plain,
            dialect: Dialect::V1,
            log: None,
            socket: Socket::Body(sink),
            matchers: Box::default(),
            booked: Booked::default(),
            identity: None,
            now: start(),
            deadline,
            duplex: None,
            holder: crate::account::tests::holder(),
        })
    })
}

fn update(number: u64) -> Arc<Update> {
    let position = Position::new(number);
    Arc::new(Update {
        trace: None,
        position,
        print: None,
        id: IdSeal::new([0; 32]).seal(position, None),
        id_source: IdSource::Hub,
        published_ms: 0,
        topics: Topics::one(Topic::parse("a").unwrap()),
        data: Arc::from("x"),
        visibility: Visibility::Public,
        event_type: None,
        retry_ms: None,
        presence: None,
        note: None,
    })
}

fn batch(posts: &[Arc<Posted>]) -> Batch {
    Batch {
        posts: posts.into(),
        durable: Instant::now(),
    }
}

fn hub() -> HubUrl {
    HubUrl::parse("https://hub.example.com/.well-known/mercure").unwrap()
}

fn start() -> Tick {
    Tick::at(Duration::ZERO)
}
