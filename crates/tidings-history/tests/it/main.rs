//! The history through its doors: on real files, with and without its threads, with faults.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test says what must hold by failing"
)]

mod acknowledged;
mod clock;
mod cursors;
mod cuts;
mod desk;
mod faults;
mod file;
mod full_disk;
mod handover;
mod lines;
mod model;
mod old_formats;
mod ordered;
mod presence;
mod purge;
mod threads;
