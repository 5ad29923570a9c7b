//! Several hubs on one Redis: real programs and a real server. `docs/reference/cluster.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tidings_wire::zmtp::SocketType;

use crate::harness::dialects::{PATH_2019, old_token, publish_at};
use crate::harness::redis::{Redis, member};
use crate::harness::tokens::{token_for_all, token_with};
use crate::harness::{Answer, EventStream, HUB_PATH, Request, TestHub, run, tokens, wait_until};
use crate::zeromq;

const TOPIC: &str = "https://example.com/news";

const PULL: &str = "[[zeromq.inputs]]\nsocket = \"zmq-bind://PULL@127.0.0.1:0\"\n\
                    topic = \"https://example.com/news\"\n";

#[test]
fn what_one_hub_takes_by_any_door_comes_by_every_transport_of_another() {
    let redis = Redis::start(&[]);
    let (one, two) = (TestHub::joined(&redis, PULL), TestHub::joined(&redis, ""));
    let query = format!("match={TOPIC}");
    let mut own = one.subscribe(&query);
    let mut stream = two.subscribe(&query);
    let mut websocket = two.websocket(&query);
    let mut sockjs = two.sockjs(&query);
    let wanted = publish_by_every_door(&one);
    let came: Vec<(String, String)> = wanted.iter().map(|_| event(&mut stream)).collect();
    let data: BTreeSet<&str> = came.iter().map(|(_, data)| data.as_str()).collect();
    assert_eq!(data, wanted.iter().map(|(data, _)| *data).collect());
    for (data, id) in &wanted {
        let found = came.iter().find(|(_, came)| came == data).unwrap();
        if let Some(id) = id {
            assert_eq!(
                &found.0, id,
                "{data} has the id that its publisher was told"
            );
        }
    }
    // Every subscriber of every hub sees the same order, and the same ids.
    let order: Vec<&str> = came.iter().map(|(_, data)| data.as_str()).collect();
    for (id, data) in &came {
        assert_eq!(&event(&mut own), &(id.clone(), data.clone()));
        for frame in [websocket.json(), sockjs.json()] {
            assert_eq!(frame["update"]["id"], id.as_str());
            assert_eq!(frame["update"]["data"], data.as_str());
        }
    }
    assert_eq!(
        polled(&two, &format!("{query}&last_event_id=earliest"), 6),
        order
    );
}

/// Publishes by each door. Returns the data, and the id where the door tells it.
fn publish_by_every_door(hub: &TestHub) -> Vec<(&'static str, Option<String>)> {
    let (new, old) = (token_for_all(), old_token(json!({"publish": ["*"]})));
    let mut wanted = Vec::new();
    for (path, token, data) in [
        (HUB_PATH, &new, "1.0"),
        (HUB_PATH, &old, "0.x"),
        (PATH_2019, &old, "2019"),
    ] {
        let form = [("topic", TOPIC), ("data", data)];
        wanted.push((data, Some(ok(&publish_at(hub, path, token, &form)))));
    }
    let publish = |data: &str| json!({"publish": {"topic": TOPIC, "data": data}});
    let mut peer = hub.websocket("");
    peer.answered(json!({"authenticate": {"token": new}}));
    let ack = peer.answered(publish("websocket"));
    wanted.push(("websocket", ack["ack"]["id"].as_str().map(str::to_owned)));
    let mut poller = hub.sockjs("");
    poller.answered(json!({"authenticate": {"token": new}}));
    let ack = poller.answered(publish("sockjs"));
    wanted.push(("sockjs", ack["ack"]["id"].as_str().map(str::to_owned)));
    let mut push = zeromq::Peer::open(zeromq::socket(hub, "PULL"), SocketType::Push);
    push.send(&[b"zeromq"]);
    wanted.push(("zeromq", None));
    wanted
}

