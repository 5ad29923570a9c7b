//! A purge withdraws a topic's updates for good, and leaves everything else as it was: the order, the ids, the
//! prints, the other topics.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use tidings_core::{Draft, Position, Presence, Target, Targets, Topics, Update, Visibility};
use tidings_history::{Append, Purge, Purged, Resolved};

use crate::desk::{Desk, KEEP_ALL, at, draft, draft_with_id, presence_draft, topic};

const SECRET: &str = "a secret that must not stay";

#[test]
fn a_purge_withdraws_every_update_of_the_topic_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    for mut desk in [
        Desk::in_memory(KEEP_ALL),
        Desk::on_file(&folder.path().join("history.db"), KEEP_ALL),
    ] {
        let before = publish_all(&mut desk);
        // The cache has them.
        assert_eq!(desk.read_all(Position::ZERO).unwrap(), before);
        let purged = purge_all(&mut desk);
        assert_eq!(purged, 3);
        check_purged(&mut desk, &before);
        assert_eq!(purge_all(&mut desk), 0);
        // The next update vouches for all before it, as ever.
        let next = desk.publish("next", 2);
        assert_eq!(next.position.get(), before.len() as u64 + 1);
        let Resolved::After(position) = desk.resolve(next.id.as_str()) else {
            panic!("the id is known");
        };
        assert_eq!(position, next.position);
    }
}

#[test]
fn a_purge_outlives_a_restart_and_leaves_nothing_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.db");
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    let before = publish_all(&mut desk);
    purge_all(&mut desk);
    desk.writer.close();
    drop(desk);
    for entry in fs::read_dir(folder.path()).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        let found = bytes
            .windows(SECRET.len())
            .any(|window| window == SECRET.as_bytes());
        assert!(!found, "the file still has what was withdrawn");
    }
    check_purged(&mut Desk::on_file(&path, KEEP_ALL), &before);
}

#[test]
fn a_long_purge_goes_in_slices() {
    let mut desk = Desk::in_memory(KEEP_ALL);
    let drafts = (0..2000).map(|number| draft(&number.to_string()));
    desk.append(drafts.collect(), 1);
    let purge = Purge {
        topic: topic("https://example.com/books/1"),
        after: Position::ZERO,
        through: Position::new(2000),
    };
    let first = purge_slice(&mut desk, purge);
    assert!(first.updates < 2000, "{first:?}");
    assert_eq!(first.updates, first.through.get());
    assert_eq!(first.updates + purge_all(&mut desk), 2000);
}

/// Publishes eight updates, of which the second, the fourth and the sixth are to be withdrawn.
fn publish_all(desk: &mut Desk) -> Vec<Arc<Update>> {
    let other = |data| Draft {
        topics: Topics::one(topic("https://example.com/books/12")),
        ..draft(data)
    };
    let alternate = Draft {
        topics: Topics::new(vec![
            topic("https://example.com/all"),
            topic("https://example.com/books/1"),
        ])
        .unwrap(),
        visibility: Visibility::Private,
        ..draft(SECRET)
    };
    let target = Target::parse("https://example.com/books/1").unwrap();
    let targets = Targets::new(vec![target]).unwrap().unwrap();
    let targeted = Draft {
        visibility: Visibility::Targeted(targets),
        ..other("for a target of that name")
    };
    let drafts = vec![
        other("1"),
        draft(SECRET),
        presence_draft("https%3A%2F%2Fexample.com%2Fbooks%2F1", Presence::Ends),
        draft_with_id(SECRET, "urn:example:4"),
        targeted,
        alternate,
        other("7"),
        other("8"),
    ];
    let answers = desk.append(drafts, 1).into_iter();
    answers.map(|answer| answer.unwrap()).collect()
}

fn check_purged(desk: &mut Desk, before: &[Arc<Update>]) {
    let after = desk.read_all(Position::ZERO).unwrap();
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        let expected = match before.position.get() {
            2 | 4 | 6 => before.withdrawn(),
            _ => (**before).clone(),
        };
        assert_eq!(**after, expected);
        // Whoever has it as the last event id has missed nothing.
        let resolved = desk.resolve(before.id.as_str());
        assert_eq!(resolved, Resolved::After(before.position));
    }
}

/// Purges the topic to the end, and returns how many updates were withdrawn.
fn purge_all(desk: &mut Desk) -> u64 {
    let goal = desk.published.bounds().last;
    let (mut after, mut updates) = (Position::ZERO, 0);
    while after < goal {
        let purged = purge_slice(
            desk,
            Purge {
                topic: topic("https://example.com/books/1"),
                after,
                through: goal,
            },
        );
        assert!(purged.through > after, "a slice is never empty");
        after = purged.through;
        updates += purged.updates;
    }
    updates
}

fn purge_slice(desk: &mut Desk, purge: Purge) -> Purged {
    let (tell, told) = sync_channel(1);
    let done = Box::new(move |purged| tell.send(purged).unwrap());
    desk.writer
        .on_batch(&mut vec![Append::Purge { purge, done }], at(2));
    told.recv().unwrap().expect("a writable history")
}
