//! Several hubs on NATS JetStream: real programs and a real server.

use std::sync::Arc;

use crate::harness::nats::Nats;
use crate::harness::tokens::token_for_all;
use crate::harness::{HUB_PATH, Request, TestHub, run, wait_until};

const TOPIC: &str = "https://example.com/news";
/// The hub's largest update, and what is around it.
const ROOM: &str = "max_payload: 2MB";

#[test]
fn hubs_on_nats_are_one_hub_also_when_its_server_is_killed() {
    let mut nats = Nats::start(ROOM);
    let (one, two) = (
        joined(&nats, "[presence]\nenabled = true"),
        joined(&nats, ""),
    );
    let mut stream = two.subscribe(&format!("match={TOPIC}"));
    publish(&one, "1");
    publish(&two, "2");
    assert_eq!(stream.data(2), ["1", "2"]);
    nats.restart();
    let id = publish(&one, "3");
    assert_eq!(stream.data(1), ["3"]);
    publish(&two, "4");
    // A cursor of one hub is one of the other.
    let request = Request::get(&format!("{HUB_PATH}?match={TOPIC}")).header("Last-Event-ID", &id);
    assert_eq!(two.subscribe_by(request).data(1), ["4"]);
    let largest = "x".repeat(1024 * 1024 - 200);
    publish(&two, &largest);
    let mut all = one.subscribe_by(
        Request::get(&format!("{HUB_PATH}?match={TOPIC}")).header("Last-Event-ID", &id),
    );
    assert_eq!(all.data(2), ["4", largest.as_str()]);
}

#[test]
fn a_key_is_taken_once_on_whichever_hub() {
    let nats = Nats::start(ROOM);
    let (one, two) = (joined(&nats, ""), joined(&nats, ""));
    let request = |hub: &TestHub| {
        let form = [("topic", TOPIC), ("data", "once")];
        let request = Request::post(HUB_PATH).bearer(&token_for_all());
        let answer = hub.request(request.header("Idempotency-Key", "once").form(&form));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text()
    };
    assert_eq!(request(&one), request(&two));
}

#[test]
fn a_server_that_takes_no_large_update_is_found_before_hubs_use_it() {
    let nats = Nats::start("");
    let (status, errors) = refused(&nats, "");
    assert_ne!(status, 0);
    let wanted = "set `max_payload: 1052672` or more";
    assert!(errors.contains(wanted), "{errors}");
}

/// The servers would refuse what the hub lets in, and only a start asks them.
#[test]
fn a_reload_lets_no_update_in_for_which_the_server_was_not_checked() {
    let nats = Nats::start(ROOM);
    let hub = joined(&nats, "");
    let path = hub.folder().join("tidings.toml");
    let written = std::fs::read_to_string(&path).unwrap();
    let reload = |more: &str| {
        std::fs::write(&path, format!("{written}\n{more}")).unwrap();
        run(&["reload", "--config", &path.display().to_string()], &[])
    };
    for (table, key) in [
        ("publish", "body_bytes_max"),
        ("websocket", "message_bytes_max"),
    ] {
        let (code, _, error) = reload(&format!("[{table}]\n{key} = 1048577"));
        assert_ne!(code, 0);
        let wanted = format!("{table}.{key}: 1048577 is more than 1048576, for which the servers");
        assert!(error.contains(&wanted), "{error}");
    }
    publish(&hub, "1");
    let (code, said, error) = reload("[publish]\nbody_bytes_max = 1048575");
    assert_eq!(code, 0, "{error}");
    assert!(said.contains("applied: publish.body_bytes_max"), "{said}");
}

/// An operator of the servers may not know of the hub.
#[test]
fn an_update_that_the_server_does_not_take_any_more_is_refused_alone() {
    let nats = Nats::start(ROOM);
    let hub = joined(&nats, "");
    let large = "x".repeat(100_000);
    publish(&hub, &large);
    nats.set_max_payload(65536);
    // The first one ends the connection, by which the reason may get lost.
    let refused = wait_until("the update is refused", || {
        let answer = hub.publish_as(&token_for_all(), &[("topic", TOPIC), ("data", &large)]);
        assert_ne!(answer.status, 200, "{answer:?}");
        (answer.problem() != "in-doubt").then_some(answer)
    });
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (413, "update-too-large")
    );
    let detail = refused.json()["detail"].to_string();
    let wanted = "`max_payload` of the cluster's engine allows 65536";
    assert!(detail.contains(wanted), "{detail}");
    publish(&hub, "small");
    assert!(hub.metric("tidings_cluster_too_large_updates_total") >= 1.0);
    nats.set_max_payload(2 << 20);
    wait_until("the hub knows that the bound was raised", || {
        let answer = hub.publish_as(&token_for_all(), &[("topic", TOPIC), ("data", &large)]);
        (answer.status == 200).then_some(())
    });
}

#[test]
fn whatever_lets_a_large_update_in_counts() {
    let nats = Nats::start(ROOM);
    let (status, errors) = refused(&nats, "[websocket]\nmessage_bytes_max = 3000000");
    assert_ne!(status, 0);
    let wanted = "set `max_payload: 3004096` or more";
    assert!(errors.contains(wanted), "{errors}");
}

#[track_caller]
fn joined(nats: &Nats, more: &str) -> TestHub {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let hub = TestHub::serve_in(folder, &nats.member(more), &[]);
    hub.wait_until_ready();
    hub
}

#[track_caller]
fn publish(hub: &TestHub, data: &str) -> String {
    let answer = hub.publish_as(&token_for_all(), &[("topic", TOPIC), ("data", data)]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text()
}

/// Starts a hub that is to end by itself. Returns its status, and what it said.
fn refused(nats: &Nats, more: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidings.toml");
    let data = folder.path().join("data");
    let text = nats.member(&format!(
        "[data]\ndir = {data:?}\n[[listen]]\naddress = \"127.0.0.1:0\"\n{more}"
    ));
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    let (status, _, errors) = run(&["serve", "--config", &file], &[]);
    (status, errors)
}
