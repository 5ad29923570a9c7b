//! Which updates a session has received, in every phase.

use super::*;

const KEPT: Kept = Kept {
    before_oldest: Position::new(3),
    presence_trimmed: Position::new(5),
};

#[test]
fn added_matchers_read_what_the_earlier_ones_had_and_no_more() {
    let mut progress = live_at(7);
    let scope = |progress: &Progress, position| progress.scope(Position::new(position), 3);
    let (all, earlier) = (Scope { had: 0, until: 3 }, Scope { had: 0, until: 2 });
    assert_eq!(scope(&progress, 1), all);
    progress.add_matchers(2, Start::Oldest, Position::new(7));
    // What is being written now was selected by the earlier matchers.
    assert_eq!(scope(&progress, 5), earlier);
    assert_eq!(
        (progress.phase(), progress.added_scope()),
        (Phase::Behind, None)
    );
    progress.begin_added(KEPT);
    assert_eq!(progress.position(), KEPT.before_oldest);
    assert_eq!(progress.added_scope(), Some((2, Position::new(7))));
    assert_eq!(scope(&progress, 7), Scope { had: 2, until: 3 });
    assert_eq!(scope(&progress, 8), all);
    progress.on_sent(Position::new(6));
    assert!(progress.is_adding());
    progress.on_sent(Position::new(7));
    assert!(!progress.is_adding());
}

#[test]
fn added_matchers_that_missed_nothing_are_done_at_once() {
    let mut progress = live_at(7);
    progress.add_matchers(1, Start::After(Position::new(9)), Position::new(7));
    progress.begin_added(KEPT);
    assert_eq!(
        (progress.is_adding(), progress.position()),
        (false, Position::new(7))
    );
}

#[test]
fn a_session_that_asked_for_the_oldest_reads_again_when_retention_was_faster() {
    let mut progress = Progress::new();
    progress.on_joined(Position::new(9));
    progress.begin(Start::Oldest, KEPT);
    assert_eq!(progress.reads_after(Position::new(6)), Position::new(3));
    assert_eq!(progress.excused(Position::new(6)), Position::new(6));
    assert_eq!(progress.reached(Position::new(9)), None);
    assert!(progress.on_trimmed(Position::new(4)));
    assert_eq!(progress.reads_after(Position::new(8)), Position::new(4));
    progress.on_found();
    assert!(
        !progress.on_trimmed(Position::new(5)),
        "it has read some, which are followed by a gap"
    );
    assert_eq!(progress.reached(Position::new(9)), Some(Position::new(4)));
}

#[test]
fn presence_events_that_go_before_the_first_read_are_part_of_the_gap_that_was_told() {
    let mut progress = Progress::new();
    progress.on_joined(Position::new(9));
    progress.begin(Start::AfterGap(Position::new(4)), KEPT);
    assert_eq!(
        progress.reads_after(KEPT.presence_trimmed),
        Position::new(4)
    );
    // Its own join is an event too. An older event is removed for it while the page is read.
    assert_eq!(progress.excused(Position::new(6)), Position::new(6));
    progress.on_found();
    let later = progress.excused(Position::new(7));
    assert_eq!(
        later,
        Position::new(6),
        "events removed later were promised"
    );
}

#[test]
fn a_cursor_that_the_shard_has_not_seen_yet_is_read_on_from() {
    let mut progress = live_at(7);
    assert!(!progress.on_update(0, Position::new(7), Position::new(5)));
    assert_eq!(
        (progress.phase(), progress.position()),
        (Phase::Behind, Position::new(7))
    );
}

#[test]
fn what_a_sweep_had_for_a_session_that_falls_behind_is_read_again() {
    let mut progress = live_at(7);
    assert!(progress.on_update(0, Position::new(8), Position::new(7)));
    assert!(!progress.on_update(1, Position::new(9), Position::new(7)));
    assert!(!progress.is_up_to_date());
    assert_eq!(
        progress.had_through(Position::new(9), Position::new(7)),
        Position::new(7)
    );
    progress.fall_behind(Position::new(8), Bytes::from_static(b"rest"), true);
    assert!(progress.take_runs().is_empty());
    assert_eq!((progress.tail_bytes(), progress.take_lagging()), (4, true));
    assert!(!progress.take_lagging(), "the peer is told once");
}

#[test]
fn the_first_reason_to_close_counts() {
    let mut progress = live_at(7);
    progress.close(Ending::Drained);
    progress.close(Ending::WriteFailed);
    progress.go_live();
    progress.read_again_after(Position::new(8));
    assert_eq!(progress.phase(), Phase::Closing(Ending::Drained));
}

/// Returns the progress of a session that went live after `position`.
fn live_at(position: u64) -> Progress {
    let mut progress = Progress::new();
    progress.on_joined(Position::new(position));
    progress.begin(Start::Now, KEPT);
    progress.go_live();
    progress
}
