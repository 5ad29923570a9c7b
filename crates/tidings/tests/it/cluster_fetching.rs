//! Hubs of a cluster that fetch from each other what Redis does not keep any more.
//! `docs/reference/cluster.md`, "Fetching from another hub".

use std::sync::Arc;

use serde_json::Value;

use crate::cluster::state;
use crate::harness::redis::{Redis, member};
use crate::harness::tokens::token_for_all;
use crate::harness::wire::Wire;
use crate::harness::{Answer, Connection, HUB_PATH, Request, TestHub, wait_until};

const TOPIC: &str = "https://example.com/news";
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER_TOKEN: &str = "fedcba9876543210fedcba9876543210";
const PATH: &str = "/cluster/v1/updates";
const FETCHED: &str = "tidings_cluster_fetched_updates_total";
const FAILED: &str = "tidings_cluster_failed_fetches_total";
const HOLES: &str = "tidings_cluster_holes_total";

/// A hub that others reach through a wire.
struct Hub {
    hub: TestHub,
    wire: Wire,
}

impl Hub {
    fn start(redis: &Redis, more: &str, token: &str) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), redis, more, token)
    }

    fn start_in(folder: Arc<tempfile::TempDir>, redis: &Redis, more: &str, token: &str) -> Self {
        let wire = Wire::loose();
        let keys = format!(
            "[cluster]\naddress = \"http://{}\"\npeer_token = \"{token}\"",
            wire.address
        );
        let settings = member(redis, more).replace("[cluster]", &keys);
        let hub = TestHub::serve_in(folder, &settings, &[]);
        wire.lead_to(hub.admin);
        Self { hub, wire }
    }

    fn joined(redis: &Redis, more: &str) -> Self {
        let hub = Self::start(redis, more, TOKEN);
        hub.hub.wait_until_ready();
        hub
    }

    fn restart(&mut self) {
        self.hub.restart();
        self.wire.lead_to(self.hub.admin);
    }

    fn publish(&self, numbers: std::ops::Range<usize>) -> Vec<String> {
        let token = token_for_all();
        let publish = |number: usize| {
            let data = number.to_string();
            // Every third has an id of its publisher.
            let id = format!("urn:example:{number}");
            let mut form = vec![("topic", TOPIC), ("data", &data)];
            if number.is_multiple_of(3) {
                form.push(("id", &id));
            }
            ok(&self.hub.publish_as(&token, &form))
        };
        numbers.map(publish).collect()
    }

    /// Returns ids and data after a cursor, up to the update with these data, and what the hub answered as the
    /// cursor.
    fn after(&self, cursor: &str, through: usize) -> (String, Vec<(String, String)>) {
        let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}"));
        let mut stream = self
            .hub
            .subscribe_by(request.header("Last-Event-ID", cursor));
        let answered = stream.head.header("mercure-last-event-id");
        let answered = answered.expect("a cursor").to_owned();
        let mut events = Vec::new();
        let last = through.to_string();
        while events.last().is_none_or(|(_, data)| *data != last) {
            let event = stream.event();
            events.push((event.last_event_id, event.data));
        }
        (answered, events)
    }

    fn has_all(&self) {
        self.hub
            .wait_for_metric("tidings_cluster_behind_updates", |behind| behind == 0.0);
    }
}

/// Lets Redis keep the newest entries alone.
fn trim(redis: &Redis, kept: usize) {
    let removed = redis.ask(&format!("XTRIM {{t:tidings}}:log MAXLEN {kept}"));
    assert!(removed.starts_with(':') && removed != ":0", "{removed}");
}

