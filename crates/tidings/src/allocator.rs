//! The allocator of the process, and the return of memory to the system.
//!
//! mimalloc returns freed memory to the system after a second, but checks for it only when a large piece is freed. A
//! hub that becomes idle would hold its memory until the next large piece: the memory of a burst of long updates, or
//! of an attack, would stay resident.

use std::hint::black_box;
use std::time::Duration;

/// How often the allocator is made to check.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Bytes that count as a large piece. They are not written to, so they never become resident.
const LARGE_BYTES: usize = 1024 * 1024;

/// Makes the allocator return freed memory, as long as the process lives.
pub(crate) async fn give_back() -> std::convert::Infallible {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Otherwise the compiler would remove the unused allocation.
        drop(black_box(Vec::<u8>::with_capacity(LARGE_BYTES)));
    }
}
