//! The history against a plain vector: whatever is appended, removed, read and reopened.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidings_core::{Draft, Position, Presence, Update};
use tidings_history::{Bounds, PresenceRetention, ReadError, Retention};

use crate::desk::{Desk, draft, draft_with_id, presence_draft, quick_folder};

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_behaves_like_a_vector(steps in steps(), retention in retention()) {
        let folder = quick_folder();
        let path = folder.path().join("history.db");
        let mut model = Model::new(retention);
        let mut desk = Desk::on_file(&path, retention);
        for step in steps {
            if let Step::Reopen = step {
                desk.writer.close();
                drop(desk);
                desk = Desk::on_file(&path, retention);
                model.check_all(&mut desk);
                // The history's time goes on from here, and not from the next step.
                model.on_step(&mut desk, &Step::Tick(0));
            } else {
                model.on_step(&mut desk, &step);
            }
        }
        model.check_all(&mut desk);
    }

    #[test]
    fn memory_behaves_like_a_vector(steps in steps(), retention in retention()) {
        let mut model = Model::new(retention);
        let mut desk = Desk::in_memory(retention);
        for step in steps {
            model.on_step(&mut desk, &step);
        }
        model.check_all(&mut desk);
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// A group: for each update the length of its data, and perhaps one of a few ids; or a
    /// presence event.
    Append(Vec<(usize, Option<u8>, Option<Presence>)>),
    /// Time passes, and then the history looks after itself.
    Tick(u64),
    /// A reader asks for the page after this share (in 256ths) of what there was.
    Read(u8),
    Find(u8),
    Reopen,
}

struct Model {
    retention: Retention,
    now_ms: u64,
    /// Everything that was ever acknowledged.
    updates: Vec<Arc<Update>>,
    /// How many of them were removed.
    trimmed: usize,
    /// Up to where presence events were removed beside them.
    presence_trimmed: usize,
}

impl Model {
    fn new(retention: Retention) -> Self {
        Self {
            retention,
            now_ms: 1_000_000,
            updates: Vec::new(),
            trimmed: 0,
            presence_trimmed: 0,
        }
    }

    fn on_step(&mut self, desk: &mut Desk, step: &Step) {
        match step {
            Step::Append(group) => self.on_append(desk, group),
            Step::Tick(passed_ms) => {
                self.now_ms += passed_ms;
                desk.tick(self.now_ms);
                self.trim();
                self.take_beginning(desk);
            }
            Step::Read(share) => {
                let after = self.updates.len() * usize::from(*share) / 255;
                self.check_read(desk, after);
            }
            Step::Find(id) => {
                let cursor = id_text(*id);
                let found = crate::cursors::find(desk, &cursor);
                let first = self.kept(0).find(|update| update.id.as_str() == cursor);
                assert_eq!(found, first.map(|update| update.position));
            }
            Step::Reopen => {}
        }
        let bounds = Bounds {
            oldest: Position::new(self.trimmed as u64 + 1),
            last: Position::new(self.updates.len() as u64),
        };
        assert_eq!(desk.published.bounds(), bounds);
    }

    fn on_append(&mut self, desk: &mut Desk, group: &[(usize, Option<u8>, Option<Presence>)]) {
        let drafts: Vec<Draft> = group
            .iter()
            .map(|(length, id, presence)| {
                let data = "x".repeat(*length);
                match (presence, id) {
                    (Some(presence), _) => presence_draft(&data, *presence),
                    (None, Some(id)) => draft_with_id(&data, &id_text(*id)),
                    (None, None) => draft(&data),
                }
            })
            .collect();
        for (answer, draft) in desk
            .append(drafts.clone(), self.now_ms)
            .into_iter()
            .zip(drafts)
        {
            let update = answer.expect("a healthy history");
            assert_eq!(update.position.get(), self.updates.len() as u64 + 1);
            assert_eq!(update.data, draft.data);
            self.updates.push(update);
        }
    }