#[test]
fn a_cursor_of_one_hub_resumes_on_another() {
    let redis = Redis::start(&[]);
    let (one, two) = (TestHub::joined(&redis, ""), TestHub::joined(&redis, ""));
    let token = token_for_all();
    let first = ok(&one.publish_as(&token, &[("topic", TOPIC), ("data", "1")]));
    let mine = [("topic", TOPIC), ("data", "2"), ("id", "urn:example:mine")];
    assert_eq!(ok(&two.publish_as(&token, &mine)), "urn:example:mine");
    ok(&one.publish_as(&token, &[("topic", TOPIC), ("data", "3")]));
    for hub in [&one, &two] {
        for (cursor, rest) in [
            (first.as_str(), &["2", "3"][..]),
            ("urn:example:mine", &["3"]),
        ] {
            let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}"));
            let mut stream = hub.subscribe_by(request.header("Last-Event-ID", cursor));
            assert_eq!(stream.data(rest.len()), rest, "after {cursor}");
        }
    }
}

#[test]
fn a_private_update_reaches_those_who_may_read_it_on_every_hub() {
    let redis = Redis::start(&[]);
    let (one, two) = (TestHub::joined(&redis, ""), TestHub::joined(&redis, ""));
    let reader = token_with(json!([tokens::detail(&["subscribe"], &[TOPIC])]));
    let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}"));
    let mut reading = two.subscribe_by(request.clone().bearer(&reader));
    let mut anonymous = two.subscribe_by(request);
    let token = token_for_all();
    let private = [("topic", TOPIC), ("data", "private"), ("private", "on")];
    ok(&one.publish_as(&token, &private));
    ok(&one.publish_as(&token, &[("topic", TOPIC), ("data", "public")]));
    assert_eq!(reading.data(2), ["private", "public"]);
    assert_eq!(anonymous.data(1), ["public"]);
}

/// A publisher whose hub was killed repeats its request at another one. The server forgets too.
#[test]
fn a_repeated_request_is_one_update_on_whichever_hub() {
    let mut redis = Redis::start(&[]);
    let (mut one, two) = (TestHub::joined(&redis, ""), TestHub::joined(&redis, ""));
    let token = token_for_all();
    let mut stream = two.subscribe(&format!("match={TOPIC}"));
    let send = |hub: &TestHub, data: &str| {
        let request = Request::post(HUB_PATH).bearer(&token);
        let form = [("topic", TOPIC), ("data", data)];
        hub.request(request.header("Idempotency-Key", "once").form(&form))
    };
    let id = ok(&send(&one, "a"));
    assert_eq!(ok(&send(&two, "a")), id);
    assert_eq!(event(&mut stream), (id.clone(), "a".to_owned()));
    one.kill();
    assert_eq!(ok(&send(&two, "a")), id);
    redis.kill();
    redis.restart();
    two.wait_until_ready();
    assert_eq!(
        ok(&send(&two, "a")),
        id,
        "the key came back with the update"
    );
    assert_eq!(send(&two, "b").problem(), "key-reused");
    ok(&two.publish_as(&token, &[("topic", TOPIC), ("data", "next")]));
    assert_eq!(stream.data(1), ["next"]);
}

/// Redis keeps nothing over its end: what it lost comes back from the hubs.
#[test]
fn what_was_acknowledged_survives_kills_of_hubs_and_of_the_server_once() {
    let mut redis = Redis::start(&[]);
    let mut hubs = [(); 3].map(|()| TestHub::joined(&redis, ""));
    let mut reading = Resuming::new(&hubs[2]);
    let mut published = Published::default();
    for round in 0..3 {
        let (down, up) = (round % 2, (round + 1) % 2);
        published.publish(&hubs, 20);
        hubs[down].kill();
        published.publish(&hubs[up..=up], 20);
        redis.kill();
        redis.restart();
        hubs[down].restart();
        published.publish(&hubs, 20);
    }
    reading.read_until(&hubs[2], &published.acknowledged);
    let logs = [0, 1, 2].map(|hub| log_of(&hubs[hub], &published.acknowledged));
    assert_eq!(logs[0], logs[1]);
    assert_eq!(logs[1], logs[2]);
    published.check(&logs[0]);
    published.check(&reading.came);
}

/// What was published, and how that was answered.
#[derive(Default)]
struct Published {
    count: usize,
    acknowledged: BTreeMap<String, String>,
    in_doubt: BTreeSet<String>,
}

