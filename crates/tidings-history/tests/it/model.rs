//! The history against a plain vector: whatever is appended, removed, read and reopened.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidings_core::{Draft, Position, Update};
use tidings_history::{Bounds, ReadError, Retention};

use crate::desk::{Desk, draft, draft_with_id, quick_folder};

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
    /// A group: for each update the length of its data, and perhaps one of a few ids.
    Append(Vec<(usize, Option<u8>)>),
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
}

impl Model {
    fn new(retention: Retention) -> Self {
        Self {
            retention,
            now_ms: 1_000_000,
            updates: Vec::new(),
            trimmed: 0,
        }
    }

    fn on_step(&mut self, desk: &mut Desk, step: &Step) {
        match step {
            Step::Append(group) => self.on_append(desk, group),
            Step::Tick(passed_ms) => {
                self.now_ms += passed_ms;
                desk.tick(self.now_ms);
                self.trim();
            }
            Step::Read(share) => {
                let after = self.updates.len() * usize::from(*share) / 255;
                self.check_read(desk, after);
            }
            Step::Find(id) => {
                let cursor = id_text(*id);
                let found = crate::cursors::find(desk, &cursor);
                let kept = self.updates.iter().skip(self.trimmed);
                let first = kept.into_iter().find(|update| update.id.as_str() == cursor);
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

    fn on_append(&mut self, desk: &mut Desk, group: &[(usize, Option<u8>)]) {
        let drafts: Vec<Draft> = group
            .iter()
            .map(|(length, id)| {
                let data = "x".repeat(*length);
                id.map_or_else(|| draft(&data), |id| draft_with_id(&data, &id_text(id)))
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
        let size = |update: &Update| tidings_history::storage::update_bytes(update);
        loop {
            let kept = &self.updates[self.trimmed..];
            let Some(oldest) = kept.first() else { return };
            let bytes: u64 = kept.iter().map(|update| size(update)).sum();
            let old = self.retention.age_max.is_some_and(|age| {
                u128::from(self.now_ms - oldest.published_ms) >= age.as_millis()
            });
            let many = self
                .retention
                .updates_max
                .is_some_and(|max| kept.len() as u64 > max);
            let large = self.retention.bytes_max.is_some_and(|max| bytes > max);
            if !(old || (kept.len() > 1 && (many || large))) {
                return;
            }
            self.trimmed += 1;
        }
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
        let expected = &self.updates[after..];
        assert_eq!(read.len(), expected.len());
        for (read, expected) in read.iter().zip(expected) {
            assert_eq!(read, expected);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let update = (
        prop_oneof![4 => 0..300usize, 1 => 0..60_000usize],
        option_of_id(),
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
    (age, updates, bytes).prop_map(|(age, updates_max, bytes_max)| Retention {
        age_max: age.map(Duration::from_millis),
        updates_max,
        bytes_max,
    })
}

fn id_text(id: u8) -> String {
    format!("urn:example:{id}")
}