    fn trim(&mut self) {
        let size = |update: &Update| update.bytes();
        loop {
            let kept = &self.updates[self.trimmed..];
            let Some(oldest) = kept.first() else { break };
            let ordinary = kept.iter().filter(|update| update.presence.is_none());
            let count = ordinary.clone().count() as u64;
            let bytes: u64 = ordinary.map(|update| size(update)).sum();
            let old = self.retention.age_max.is_some_and(|age| {
                u128::from(self.now_ms - oldest.published_ms) >= age.as_millis()
            });
            let many = self.retention.updates_max.is_some_and(|max| count > max);
            let large = self.retention.bytes_max.is_some_and(|max| bytes > max);
            if !(old || (count > 1 && (many || large))) {
                break;
            }
            self.trimmed += 1;
        }
        self.trim_presence();
    }

    /// Whether the history begins before or after events that are gone is all the same.
    fn take_beginning(&mut self, desk: &Desk) {
        let oldest = desk.published.bounds().oldest.get();
        let trimmed = usize::try_from(oldest).unwrap() - 1;
        let (low, high) = (self.trimmed.min(trimmed), self.trimmed.max(trimmed));
        let end = Position::new(self.presence_trimmed as u64);
        for update in &self.updates[low..high] {
            assert!(update.presence.is_some() && update.position <= end);
        }
        self.trimmed = trimmed;
    }

    fn trim_presence(&mut self) {
        let rule = self.retention.presence;
        loop {
            let events = self.kept(0).filter(|update| update.presence.is_some());
            let events: Vec<_> = events.cloned().collect();
            let count = events.len() as u64;
            let Some(oldest) = events.first() else { return };
            let age = u128::from(self.now_ms - oldest.published_ms);
            let old = rule.age_max.is_some_and(|max| age >= max.as_millis());
            let place = usize::try_from(oldest.position.get()).unwrap();
            if place == self.updates.len() || !(old || count > rule.events_max) {
                return;
            }
            self.presence_trimmed = place;
        }
    }

    /// Returns the stored updates after `after`.
    fn kept(&self, after: usize) -> impl Iterator<Item = &Arc<Update>> + Clone {
        let end = Position::new(self.presence_trimmed as u64);
        let kept = self.updates.iter().skip(after.max(self.trimmed));
        kept.filter(move |update| update.presence.is_none() || update.position > end)
    }

    fn check_all(&self, desk: &mut Desk) {
        self.check_read(desk, self.trimmed);
        self.check_read(desk, 0);
    }

    fn check_read(&self, desk: &mut Desk, after: usize) {
        let read = desk.read_all(Position::new(after as u64));
        if after < self.trimmed {
            let oldest = Position::new(self.trimmed as u64 + 1);
            let error = read.expect_err("a removed position");
            assert!(matches!(error, ReadError::Trimmed { oldest: told } if told == oldest));
            return;
        }
        let read = read.expect("a readable history");
        let expected: Vec<_> = self.kept(after).cloned().collect();
        assert_eq!(read, expected);
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let update = (
        prop_oneof![4 => 0..300usize, 1 => 0..60_000usize],
        option_of_id(),
        prop_oneof![
            4 => Just(None),
            1 => Just(Some(Presence::Begins(None))),
            1 => Just(Some(Presence::Ends)),
        ],
    );
    let step = prop_oneof![
        6 => prop::collection::vec(update, 1..120).prop_map(Step::Append),
        2 => (0..5000u64).prop_map(Step::Tick),
        2 => any::<u8>().prop_map(Step::Read),
        1 => (0..8u8).prop_map(Step::Find),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..30)
}

fn option_of_id() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![3 => Just(None), 1 => (0..8u8).prop_map(Some)]
}

fn retention() -> impl Strategy<Value = Retention> {
    let age = prop_oneof![Just(None), (0..20_000u64).prop_map(Some)];
    let updates = prop_oneof![Just(None), (1..400u64).prop_map(Some)];
    let bytes = prop_oneof![Just(None), (1000..2_000_000u64).prop_map(Some)];
    let presence = (
        prop_oneof![Just(None), (0..20_000u64).prop_map(Some)],
        prop_oneof![0..200u64, Just(u64::MAX)],
    );
    let presence = presence.prop_map(|(age, events_max)| PresenceRetention {
        age_max: age.map(Duration::from_millis),
        events_max,
    });
    (age, updates, bytes, presence).prop_map(|(age, updates_max, bytes_max, presence)| Retention {
        age_max: age.map(Duration::from_millis),
        updates_max,
        bytes_max,
        presence,
    })
}

fn id_text(id: u8) -> String {
    format!("urn:example:{id}")
}
