//! A line that an earlier program left: `docs/formats/cluster-postgresql.md`.

use std::sync::Arc;

use tidings_cluster::engine::{
    Again, Appended, BootId, EpochId, Lease, LeaseName, Leased, NodeId, Place, Seen, Sender, State,
};
use tidings_contract::{Hub, Rig as _, digest};
use tidings_core::Position;

use crate::harness::{PostgresqlRig, Server, run};

const VERSION_1: &str = include_str!("format/version-1.sql");

#[test]
fn a_line_of_version_1_is_read_and_goes_on() {
    let server = Server::start(&[]);
    let mut rig = PostgresqlRig::new(&server, server.options());
    rig.fresh();
    server.sql(&VERSION_1.replace("S.", "\"line-1\"."));
    run(async {
        let mut hub = Hub::apart(&rig, 0xa1);
        let State::Line(line) = hub.engine.state().await.unwrap() else {
            panic!("no line");
        };
        assert_eq!(line.epoch, EpochId::new(0xe1));
        assert_eq!(line.secret.secret(), [0x5e; 32]);
        assert_eq!(
            (line.oldest, line.last),
            (Position::new(1), Position::new(3))
        );
        hub.epoch = line.epoch;
        hub.sender = Sender {
            node: NodeId::new(0xa1),
            boot: BootId::new(0xb2),
        };
        let entries = hub.entries(1).await;
        let mut before = None;
        for (entry, bytes) in entries
            .iter()
            .zip([b"first".as_slice(), b"second", b"\0\xff"])
        {
            assert_eq!(*entry.bytes, *bytes);
            assert_eq!(entry.origin.sender, hub.sender);
            let print = rig.link(before, entry.published_ms, digest(bytes));
            assert_eq!(entry.print, Some(print));
            before = entry.print;
        }
        let seen = Seen {
            position: line.last,
            print: line.print,
        };
        // The batches that it has are answered as they were.
        let first = hub.append(seen, &[b"first", b"second"]).await;
        assert_eq!(
            first,
            again([Place::New(Position::new(1)), Place::New(Position::new(2))])
        );
        let second = hub.append(seen, &[b"\0\xff", b"first"]).await;
        assert_eq!(
            second,
            again([Place::New(Position::new(3)), Place::Known(Position::new(1))])
        );
        let keyed = hub
            .append_keyed(seen, &[(b"first", Some("k")), (b"new", None)])
            .await;
        let Appended::Taken { places, .. } = keyed else {
            panic!("{keyed:?}");
        };
        assert_eq!(
            places,
            [Place::Known(Position::new(1)), Place::New(Position::new(4))]
        );
        let lease = Lease {
            name: LeaseName::Named("push".into()),
            holder: hub.sender,
            ttl_ms: 1000,
            record: None,
        };
        let held = hub.engine.lease(lease).await.unwrap();
        assert_eq!(held, Leased::Held(Some(Arc::from(b"note".as_slice()))));
    });
}

fn again(places: [Place; 2]) -> Appended {
    Appended::Taken {
        places: places.to_vec(),
        last: Position::new(3),
        again: Again::Yes,
    }
}
