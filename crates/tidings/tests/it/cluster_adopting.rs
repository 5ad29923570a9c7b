//! From one hub to a cluster, and from one engine to another, without losing a cursor.
//! `docs/guide/cluster.md`, "From one hub to a cluster".

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::nats::Nats;
use crate::harness::postgresql::Postgresql;
use crate::harness::redis::{Redis, member, member_of};
use crate::harness::tokens::{self, token_for_all};
use crate::harness::wire::Wire;
use crate::harness::{Answer, HUB_PATH, Request, TestHub, run, wait_until};

const TOPIC: &str = "https://example.com/news";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The settings of a hub that is alone: those of `member`, without a cluster.
fn alone(redis: &Redis, more: &str) -> String {
    let engine = format!("engine = \"redis\"\nurl = \"{}\"\n", redis.url());
    let settings = member(redis, more);
    assert!(settings.contains(&engine), "{settings}");
    settings.replace(&engine, "")
}

/// The settings of a hub of the cluster on an engine, which others reach by the wire.
fn together(engine: &str, wire: &Wire, more: &str) -> String {
    let address = wire.address;
    let keys = format!("address = \"http://{address}\"\npeer_token = \"{TOKEN}\"\n{engine}");
    member_of(&keys, more)
}

/// What `[cluster]` says of a Redis.
fn on(redis: &Redis) -> String {
    format!("engine = \"redis\"\nurl = \"{}\"", redis.url())
}

struct Hub {
    hub: TestHub,
    wire: Wire,
    folder: Arc<TempDir>,
}

impl Hub {
    fn start(folder: Arc<TempDir>, engine: &str, more: &str) -> Self {
        let wire = Wire::loose();
        let settings = together(engine, &wire, more);
        let hub = TestHub::serve_in(Arc::clone(&folder), &settings, &[]);
        wire.lead_to(hub.admin);
        hub.wait_until_ready();
        Self { hub, wire, folder }
    }

    fn stop(mut self) -> Arc<TempDir> {
        assert!(self.hub.stop());
        self.wire.lead_to(None);
        self.folder
    }
}

fn folder() -> Arc<TempDir> {
    Arc::new(tempfile::tempdir().unwrap())
}

/// Publishes numbers, every third with an id of its publisher. Returns the ids.
fn publish(hub: &TestHub, numbers: std::ops::Range<usize>) -> Vec<String> {
    let token = token_for_all();
    let publish = |number: usize| {
        let (data, id) = (number.to_string(), format!("urn:example:{number}"));
        let mut form = vec![("topic", TOPIC), ("data", &data)];
        if number.is_multiple_of(3) {
            form.push(("id", &id));
        }
        ok(&hub.publish_as(&token, &form))
    };
    numbers.map(publish).collect()
}

/// Checks that a hub has these updates, in order, from every cursor that they are.
#[track_caller]
fn check_cursors(hub: &TestHub, ids: &[String]) {
    let places = [0, 1, ids.len() / 2, ids.len() / 2 + 1, ids.len() - 2];
    for place in places {
        let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}"));
        let mut stream = hub.subscribe_by(request.header("Last-Event-ID", &ids[place]));
        let answered = stream.head.header("mercure-last-event-id");
        assert_eq!(answered, Some(&*ids[place]), "{place}");
        for (number, id) in ids.iter().enumerate().skip(place + 1) {
            let event = stream.event();
            assert_eq!((&event.last_event_id, event.data), (id, number.to_string()));
        }
    }
}

/// Runs the command in the folder of a hub.
fn adopt(folder: &TempDir, settings: &str) -> (i32, String, String) {
    let path = written(folder, settings);
    run(&["cluster", "adopt", "--config", &path, "--json"], &[])
}

/// Writes the settings of a command into the folder of a hub.
fn written(folder: &TempDir, settings: &str) -> String {
    let data = folder.path().join("data").display().to_string();
    let text =
        format!("{settings}\n[data]\ndir = {data:?}\n[[listen]]\naddress = \"127.0.0.1:0\"\n");
    let path = folder.path().join("adopt.toml");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn cursors_of_a_hub_that_was_alone_are_good_on_every_hub_of_its_cluster() {
    let redis = Redis::start(&[]);
    let presence = "[presence]\nenabled = true\n";
    let home = folder();
    let mut hub = TestHub::serve_in(Arc::clone(&home), &alone(&redis, presence), &[]);
    let mut ids = publish(&hub, 0..20);
    // Whoever was subscribed when the hub was killed is a presence event without an end.
    let token = tokens::token_with(json!([tokens::detail(&["subscribe"], &["*"])]));
    let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}")).bearer(&token);
    let stream = hub.subscribe_by(request);
    wait_until("presence has the subscription", || {
        (subscriptions(&hub) == 1).then_some(())
    });
    ids.extend(publish(&hub, 20..30));
    hub.kill();
    drop(stream);

    let (code, output, errors) = adopt(&home, &member(&redis, presence));
    assert_eq!(code, 0, "{errors}");
    let begun: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(begun["cluster"], "tidings");
    assert!(begun["last"].as_u64().unwrap() >= 31, "{begun}");

    let one = Hub::start(home, &on(&redis), presence);
    check_cursors(&one.hub, &ids);
    // The window of the engine begins after the beginning, so that the next hub fetches it.
    redis.ask("XTRIM {t:tidings}:log MAXLEN 5");
    let two = Hub::start(folder(), &on(&redis), presence);
    check_cursors(&two.hub, &ids);
    assert!(two.hub.metric("tidings_cluster_fetched_updates_total") >= 20.0);
    ids.extend(publish(&two.hub, 30..35));
    ids.extend(publish(&one.hub, 35..40));
    for hub in [&one, &two] {
        check_cursors(&hub.hub, &ids);
        assert_eq!(hub.hub.metric("tidings_cluster_holes_total"), 0.0);
        wait_until("the ghost has ended", || {
            (subscriptions(&hub.hub) == 0).then_some(())
        });
    }
    // A hub that lost its disk has it all again, and so has the first one after a restart.
    drop(one.stop());
    let three = Hub::start(folder(), &on(&redis), presence);
    check_cursors(&three.hub, &ids);
}

