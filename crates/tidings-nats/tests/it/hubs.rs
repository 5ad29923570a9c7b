//! Relays of several hubs over real servers, each with a history of its own: one line, whatever
//! happens to the servers, and what they lose is put back.

use std::net::TcpListener;

use serde_json::{Value, json};
use tidings_access::Address;
use tidings_cluster::{Health, Relay as _};
use tidings_contract::relays::{RelayHub, publish_by_turns, wait_for_equal};
use tidings_nats::{Nats, Options};

use crate::harness::{Admin, DEADLINE, Servers, lose_tail, options, wait_until};

/// The stream of the line.
const STREAM: &str = "tidings_it";

#[test]
fn hubs_on_one_server_have_one_line() {
    let servers = Servers::start(1);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..60);
    wait_for_equal(&hubs, 60);
    let [one, two] = hubs;
    one.stop();
    // Who is left goes on.
    let answer = two.publish("60");
    answer.recv_timeout(DEADLINE).unwrap().unwrap();
    two.stop();
}

/// A server that is killed has everything again when it is back.
#[test]
fn hubs_wait_for_a_server_that_is_killed() {
    let mut servers = Servers::start(1);
    let hubs = hubs(&options(&servers));
    let mut answers = Vec::new();
    for round in 0..4 {
        answers.extend((0..50).map(|number| {
            let number = 50 * round + number;
            hubs[number % 2].publish(&number.to_string())
        }));
        servers.kill(0);
        servers.restart(0);
    }
    for answer in answers {
        answer.recv_timeout(DEADLINE).unwrap().unwrap();
    }
    wait_for_equal(&hubs, 200);
    for hub in hubs {
        hub.stop();
    }
}

#[test]
fn hubs_put_back_a_line_whose_stream_is_gone() {
    let servers = Servers::start(1);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let admin = Admin::of(&servers);
    admin.request("STREAM.DELETE.tidings_it", &Value::Null);
    publish_by_turns(&hubs, 20..40);
    wait_for_equal(&hubs, 40);
    let info = admin.request("STREAM.INFO.tidings_it", &Value::Null);
    assert_eq!(info["state"]["messages"], 40, "{info}");
    for hub in hubs {
        hub.stop();
    }
}

/// As after a power failure of servers that do not sync: what is lost is put back in its place.
#[test]
fn hubs_put_back_a_tail_that_is_lost() {
    let servers = Servers::start(1);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let before = hubs[0].history.tip();
    let admin = Admin::of(&servers);
    admin.alone(async { lose_tail(&admin.client().await, STREAM, 12).await });
    publish_by_turns(&hubs, 20..30);
    wait_for_equal(&hubs, 30);
    assert_ne!(hubs[0].history.tip(), before);
    let get = json!({ "seq": 20 });
    let got = admin.request("STREAM.MSG.GET.tidings_it", &get);
    assert_eq!(got["message"]["seq"], 20, "{got}");
    for hub in hubs {
        hub.stop();
    }
}

/// Nothing is numbered anew in a stream that is not the line's.
#[test]
fn a_stream_that_is_made_anew_by_somebody_else_is_not_used() {
    let servers = Servers::start(1);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let admin = Admin::of(&servers);
    admin.request("STREAM.DELETE.tidings_it", &Value::Null);
    let other = json!({ "name": STREAM, "subjects": ["other.>"], "allow_direct": true });
    // The hubs are fast.
    wait_until("the stream is another one", || {
        let made = admin.request("STREAM.CREATE.tidings_it", &other);
        if made.get("error").is_some() {
            admin.request("STREAM.DELETE.tidings_it", &Value::Null);
        }
        made.get("error").is_none().then_some(())
    });
    let answer = hubs[0].publish("20");
    wait_until("the hubs see that it is not theirs", || {
        let ill = |hub: &RelayHub| hub.relay.health() != Health::Ok;
        hubs.iter().all(ill).then_some(())
    });
    let info = admin.request("STREAM.INFO.tidings_it", &Value::Null);
    assert_eq!(info["state"]["messages"], 0, "{info}");
    admin.request("STREAM.DELETE.tidings_it", &Value::Null);
    answer.recv_timeout(DEADLINE).unwrap().unwrap();
    wait_for_equal(&hubs, 21);
    for hub in hubs {
        hub.stop();
    }
}

#[test]
fn hubs_go_on_when_the_leader_is_killed() {
    let mut servers = Servers::start(3);
    let admin = Admin::of(&servers);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let leader = admin.leader(STREAM).unwrap();
    servers.kill(leader);
    publish_by_turns(&hubs, 20..40);
    wait_for_equal(&hubs, 40);
    servers.restart(leader);
    publish_by_turns(&hubs, 40..60);
    wait_for_equal(&hubs, 60);
    for hub in hubs {
        hub.stop();
    }
}