impl Published {
    /// Publishes numbers, each to the next hub.
    fn publish(&mut self, hubs: &[TestHub], count: usize) {
        let token = token_for_all();
        for _ in 0..count {
            let data = self.count.to_string();
            let hub = &hubs[self.count % hubs.len()];
            self.count += 1;
            let answer = hub.publish_as(&token, &[("topic", TOPIC), ("data", &data)]);
            if answer.status == 200 {
                self.acknowledged.insert(data, answer.text());
                continue;
            }
            assert_eq!(answer.status, 503, "{}", answer.text());
            if answer.problem() == "in-doubt" {
                self.in_doubt.insert(data);
            }
        }
    }

    /// Checks that a log has everything that was acknowledged, under its id, and nothing twice.
    #[track_caller]
    fn check(&self, log: &[(String, String)]) {
        let mut seen = BTreeMap::new();
        for (id, data) in log {
            assert_eq!(seen.insert(data, id), None, "{data} is there twice");
            assert!(
                self.acknowledged.contains_key(data) || self.in_doubt.contains(data),
                "{data} was refused, and is there"
            );
        }
        for (data, id) in &self.acknowledged {
            assert_eq!(seen.get(data), Some(&id), "{data} was acknowledged");
        }
    }
}

/// A subscriber that comes back with its cursor.
struct Resuming {
    stream: EventStream,
    came: Vec<(String, String)>,
}

impl Resuming {
    fn new(hub: &TestHub) -> Self {
        Self {
            stream: hub.subscribe(&format!("match={TOPIC}")),
            came: Vec::new(),
        }
    }

    fn read_until(&mut self, hub: &TestHub, wanted: &BTreeMap<String, String>) {
        while !has_all(&self.came, wanted) {
            if let Some(event) = self.stream.next_event() {
                self.came.push((event.last_event_id, event.data));
                continue;
            }
            let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}"));
            let cursor = self.came.last().map_or("earliest", |(id, _)| id);
            self.stream = hub.subscribe_by(request.header("Last-Event-ID", cursor));
        }
    }
}

fn has_all(log: &[(String, String)], wanted: &BTreeMap<String, String>) -> bool {
    let came: BTreeSet<&str> = log.iter().map(|(_, data)| data.as_str()).collect();
    wanted.keys().all(|data| came.contains(data.as_str()))
}

/// Reads the log of a hub until everything that is wanted is there.
fn log_of(hub: &TestHub, wanted: &BTreeMap<String, String>) -> Vec<(String, String)> {
    let mut stream = hub.subscribe(&format!("match={TOPIC}&last_event_id=earliest"));
    let mut log = Vec::new();
    while !has_all(&log, wanted) {
        log.push(event(&mut stream));
    }
    log
}

#[test]
fn without_its_engine_a_hub_keeps_its_subscribers_and_refuses_in_time_and_goes_on_by_itself() {
    let mut redis = Redis::start(&[]);
    let settings = member(&redis, "").replace("max_wait_ms = 20000", "max_wait_ms = 700");
    let start = || {
        let hub = TestHub::serve(&settings);
        hub.wait_until_ready();
        hub
    };
    let (one, two) = (start(), start());
    let token = token_for_all();
    let publish =
        |hub: &TestHub, data: &str| hub.publish_as(&token, &[("topic", TOPIC), ("data", data)]);
    let mut stays = two.subscribe(&format!("match={TOPIC}"));
    let before = ok(&publish(&one, "before"));
    assert_eq!(stays.data(1), ["before"]);
    redis.kill();
    let begun = Instant::now();
    let refused = publish(&one, "away");
    assert_eq!(refused.status, 503, "{}", refused.text());
    let reasons = ["engine-unavailable", "in-doubt"];
    assert!(
        reasons.contains(&refused.problem().as_str()),
        "{}",
        refused.text()
    );
    assert!(refused.header("retry-after").is_some());
    assert!(
        begun.elapsed() >= Duration::from_millis(500),
        "it waits for the engine"
    );
    for hub in [&one, &two] {
        check_without_engine(hub, &before);
    }
    redis.restart();
    one.wait_until_ready();
    two.wait_until_ready();
    assert_eq!(
        (state(&one, "following"), state(&two, "following")),
        (1.0, 1.0)
    );
    assert!(one.metric("tidings_cluster_expired_publishes_total") >= 1.0);
    assert!(
        one.metric("tidings_cluster_rewinds_total") + two.metric("tidings_cluster_rewinds_total")
            >= 1.0
    );
    let healed = "tidings_cluster_healed_updates_total";
    assert!(
        one.metric(healed) + two.metric(healed) >= 1.0,
        "the hubs put back what was lost"
    );
    for (hub, line) in [
        (&one, "the cluster's engine is away"),
        (&two, "the hub follows its cluster"),
    ] {
        assert!(hub.log().contains(line), "{}", hub.log());
    }
    ok(&publish(&one, "after"));
    two.wait_for_metric("tidings_cluster_behind_updates", |behind| behind == 0.0);
    // An update whose publisher was told that it is in doubt may be there.
    let next = stays.event().data;
    let in_doubt = refused.problem() == "in-doubt";
    if in_doubt && next == "away" {
        assert_eq!(stays.data(1), ["after"]);
    } else {
        assert_eq!(next, "after");
    }
}

