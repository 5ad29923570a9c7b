//! The inbox while another server takes the place of the primary, with rows of its own.

use tidings_postgresql::Options;
use tidings_postgresql::inbox::RowId;

use super::{Database, Reader, TOPIC, ids, options, publish};
use crate::harness::{Pooler, Server, Sql, wait_until};

/// After a failover that lost something, other rows have the ids of those that were read before.
#[test]
fn what_was_read_at_a_primary_is_not_removed_at_the_next_one() {
    let mut failover = Failover::prepare();
    let mut reader = Reader::of_both(&failover.primary, &failover.standby);
    failover.lose_and_go_on(&mut reader, |_standby| {});
}

/// The connection stays open then, and says nothing of the servers behind it.
#[test]
fn what_was_read_at_a_primary_is_not_removed_at_the_next_one_behind_a_pooler() {
    let mut failover = Failover::prepare();
    let mut pooler = Pooler::start(&failover.primary, "transaction");
    let mut reader = Reader::with(Options {
        place: pooler.place(),
        ..options(&failover.primary)
    });
    failover.lose_and_go_on(&mut reader, |standby| pooler.lead_to(standby));
}

/// What is known of the ids at one server does not hold at another one.
#[test]
fn a_look_behind_a_pooler_begins_anew_at_another_server() {
    let (one, other) = (Database::start(), Database::start());
    let mut pooler = Pooler::start(&one.0, "transaction");
    let mut reader = Reader::with(Options {
        place: pooler.place(),
        ..one.options()
    });
    publish(&one.0, "of one", 50);
    let mut done = ids(&reader.next(&[], &[]));
    for _ in 0..3 {
        assert!(reader.next(&done, &[]).is_empty());
        done.clear();
    }
    assert_eq!(reader.inbox.floor(), 50);
    publish(&other.0, "of another one", 60);
    pooler.lead_to(&other.0);
    let rows = wait_until("an answer of the other server", || {
        reader.try_next(&[], &[]).ok()
    });
    assert_eq!(rows.len(), 60, "also those below the floor");
}

/// It takes writes, and its connections stay open.
#[test]
fn a_primary_that_was_replaced_is_left() {
    let Database(primary) = Database::start();
    let standby = primary.start_standby(&[]);
    let mut reader = Reader::of_both(&primary, &standby);
    assert!(reader.next(&[], &[]).is_empty());
    assert!(reader.look_up().is_ok());
    assert_eq!(standby.sql("SELECT pg_promote(true, 30)"), "t");
    Sql::open(standby.port, "shop").publish(TOPIC, "1");
    assert!(reader.next(&[], &[]).is_empty(), "of the old one");
    let moved = reader.look_up().expect_err("another primary");
    assert!(moved.line().contains("another server"), "{}", moved.line());
    assert_eq!(reader.next(&[], &[]).len(), 1);
    assert!(reader.look_up().is_ok());
}

/// A primary, and a standby that lacks its last hundred updates.
struct Failover {
    primary: Server,
    standby: Server,
}

impl Failover {
    fn prepare() -> Self {
        let Database(primary) = Database::start();
        let mut standby = primary.start_standby(&[]);
        publish(&primary, "kept", 1);
        wait_until("the standby has it", || {
            (standby.sql("SELECT data FROM tidings.inbox") == "kept").then_some(())
        });
        standby.kill_all();
        publish(&primary, "lost", 100);
        Self { primary, standby }
    }

    /// Reads at the primary, makes the standby take its place, and reads there.
    #[track_caller]
    fn lose_and_go_on(&mut self, reader: &mut Reader, lead_to: impl FnOnce(&Server)) {
        let before = ids(&reader.next(&[], &[]));
        assert_eq!(before.len(), 101);
        self.primary.kill_all();
        self.standby.restart();
        assert_eq!(self.standby.sql("SELECT pg_promote(true, 30)"), "t");
        publish(&self.standby, "new", 100);
        lead_to(&self.standby);
        let (done, busy) = before.split_at(50);
        wait_until("the reader notices", || {
            let error = reader.try_next(done, busy).expect_err("another numbering");
            error.line().contains("another server").then_some(())
        });
        // The log may lack what was read, also where its row is there.
        let removed = reader.inbox.remove(&before);
        reader.runtime.block_on(removed).expect("an answer");
        let rows = reader.next(&[], &[]);
        assert_eq!(rows.len(), 101, "the one that is kept, and all new ones");
        // Nor does a row go whose id alone was read.
        let again = |id: &&RowId| rows.iter().any(|row| row.id.place == id.place);
        let again: Vec<RowId> = before.iter().filter(again).copied().collect();
        assert!(again.len() > 1, "nothing shown: no id was given out again");
        for id in again.iter().skip(1) {
            let refused = reader.inbox.refuse(*id, "why not");
            reader.runtime.block_on(refused).expect("an answer");
        }
        let removed = reader.inbox.remove(&again);
        reader.runtime.block_on(removed).expect("an answer");
        let rows = reader.next(&again, &[]);
        assert_eq!(rows.len(), 100);
        assert!(rows.iter().all(|row| row.data == "new"));
    }
}
