//! A disk that is really full: a small file system of memory, if this process may mount one.

use std::fs;
use std::path::Path;
use std::process::Command;

use tidings_cluster::RelayError;
use tidings_core::Position;
use tidings_history::Health;

use crate::desk::{Desk, KEEP_ALL, draft};

#[test]
fn a_full_disk_refuses_until_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let Some(_disk) = Disk::mount(folder.path()) else {
        println!("not shown here: this process may not mount a file system");
        return;
    };
    let path = folder.path().join("history.db");
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    desk.publish("before", 1);
    let ballast = folder.path().join("ballast");
    fs::write(&ballast, vec![1; 5 << 20]).unwrap();
    let mut taken = 1;
    let fault = loop {
        assert!(taken < 1000, "the disk never filled");
        match desk.append(vec![draft(&"x".repeat(100_000))], 1).remove(0) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(fault, RelayError::Unavailable { .. }), "{fault:?}");
    assert!(matches!(desk.published.health(), Health::Refusing { .. }));
    desk.tick(2);
    assert!(matches!(desk.published.health(), Health::Refusing { .. }));
    assert_eq!(
        desk.read_all(Position::ZERO).unwrap().len(),
        taken,
        "reads go on"
    );

    // A hub that starts on the full disk serves its stored updates.
    drop(desk);
    let mut desk = Desk::on_file(&path, KEEP_ALL);
    assert!(matches!(desk.published.health(), Health::Refusing { .. }));
    assert_eq!(desk.read_all(Position::ZERO).unwrap().len(), taken);

    fs::remove_file(&ballast).unwrap();
    desk.tick(3);
    assert_eq!(desk.published.health(), Health::Ok);
    assert_eq!(desk.publish("after", 4).position.get(), taken as u64 + 1);
    assert_eq!(desk.read_all(Position::ZERO).unwrap().len(), taken + 1);
}

/// Eight megabytes of disk, gone when dropped.
struct Disk<'a> {
    folder: &'a Path,
}

impl<'a> Disk<'a> {
    fn mount(folder: &'a Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(folder);
        mount
            .output()
            .ok()?
            .status
            .success()
            .then_some(Self { folder })
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // The desk is dropped before, since it was made after; `-l` forgives what is left.
        let unmounted = Command::new("umount").arg("-l").arg(self.folder).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}
