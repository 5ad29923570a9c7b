//! The start of the program; everything else is in the library beside it.

use std::process::ExitCode;

/// Small allocations of long-lived connections are what this program is made of.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidings::run()
}