#[test]
fn a_hub_that_was_away_for_longer_than_the_window_misses_nothing() {
    let redis = Redis::start(&[]);
    let (one, mut two) = (Hub::joined(&redis, ""), Hub::joined(&redis, ""));
    let ids = one.publish(0..3);
    two.has_all();
    two.hub.kill();
    one.publish(3..80);
    trim(&redis, 10);
    one.wire.hold();
    two.restart();
    let reason = wait_until("it says what it does", || {
        let answer = two.hub.request_admin("/health/ready");
        let text = answer.text();
        (answer.status == 503 && text.contains("fetches them from another hub")).then_some(text)
    });
    assert!(!reason.contains("://"), "{reason} names no address");
    assert_eq!(state(&two.hub, "fetching"), 1.0);
    // Replay and streams go on meanwhile.
    assert_eq!(two.after("earliest", 2).1.len(), 3);
    one.wire.free();
    two.hub.wait_until_ready();
    for cursor in [&ids[0], &ids[2], "earliest"] {
        let (answered, events) = two.after(cursor, 79);
        assert_eq!((&*answered, events), (cursor, one.after(cursor, 79).1));
    }
    assert!(two.hub.metric(FETCHED) >= 67.0);
    assert_eq!((two.hub.metric(FAILED), two.hub.metric(HOLES)), (0.0, 0.0));
    for line in [
        "the engine does not have these updates any more",
        "the other hubs gave the updates that this hub missed",
    ] {
        assert!(two.hub.log().contains(line));
    }
    // What is published then comes to it as before.
    two.publish(80..81);
    assert_eq!(one.after(&ids[0], 80).1, two.after(&ids[0], 80).1);
}

#[test]
fn a_hub_with_an_empty_disk_gets_all_that_another_has() {
    let redis = Redis::start(&[]);
    let one = Hub::joined(&redis, "");
    let ids = one.publish(0..40);
    trim(&redis, 5);
    let all = one.after("earliest", 39).1;
    let two = Hub::joined(&redis, "");
    assert_eq!(two.after("earliest", 39).1, all);
    // A history in memory is empty after each start.
    let mut memory = Hub::joined(&redis, "[history]\nkind = \"memory\"\n");
    memory.hub.kill();
    one.publish(40..60);
    trim(&redis, 5);
    memory.restart();
    memory.hub.wait_until_ready();
    let all = one.after(&ids[20], 59).1;
    let (answered, events) = memory.after(&ids[20], 59);
    assert_eq!((answered, events), (ids[20].clone(), all));
    for hub in [&two, &memory] {
        assert_eq!(hub.hub.metric(HOLES), 0.0);
    }
}

/// The cursor is unknown on the hub that could not fetch: its subscriber is told, and gets what there is.
#[track_caller]
fn check_gap(hub: &Hub, cursor: &str, first: usize, last: usize) {
    assert_eq!(hub.hub.metric(HOLES), 1.0);
    let line = "updates are missing in this hub's history";
    assert!(hub.hub.log().contains(line), "{}", hub.hub.log());
    let (answered, events) = hub.after(cursor, last);
    assert_eq!(answered, "earliest");
    assert_eq!(events[0].1, first.to_string());
}

#[test]
fn a_wrong_token_is_said_and_the_hub_goes_on_with_a_gap() {
    let redis = Redis::start(&[]);
    let one = Hub::joined(&redis, "");
    let mut two = Hub::start(&redis, "", OTHER_TOKEN);
    two.hub.wait_until_ready();
    let ids = one.publish(0..3);
    two.has_all();
    two.hub.kill();
    one.publish(3..40);
    trim(&redis, 10);
    two.restart();
    two.hub.wait_until_ready();
    check_gap(&two, &ids[2], 30, 39);
    assert!(two.hub.metric(FAILED) >= 1.0);
    let log = two.hub.log();
    assert!(
        log.contains("it refuses the token: cluster.peer_token"),
        "{log}"
    );
    assert!(!log.contains(TOKEN) && !log.contains(OTHER_TOKEN), "{log}");
}

#[test]
fn what_no_hub_has_is_a_gap() {
    let redis = Redis::start(&[]);
    let (mut one, mut two) = (Hub::joined(&redis, ""), Hub::joined(&redis, ""));
    let ids = one.publish(0..3);
    two.has_all();
    two.hub.kill();
    one.publish(3..40);
    trim(&redis, 10);
    one.hub.kill();
    two.restart();
    two.hub.wait_until_ready();
    check_gap(&two, &ids[2], 30, 39);
}

