//! Presence events: a retention of their own, and what is left to say after a crash.

use std::time::Duration;

use tidings_core::{Position, Presence};
use tidings_history::{PresenceRetention, Retention};

use crate::desk::{Desk, KEEP_ALL, draft, presence_draft};

const FEW: PresenceRetention = PresenceRetention {
    age_max: Some(Duration::from_secs(60)),
    events_max: 3,
};

#[test]
fn they_never_evict_an_update_nor_count_as_one() {
    let retention = Retention {
        updates_max: Some(2),
        presence: FEW,
        ..KEEP_ALL
    };
    let folder = tempfile::tempdir().unwrap();
    let mut desk = Desk::on_file(&folder.path().join("history.db"), retention);
    desk.publish("first", 1);
    for number in 0..2000 {
        let event = presence_draft(&number.to_string(), Presence::Begins(None));
        desk.append(vec![event], 1);
    }
    desk.publish("second", 1);
    desk.tick(2);
    let kept = texts(&mut desk);
    assert_eq!(kept, ["first", "1997", "1998", "1999", "second"]);
    desk.publish("third", 3);
    desk.tick(4);
    assert_eq!(texts(&mut desk).first().map(String::as_str), Some("1997"));
    // They end by age, too; the newest position stays, so that it is not given twice.
    desk.append(vec![presence_draft("last", Presence::Ends)], 5);
    desk.tick(100_000);
    assert_eq!(texts(&mut desk), ["second", "third", "last"]);
}

#[test]
fn what_began_and_did_not_end_is_known_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let retention = Retention {
        presence: FEW,
        ..KEEP_ALL
    };
    let mut desk = Desk::on_file(&path, retention);
    let holder = desk.writer.holder_key().holder("issuer", "subject");
    for name in ["a", "b", "c", "d", "e", "f"] {
        let holder = Some(holder).filter(|_| name > "c");
        desk.append(vec![presence_draft(name, Presence::Begins(holder))], 1);
    }
    desk.append(vec![presence_draft("b", Presence::Ends), draft("x")], 2);
    // Retention removes the events; their summary stays.
    desk.tick(3);
    drop(desk);
    let mut desk = Desk::on_file(&path, retention);
    let announced = desk.writer.announced().unwrap();
    let mut left: Vec<&str> = announced.iter().map(|left| &*left.data).collect();
    left.sort_unstable();
    assert_eq!(left, ["a", "c", "d", "e", "f"]);
    for left in &announced {
        let held = Some(holder).filter(|_| &*left.data > "c");
        assert_eq!(left.holder, held, "{}", left.data);
    }
    // The key is the history's, so that the next process finds the same.
    let key = desk.writer.holder_key();
    assert_eq!(key.holder("issuer", "subject"), holder);
    for left in &announced {
        desk.append(vec![presence_draft(&left.data, Presence::Ends)], 4);
    }
    drop(desk);
    let mut desk = Desk::on_file(&path, retention);
    assert_eq!(desk.writer.announced().unwrap(), []);
}

#[test]
fn a_page_says_where_events_were_removed() {
    let retention = Retention {
        presence: FEW,
        ..KEEP_ALL
    };
    let mut desk = Desk::in_memory(retention);
    desk.publish("1", 1);
    for name in ["2", "3", "4", "5"] {
        desk.append(vec![presence_draft(name, Presence::Begins(None))], 1);
    }
    desk.publish("6", 1);
    // Cached before the removal, and read anew after it.
    assert_eq!(texts(&mut desk).len(), 6);
    desk.tick(2);
    let page = desk.reader.page(Position::ZERO).unwrap();
    assert_eq!(page.last_hole, Position::new(2));
    assert_eq!(texts(&mut desk), ["1", "3", "4", "5", "6"]);
}

#[test]
fn whoever_reads_where_only_events_were_removed_has_lost_nothing_and_reads_on_at_once() {
    let retention = Retention {
        age_max: Some(Duration::from_secs(3600)),
        presence: FEW,
        ..KEEP_ALL
    };
    let folder = tempfile::tempdir().unwrap();
    let on_file = Desk::on_file(&folder.path().join("history.db"), retention);
    for mut desk in [on_file, Desk::in_memory(retention)] {
        let now_ms = 10_000_000;
        let event = |number: u32| presence_draft(&number.to_string(), Presence::Begins(None));
        desk.append((0..2000).map(event).collect(), now_ms);
        desk.tick(now_ms);
        assert_eq!(desk.published.bounds().oldest, Position::new(1));
        assert_eq!(texts(&mut desk), ["1997", "1998", "1999"]);
        let read_before = desk.published.stats().pages_read;
        let page = desk.reader.page(Position::new(700)).unwrap();
        let hole = Position::new(1997);
        assert_eq!(
            (page.next, page.last_hole, page.updates.len()),
            (hole, hole, 0)
        );
        assert_eq!(desk.published.stats().pages_read, read_before + 1);
        // What is old goes, and what comes after it stays to be read.
        desk.publish("kept", now_ms + 3_000_000);
        desk.tick(now_ms + 4_000_000);
        assert_eq!(texts(&mut desk), ["kept"]);
    }
}

fn texts(desk: &mut Desk) -> Vec<String> {
    let oldest = desk.published.bounds().oldest.get();
    let read = desk.read_all(Position::new(oldest - 1)).unwrap();
    read.iter().map(|update| update.data.to_string()).collect()
}