/// Checks that a hub whose engine is away says so, and that replay goes on.
fn check_without_engine(hub: &TestHub, before: &str) {
    let reason = wait_until("the hub is unready", || {
        let answer = hub.request_admin("/health/ready");
        (answer.status == 503).then(|| answer.text())
    });
    assert!(reason.contains("engine"), "{reason}");
    assert_eq!(state(hub, "following"), 0.0);
    assert!(!reason.contains("://"), "{reason} names no address");
    // Replay goes on.
    let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}"));
    let mut replay = hub.subscribe_by(request.header("Last-Event-ID", "earliest"));
    assert_eq!(event(&mut replay), (before.to_owned(), "before".to_owned()));
}

/// Returns whether a hub says that it is in this state, as 0 or 1.
pub fn state(hub: &TestHub, name: &str) -> f64 {
    let wanted = format!("tidings_cluster_state{{state=\"{name}\"}} ");
    let metrics = hub.request_admin("/metrics").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&wanted));
    line.expect("the state").parse().expect("a number")
}

#[test]
fn a_paused_engine_is_noticed_and_forgiven() {
    let redis = Redis::start(&[]);
    let (one, two) = (TestHub::joined(&redis, ""), TestHub::joined(&redis, ""));
    let token = token_for_all();
    let mut stream = two.subscribe(&format!("match={TOPIC}"));
    redis.pause();
    let waiting = std::thread::spawn({
        let request = Request::post(HUB_PATH)
            .bearer(&token)
            .form(&[("topic", TOPIC), ("data", "waits")]);
        let address = one.address;
        move || crate::harness::Connection::open(address).request(&request)
    });
    wait_until("the hub is unready", || {
        (one.request_admin("/health/ready").status == 503).then_some(())
    });
    redis.resume();
    ok(&waiting.join().unwrap());
    assert_eq!(stream.data(1), ["waits"]);
    one.wait_until_ready();
    two.wait_until_ready();
}

#[test]
fn an_unsafe_engine_is_refused_with_the_line_to_change() {
    let redis = Redis::start(&["--maxmemory-policy", "allkeys-lru"]);
    let errors = refused_start(&member(&redis, ""));
    assert!(errors.contains("allkeys-lru"), "{errors}");
    assert!(
        errors.contains("CONFIG SET maxmemory-policy noeviction"),
        "{errors}"
    );
    assert_eq!(
        redis.ask("EXISTS {t:tidings}:head"),
        ":0",
        "nothing was written"
    );
}

#[test]
fn a_hub_without_a_history_begins_a_cluster_only_where_it_may() {
    let redis = Redis::start(&[]);
    let errors =
        refused_start(&member(&redis, "").replace("[cluster]", "[cluster]\ncreate = false"));
    assert!(errors.contains("tidings cluster init"), "{errors}");
}