#[test]
fn a_hub_that_does_not_answer_leaves_it_to_the_next() {
    let redis = Redis::start(&[]);
    // Hubs are asked in the order of their names: this one comes first.
    let folder = Arc::new(tempfile::tempdir().unwrap());
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    std::fs::write(
        folder.path().join("data/history.db.node"),
        "0000000000000001\n",
    )
    .unwrap();
    let first = Hub::start_in(folder, &redis, "", TOKEN);
    first.hub.wait_until_ready();
    let next = Hub::joined(&redis, "");
    next.publish(0..40);
    trim(&redis, 5);
    first.wire.lead_to(None);
    let two = Hub::joined(&redis, "");
    assert_eq!(two.after("earliest", 39).1, next.after("earliest", 39).1);
    assert_eq!((two.hub.metric(FAILED), two.hub.metric(HOLES)), (1.0, 0.0));
    let log = two.hub.log();
    assert!(
        log.contains("another hub did not give the updates"),
        "{log}"
    );
    assert!(log.contains(&first.wire.address.to_string()), "{log}");
}

#[test]
fn what_retention_has_removed_everywhere_is_a_gap_and_the_rest_is_fetched() {
    let redis = Redis::start(&[]);
    let one = Hub::joined(&redis, "[history]\nretain_updates = 20\n");
    let mut two = Hub::joined(&redis, "");
    let ids = one.publish(0..3);
    two.has_all();
    two.hub.kill();
    one.publish(3..60);
    trim(&redis, 5);
    one.hub
        .wait_for_metric("tidings_history_stored_updates", |stored| stored == 20.0);
    two.restart();
    two.hub.wait_until_ready();
    check_gap(&two, &ids[2], 40, 59);
    assert_eq!(two.after("earliest", 59).1, one.after("earliest", 59).1);
    assert_eq!(two.hub.metric(FAILED), 0.0);
    let line = "no hub that answers has these updates any more";
    assert!(two.hub.log().contains(line));
    // A hub with an empty disk misses nothing that anybody knows of.
    let three = Hub::joined(&redis, "");
    assert_eq!(three.after("earliest", 59).1, one.after("earliest", 59).1);
    assert_eq!(three.hub.metric(HOLES), 0.0);
}

#[test]
fn the_door_for_hubs_opens_for_their_token_alone() {
    let redis = Redis::start(&[]);
    let one = Hub::joined(&redis, "");
    one.publish(0..3);
    let admin = one.hub.admin.unwrap();
    let ask = |request: Request| Connection::open(admin).request(&request);
    let good = format!("{PATH}?after=0&through=9");
    let page = ask(Request::get(&good).bearer(TOKEN));
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(page.header("cache-control"), Some("no-store"));
    for (request, status, problem) in [
        (Request::get(&good), 401, "token-missing"),
        (
            Request::get(&good).bearer(OTHER_TOKEN),
            401,
            "token-invalid",
        ),
        (Request::get(PATH).bearer(TOKEN), 400, "parameter-invalid"),
        (
            Request::get(&format!("{PATH}?after=-1&through=9")).bearer(TOKEN),
            400,
            "parameter-invalid",
        ),
        (
            Request::post(&good).bearer(TOKEN),
            405,
            "method-not-allowed",
        ),
    ] {
        let refused = ask(request);
        assert_eq!((refused.status, &*refused.problem()), (status, problem));
    }
    // It is at the operators' listener, and the operators' token is another one.
    let public = one.hub.request(Request::get(&good).bearer(TOKEN));
    assert_eq!(public.status, 404);
    let closed = TestHub::joined(&redis, "");
    let refused =
        Connection::open(closed.admin.unwrap()).request(&Request::get(&good).bearer(TOKEN));
    assert_eq!((refused.status, &*refused.problem()), (403, "peers-off"));
    let problem: Value = refused.json();
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("cluster.peer_token_file")
    );
}

#[track_caller]
fn ok(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}
