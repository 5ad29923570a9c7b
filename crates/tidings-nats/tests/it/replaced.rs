//! When a network is whole again, two servers believe that they lead a stream, until one of them hears of
//! the other: it refuses what the leader takes, and whichever answers first is heard.

use tidings_cluster::engine::{BootId, Claimed, Engine, Lease, LeaseName, NodeId, Sender};
use tidings_contract::relays::{RelayHub, wait_for_equal};
use tidings_nats::Nats;

use crate::harness::{Admin, DEADLINE, Replaced, Servers, options, patient_options, run};

#[test]
fn an_update_that_one_server_refuses_and_another_takes_is_there_once() {
    let servers = Servers::start(3);
    let hubs = RelayHub::two(|| Box::new(Nats::new(options(&servers))));
    let replaced = Replaced::start(&Admin::of(&servers), "tidings_it.>");
    for number in 0..30 {
        let answer = hubs[0].publish(&number.to_string());
        answer.recv_timeout(DEADLINE).unwrap().unwrap();
    }
    assert!(replaced.end() > 0, "it refused nothing");
    wait_for_equal(&hubs, 30);
    for hub in hubs {
        hub.stop();
    }
}

#[test]
fn a_claim_that_one_server_refuses_and_another_takes_is_won() {
    let servers = Servers::start(3);
    let engine = Nats::new(patient_options(&servers));
    let sender = |node| Sender {
        node: NodeId::new(node),
        boot: BootId::new(1),
    };
    run(async {
        for dead in 1..11 {
            let lease = Lease {
                name: LeaseName::Node,
                holder: sender(dead),
                ttl_ms: 0,
                record: Some((*b"left").into()),
            };
            engine.lease(lease).await.unwrap();
        }
        let replaced = Replaced::start(&Admin::of(&servers), "tidings_it=leases.>");
        for dead in 1..11 {
            let claimed = engine.claim(sender(dead), sender(20)).await.unwrap();
            assert_eq!(claimed, Claimed::Won((*b"left").into()));
        }
        assert!(replaced.end() > 0, "it refused nothing");
    });
}
