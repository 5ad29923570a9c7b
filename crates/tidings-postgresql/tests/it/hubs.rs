//! Relays of several hubs over a real server, each with a history of its own: one line, and what the
//! server loses is put back.

use std::collections::BTreeSet;

use crate::harness::{
    DEADLINE, RelayHub, Server, hubs, publish_by_turns, wait_for_equal, wait_until,
};

#[test]
fn hubs_on_one_server_have_one_line() {
    let server = Server::start(&[]);
    server.make_schema("it");
    let hubs = hubs(&server.options());
    publish_by_turns(&hubs, 0..60);
    wait_for_equal(&hubs, 60);
    let [one, two] = hubs;
    one.stop();
    // Who is left goes on.
    let answer = two.publish("60");
    answer.recv_timeout(DEADLINE).unwrap().unwrap();
    two.stop();
}

/// Its log is on the disk: nothing has to be put back.
#[test]
fn hubs_go_on_after_kills_of_the_server() {
    let mut server = Server::start(&[]);
    server.make_schema("it");
    let hubs = hubs(&server.options());
    let mut answers = Vec::new();
    for round in 0..4 {
        answers.extend((0..50).map(|number| {
            let number = 50 * round + number;
            hubs[number % 2].publish(&number.to_string())
        }));
        server.kill();
        server.restart();
    }
    let mut ids = BTreeSet::new();
    for answer in answers {
        let update = answer.recv_timeout(DEADLINE).unwrap().unwrap();
        assert!(
            ids.insert(update.id.to_string()),
            "{} is there twice",
            update.id
        );
    }
    // Each of them once.
    wait_for_equal(&hubs, 200);
    hubs.into_iter().for_each(RelayHub::stop);
}

#[test]
fn hubs_put_back_what_a_restored_backup_lacks() {
    let mut server = Server::start(&[]);
    server.make_schema("it");
    let hubs = hubs(&server.options());
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    server.kill();
    let backup = server.back_up();
    server.restart();
    publish_by_turns(&hubs, 20..40);
    wait_for_equal(&hubs, 40);
    let tip = hubs[0].history.tip();
    server.kill();
    server.restore(&backup);
    server.restart();
    wait_until("the log is whole again", || {
        (server.sql("SELECT count(*) FROM it.log") == "40").then_some(())
    });
    assert_eq!(hubs[0].history.tip(), tip, "with the same prints");
    publish_by_turns(&hubs, 40..60);
    wait_for_equal(&hubs, 60);
    hubs.into_iter().for_each(RelayHub::stop);
}

#[test]
fn hubs_fill_a_schema_that_was_made_anew() {
    let server = Server::start(&[]);
    server.make_schema("it");
    let hubs = hubs(&server.options());
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let secret = server.sql("SELECT secret FROM it.head");
    server.sql("DROP SCHEMA it CASCADE");
    let waiting = hubs[0].publish("20");
    server.make_schema("it");
    waiting.recv_timeout(DEADLINE).unwrap().unwrap();
    publish_by_turns(&hubs, 21..40);
    wait_for_equal(&hubs, 40);
    assert_eq!(server.sql("SELECT secret FROM it.head"), secret);
    assert_eq!(server.sql("SELECT count(*) FROM it.log"), "40");
    hubs.into_iter().for_each(RelayHub::stop);
}
