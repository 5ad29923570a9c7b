//! What makes servers unsafe is found on real servers.

use serde_json::{Value, json};
use tidings_cluster::Epoch;
use tidings_cluster::engine::Engine;
use tidings_cluster::safety::{Inspect, Severity};
use tidings_contract::proposal;
use tidings_nats::{Nats, Options, Problem};

use crate::harness::{Admin, Servers, options, run};

const STREAM: &str = "tidings_it";

#[test]
fn a_server_without_jetstream_is_found() {
    let servers = Servers::start_plain("");
    let found = problems(&options(&servers), None);
    assert!(
        found.contains(&(Problem::NoJetStream, Severity::Refuse)),
        "{found:?}"
    );
}

#[test]
fn messages_that_are_too_small_are_found() {
    let servers = Servers::start_plain("jetstream { store_dir: STORE }");
    let small = Problem::SmallPayload {
        max_payload: 1 << 20,
        needed: (1 << 20) + 4096,
    };
    let one = (Problem::OneCopy, Severity::Warn);
    let found = problems(&options(&servers), None);
    assert_eq!(found, [(small, Severity::Refuse), one]);
}

#[test]
fn messages_that_are_too_small_for_questions_are_found() {
    let settings = "max_payload: 40000\njetstream { store_dir: STORE }";
    let servers = Servers::start_plain(settings);
    let mut options = options(&servers);
    options.update_bytes_max = 1024;
    let small = Problem::SmallPayload {
        max_payload: 40_000,
        needed: 65_536,
    };
    assert!(!small.remedy().contains("lower"), "{}", small.remedy());
    let found = problems(&options, None);
    assert!(found.contains(&(small, Severity::Refuse)), "{found:?}");
}

#[test]
fn what_a_single_server_cannot_do_is_found() {
    let servers = Servers::start(1);
    let mut options = options(&servers);
    assert_eq!(
        problems(&options, None),
        [(Problem::OneCopy, Severity::Warn)]
    );
    make_line(&options);
    options.replicas = 3;
    let copies = Problem::FewerCopies {
        stream: STREAM.to_owned(),
        found: 1,
        wanted: 3,
    };
    let alone = Problem::Alone { wanted: 3 };
    let found = problems(&options, None);
    assert_eq!(
        found,
        [(alone, Severity::Refuse), (copies, Severity::Refuse)]
    );
}

#[test]
fn a_stream_with_other_settings_is_found() {
    let servers = Servers::start(1);
    let options = options(&servers);
    make_line(&options);
    let admin = Admin::of(&servers);
    let info = admin.request("STREAM.INFO.tidings_it", &Value::Null);
    let mut config = info["config"].clone();
    config["max_age"] = json!(60_000_000_000_u64);
    config["duplicate_window"] = json!(1_000_000_000);
    config["allow_atomic"] = json!(false);
    config["max_bytes"] = json!(1024);
    let updated = admin.request("STREAM.UPDATE.tidings_it", &config);
    assert!(updated.get("error").is_none(), "{updated}");
    let settings = Problem::Settings {
        stream: STREAM.to_owned(),
        settings: "allow_atomic, max_age".to_owned(),
    };
    let window = Problem::Window {
        stream: STREAM.to_owned(),
        found: 1024,
        wanted: options.window_bytes,
    };
    let expected = [
        (Problem::OneCopy, Severity::Warn),
        (settings, Severity::Refuse),
        (window, Severity::Warn),
    ];
    assert_eq!(problems(&options, None), expected);
}

#[test]
fn another_cluster_under_the_name_is_found() {
    let servers = Servers::start(1);
    let options = options(&servers);
    let other = Some(Epoch::new([7; 32]));
    assert_eq!(problems(&options, other).len(), 1, "nothing is there yet");
    make_line(&options);
    let name = "it".to_owned();
    let found = (Problem::OtherCluster { name }, Severity::Refuse);
    assert!(problems(&options, other).contains(&found));
    assert_eq!(problems(&options, proposal(1).secret).len(), 1);
    let admin = Admin::of(&servers);
    admin.request("STREAM.DELETE.tidings_it", &Value::Null);
    let foreign = json!({ "name": STREAM, "subjects": ["x"] });
    admin.request("STREAM.CREATE.tidings_it", &foreign);
    let stream = STREAM.to_owned();
    let found = (Problem::Half { stream }, Severity::Refuse);
    assert!(problems(&options, None).contains(&found));
}

/// The remedy for `sync_interval` cannot be checked: it is told to nobody.
#[test]
fn what_no_server_tells_is_said() {
    let servers = Servers::start(1);
    let engine = Nats::new(options(&servers));
    run(async {
        let untold = engine.inspect_settings().await.unwrap_err();
        assert!(untold.0.contains("sync_interval"), "{untold:?}");
    });
}

fn make_line(options: &Options) {
    let engine = Nats::new(options.clone());
    run(async {
        engine.init(proposal(1)).await.unwrap();
    });
}

fn problems(options: &Options, history: Option<Epoch>) -> Vec<(Problem, Severity)> {
    let engine = Nats::new(options.clone());
    let mut found = Vec::new();
    run(async {
        found = engine.problems(history).await.unwrap();
        let findings = engine.inspect(history).await.unwrap();
        assert_eq!(findings.len(), found.len());
    });
    let severity = |problem: Problem| {
        let severity = problem.severity();
        (problem, severity)
    };
    found.into_iter().map(severity).collect()
}
