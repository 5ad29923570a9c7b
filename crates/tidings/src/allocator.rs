//! The allocator of the process, and how it gives memory back.
//!
//! mimalloc gives memory that was freed back to the system a second later, but looks for it only when
//! somebody frees a large piece. A hub that was busy and is idle would keep what it does not need until
//! the next large piece: a burst of long updates, or an attack, would stay in its resident memory.

use std::hint::black_box;
use std::time::Duration;

/// How often the allocator is made to look.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes that count as a large piece. They are not written to, so they never become resident.
const LARGE_BYTES: usize = 1024 * 1024;

/// Lets the allocator give back what was freed, for as long as the process lives.
pub(crate) async fn give_back() -> std::convert::Infallible {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // A compiler that saw that nobody uses it would leave it out.
        drop(black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
    }
}