/// A leader that is stopped in its tracks thinks that it still leads when it goes on.
#[test]
fn hubs_go_on_when_the_leader_is_paused() {
    let servers = Servers::start(3);
    let admin = Admin::of(&servers);
    let hubs = hubs(&options(&servers));
    publish_by_turns(&hubs, 0..20);
    wait_for_equal(&hubs, 20);
    let leader = admin.leader(STREAM).unwrap();
    servers.pause(leader);
    publish_by_turns(&hubs, 20..40);
    servers.resume(leader);
    publish_by_turns(&hubs, 40..60);
    wait_for_equal(&hubs, 60);
    for hub in hubs {
        hub.stop();
    }
}

/// The leader does not hear that the others have chosen another one, and its hubs reach it.
#[test]
fn hubs_go_on_when_the_network_cuts_off_the_leader() {
    hubs_go_on_without(|leader| leader);
}

#[test]
fn hubs_go_on_when_the_network_cuts_off_a_server_that_does_not_lead() {
    hubs_go_on_without(|leader| (leader + 1) % 3);
}

/// Each hub knows one server alone. Those of the majority go on; the update of the third one waits
/// for the network, and then has its place in the line of all.
fn hubs_go_on_without(which: impl Fn(usize) -> usize) {
    let servers = Servers::start(3);
    let hubs: Vec<RelayHub> = (1..)
        .zip(servers.addresses())
        .map(|(node, address)| {
            let mut options = options(&servers);
            options.place.servers = vec![address];
            RelayHub::start(Box::new(Nats::new(options)), node)
        })
        .collect();
    publish_by_turns(&hubs, 0..30);
    wait_for_equal(&hubs, 30);
    let cut = which(Admin::of(&servers).leader(STREAM).unwrap());
    servers.cut_off(cut);
    let waiting = hubs[cut].publish("cut off");
    let publish = |number: usize| hubs[(cut + 1 + number % 2) % 3].publish(&number.to_string());
    let answers: Vec<_> = (0..20).map(publish).collect();
    for answer in answers {
        answer.recv_timeout(DEADLINE).unwrap().unwrap();
    }
    assert!(waiting.try_recv().is_err(), "a minority has taken it");
    servers.mend();
    waiting.recv_timeout(DEADLINE).unwrap().unwrap();
    publish_by_turns(&hubs, 51..60);
    wait_for_equal(&hubs, 60);
    for hub in hubs {
        hub.stop();
    }
}

/// Each hub knows the leader that is cut off, and another server: it leaves the one for the other,
/// and nothing is there twice once the first one is back.
#[test]
fn hubs_leave_a_leader_that_the_network_cuts_off() {
    let servers = Servers::start(3);
    let start = |node, options| RelayHub::start(Box::new(Nats::new(options)), node);
    let mut hubs = vec![start(1, options(&servers))];
    publish_by_turns(&hubs, 0..10);
    let cut = Admin::of(&servers).leader(STREAM).unwrap();
    let mut two = options(&servers);
    two.place.servers.remove((cut + 2) % 3);
    hubs.extend((2..6).map(|node| start(node, two.clone())));
    servers.cut_off(cut);
    publish_by_turns(&hubs, 10..30);
    wait_for_equal(&hubs, 30);
    servers.mend();
    publish_by_turns(&hubs, 30..40);
    wait_for_equal(&hubs, 40);
    for hub in hubs {
        hub.stop();
    }
}

/// The connections of a hub do not wait for the same silent server one after the other.
#[test]
fn a_server_that_says_nothing_is_waited_for_once() {
    let servers = Servers::start(1);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let address = Address {
        host: "127.0.0.1".to_owned(),
        port: silent.local_addr().unwrap().port(),
    };
    let mut options = options(&servers);
    options.place.servers.insert(0, address);
    // Which server a hub asks first is left to chance.
    for hub in 0..6 {
        let relay = RelayHub::start(Box::new(Nats::new(options.clone())), hub + 1);
        let answer = relay.publish(&hub.to_string());
        answer.recv_timeout(DEADLINE).unwrap().unwrap();
        relay.stop();
        let waited: Vec<_> = std::iter::from_fn(|| silent.accept().ok()).collect();
        assert!(waited.len() <= 1, "{} connections", waited.len());
    }
}

fn hubs(options: &Options) -> [RelayHub; 2] {
    RelayHub::two(|| Box::new(Nats::new(options.clone())))
}