#[test]
fn operators_begin_a_cluster_and_ask_how_it_stands() {
    let redis = Redis::start(&[]);
    let settings = member(&redis, "").replace("[cluster]", "[cluster]\ncreate = false");
    let ask = |command: &str| asked(&settings, &["cluster", command, "--json"]);
    let (code, status) = ask("status");
    assert_eq!(
        (code, &status["log"]),
        (0, &serde_json::Value::Null),
        "{status}"
    );
    let (code, begun) = ask("init");
    assert_eq!((code, &begun["begun"]), (0, &json!(true)), "{begun}");
    let warning = begun["warnings"][0].as_str().unwrap();
    assert!(warning.contains("CONFIG SET appendonly yes"), "{warning}");
    assert_eq!(ask("init").1["begun"], false);
    let hub = TestHub::serve(&settings);
    hub.wait_until_ready();
    ok(&hub.publish_as(&token_for_all(), &[("topic", TOPIC)]));
    let (code, status) = ask("status");
    assert_eq!((code, &status["log"]["last"]), (0, &json!(1)), "{status}");
    assert_eq!(status["safe"], true);
    let known = std::fs::read_to_string(hub.data().join("history.db.node")).unwrap();
    let hubs = wait_until("the hub has its lease", || {
        let hubs = ask("status").1["hubs"].clone();
        (hubs != json!([])).then_some(hubs)
    });
    assert_eq!(hubs, json!([{"id": known.trim(), "alive": true}]));
    redis.ask("CONFIG SET maxmemory-policy allkeys-lru");
    let (code, status) = ask("status");
    assert_eq!((code, &status["safe"]), (1, &json!(false)), "{status}");
    let alone = tokens::settings("");
    let (code, _, errors) = run_with(&alone, &["cluster", "status"]);
    assert_eq!(code, 1);
    assert!(errors.contains("cluster.engine is"), "{errors}");
}

/// Runs a command with a configuration, and returns its exit code and its JSON.
#[track_caller]
pub(crate) fn asked(toml: &str, command: &[&str]) -> (i32, serde_json::Value) {
    let (code, output, errors) = run_with(toml, command);
    let json = serde_json::from_str(&output);
    (
        code,
        json.unwrap_or_else(|error| panic!("{error}: {output}{errors}")),
    )
}

pub(crate) fn run_with(toml: &str, command: &[&str]) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = configuration(&folder, toml).display().to_string();
    run(&[command, &["--config", &path]].concat(), &[])
}

/// A token of one of them would not work on the other.
#[test]
fn a_hub_that_would_grant_differently_does_not_become_ready() {
    let redis = Redis::start(&[]);
    let one = TestHub::joined(&redis, "");
    let differs = |from: &str, to: &str| TestHub::serve(&member(&redis, "").replace(from, to));
    for (from, to, key) in [
        ("//hub.example.com", "//other.example.com", "hub.public_url"),
        (
            "issuer = \"https://issuer",
            "issuer = \"https://other-issuer",
            "auth.issuers",
        ),
    ] {
        let other = differs(from, to);
        wait_until("it says by which key it differs", || {
            let answer = other.request_admin("/health/ready");
            (answer.status == 503 && answer.text().contains(key)).then_some(())
        });
    }
    let other = differs("anonymous = true", "anonymous = false");
    other.wait_until_ready();
    wait_until("the difference is in the log", || {
        other.log().contains("subscribe.anonymous").then_some(())
    });
    one.wait_until_ready();
}

#[test]
fn an_engine_that_is_not_there_ends_the_start_and_says_so() {
    let mut redis = Redis::start(&[]);
    let settings = member(&redis, "").replace("[cluster]", "[cluster]\nstart_timeout_secs = 1");
    redis.kill();
    let errors = refused_start(&settings);
    assert!(errors.contains("was not reached within 1s"), "{errors}");
}

#[test]
fn a_history_from_outside_the_cluster_is_refused() {
    let redis = Redis::start(&[]);
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let alone = TestHub::serve_in(Arc::clone(&folder), &tokens::settings(""), &[]);
    drop(alone);
    let errors = refused_start_in(&folder, &member(&redis, ""));
    assert!(errors.contains("outside of a cluster"), "{errors}");
}