fn subscriptions(hub: &TestHub) -> usize {
    let token = tokens::token_with(json!([tokens::detail(&["subscribe"], &["*"])]));
    let request = Request::get(&format!("{HUB_PATH}/subscriptions")).bearer(&token);
    let answer = hub.request(request).json();
    answer["subscriptions"]
        .as_array()
        .map_or(usize::MAX, Vec::len)
}

#[test]
fn a_cluster_moves_to_another_engine_with_its_cursors() {
    let (old, new) = (Redis::start(&[]), Redis::start(&[]));
    let (nats, postgresql) = (Nats::start("max_payload: 2MB"), Postgresql::start());
    let other = postgresql.cluster("postgres");
    let home = folder();
    let schema = written(&home, &member_of(&other, ""));
    let mut folders = vec![folder(), folder()];
    let mut ids = Vec::new();
    for engine in [on(&old), on(&new), nats.cluster(), other] {
        if engine.contains("postgresql") {
            let apply = ["cluster", "schema", "--apply", "--config", &schema];
            let (code, _, errors) = run(&apply, &[]);
            assert_eq!(code, 0, "{errors}");
        }
        let start = |folder| Hub::start(folder, &engine, "");
        let hubs: Vec<Hub> = folders.into_iter().map(start).collect();
        let next = ids.len();
        ids.extend(publish(&hubs[0].hub, next..next + 20));
        ids.extend(publish(&hubs[1].hub, next + 20..next + 30));
        let new = Hub::start(folder(), &engine, "");
        for hub in hubs.iter().chain([&new]) {
            check_cursors(&hub.hub, &ids);
            assert_eq!(hub.hub.metric("tidings_cluster_holes_total"), 0.0);
        }
        folders = hubs.into_iter().map(Hub::stop).collect();
    }
}

#[test]
fn what_cannot_be_adopted_is_refused_and_stays_as_it_was() {
    let redis = Redis::start(&[]);
    let settings = member(&redis, "");
    let refused = |folder: &TempDir, settings: &str, why: &str| {
        let (code, output, errors) = adopt(folder, settings);
        assert_eq!((code, &*output), (1, ""), "{errors}");
        assert!(errors.contains(why), "{errors}");
    };
    let home = folder();
    refused(&home, &settings, "there is no history");
    refused(&home, &alone(&redis, ""), "cluster.engine is");
    let memory = member(&redis, "[history]\nkind = \"memory\"\n");
    refused(&home, &memory, "history.kind is not");
    let mut hub = TestHub::serve_in(Arc::clone(&home), &alone(&redis, ""), &[]);
    refused(
        &home,
        &settings,
        &format!("another hub (process {})", hub.pid()),
    );
    assert!(hub.stop());
    refused(
        &home,
        &settings,
        "has no updates, so there is nothing to adopt",
    );
    hub.restart();
    let ids = publish(&hub, 0..3);
    assert!(hub.stop());

    // Another cluster has the name.
    let other = TestHub::joined(&redis, "");
    refused(
        &home,
        &settings,
        "has a cluster of the name tidings already",
    );
    drop(other);
    hub.restart();
    check_cursors(&hub, &ids);
    assert!(hub.stop());

    let named = settings.replace("[cluster]", "[cluster]\nname = \"mine\"");
    let (code, _, errors) = adopt(&home, &named);
    assert_eq!(code, 0, "{errors}");
    let unused = settings.replace("[cluster]", "[cluster]\nname = \"unused\"");
    refused(&home, &unused, "is a cluster's already");
}

/// The engine takes nothing: it has no room.
#[test]
fn a_history_that_the_engine_does_not_take_stays_that_of_a_hub_alone() {
    let redis = Redis::start(&[]);
    let home = folder();
    let mut hub = TestHub::serve_in(Arc::clone(&home), &alone(&redis, ""), &[]);
    let ids = publish(&hub, 0..5);
    assert!(hub.stop());
    redis.ask("CONFIG SET maxmemory 1");
    let settings = member(&redis, "").replace("[cluster]", "[cluster]\nstart_timeout_secs = 2");
    let (code, _, errors) = adopt(&home, &settings);
    assert_eq!(code, 1);
    assert!(
        errors.contains("did not take the updates within 2s: the engine refuses"),
        "{errors}"
    );
    hub.restart();
    check_cursors(&hub, &ids);
    assert!(hub.stop());
    redis.ask("CONFIG SET maxmemory 0");
    let (code, _, errors) = adopt(&home, &settings);
    assert_eq!(code, 0, "{errors}");
}

#[track_caller]
fn ok(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}