#[test]
fn a_hub_of_a_cluster_is_not_taken_over() {
    let redis = Redis::start(&[]);
    let hub = TestHub::joined(&redis, "");
    let mut arguments = hub.arguments();
    arguments.push("--take-over".into());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (code, _, errors) = run(&arguments, &[]);
    assert_eq!(code, 1);
    assert!(
        errors.contains("a hub of a cluster is not taken over"),
        "{errors}"
    );
    hub.wait_until_ready();
    ok(&hub.publish_as(&token_for_all(), &[("topic", TOPIC)]));
}

#[test]
fn what_the_operator_writes_is_checked_before_anything_is_opened() {
    let redis = Redis::start(&[]);
    for (from, to, wanted) in [
        (
            "url = \"redis://",
            "url = \"redis://user:secret@",
            "cluster.url: user names and passwords",
        ),
        (
            "[cluster]",
            "[cluster]\nca_file = \"/none\"",
            "write rediss instead of redis",
        ),
        (
            "[cluster]",
            "[cluster]\nusername = \"hub\"",
            "no password file",
        ),
        (
            "[cluster]",
            "[cluster]\npassword_file = \"/none\"",
            "cannot read the password file",
        ),
        (
            "[cluster]",
            "[history]\nkind = \"none\"\n[cluster]",
            "history.kind",
        ),
        (
            "[cluster]",
            "[cluster]\naddress = \"10.0.0.11:4401\"",
            "cluster.address: write the URL",
        ),
        (
            "[cluster]",
            "[cluster]\npeer_token = \"a short secret\"",
            "cluster.peer_token: the token has 14 characters",
        ),
        (
            "[cluster]",
            "[cluster]\npeer_token_file = \"/none\"",
            "cluster.peer_token_file: /none",
        ),
        ("engine = \"redis\"", "", "cluster.engine is not"),
        ("[cluster]", "[cluster]\nname = \"a b\"", "cluster.name"),
    ] {
        let text = member(&redis, "").replace(from, to);
        let errors = refused_start(&text);
        assert!(errors.contains(wanted), "{errors}");
        assert!(!errors.contains("secret"), "{errors}");
    }
}

/// Starts a hub that does not start, and returns what it says.
#[track_caller]
fn refused_start(toml: &str) -> String {
    refused_start_in(&tempfile::tempdir().unwrap(), toml)
}

#[track_caller]
fn refused_start_in(folder: &tempfile::TempDir, toml: &str) -> String {
    let path = configuration(folder, toml);
    let (code, _, errors) = run(&["serve", "--config", &path.display().to_string()], &[]);
    assert_ne!(code, 0, "it started");
    errors
}

/// Writes a configuration with a listener and a data folder.
fn configuration(folder: &tempfile::TempDir, toml: &str) -> std::path::PathBuf {
    let data = folder.path().join("data").display().to_string();
    let text = format!("{toml}\n[[listen]]\naddress = \"127.0.0.1:0\"\n[data]\ndir = {data:?}\n");
    let path = folder.path().join("configuration.toml");
    std::fs::write(&path, text).unwrap();
    path
}

/// Polls until there are `count` updates, and returns their data.
fn polled(hub: &TestHub, query: &str, count: usize) -> Vec<String> {
    let mut data = Vec::new();
    let mut query = query.to_owned();
    while data.len() < count {
        let request = Request::get(&format!("{HUB_PATH}?{query}")).header("Prefer", "wait=5");
        let body = hub.request(request).json();
        let updates = body["updates"].as_array().expect("updates");
        data.extend(
            updates
                .iter()
                .map(|update| update["data"].as_str().unwrap().to_owned()),
        );
        let cursor = body["last_event_id"].as_str().expect("a cursor");
        query = format!("match={TOPIC}&last_event_id={cursor}");
    }
    data
}

fn event(stream: &mut EventStream) -> (String, String) {
    let event = stream.event();
    (event.last_event_id, event.data)
}

#[track_caller]
fn ok(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text()
}
