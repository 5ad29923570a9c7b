//! How much memory the process may use: what the machine has, or what its control group allows if that is
//! less. The default of `limits.peer_memory_bytes_max` follows from it.

use std::path::Path;

/// The memory that is assumed if the system does not tell.
const ASSUMED_BYTES: u64 = 1024 * 1024 * 1024;
/// The files with the memory limit of the process's control group, in version 2 and version 1. A container sees
/// its own group at the root of either.
const GROUP_LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];
const MACHINE: &str = "/proc/meminfo";

/// Returns how many bytes of memory the process may use.
pub fn machine_bytes() -> u64 {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    let groups = GROUP_LIMITS
        .into_iter()
        .filter_map(|path| of_group(&read(path)?));
    let machine = read(MACHINE).and_then(|text| of_machine(&text));
    groups.chain(machine).min().unwrap_or(ASSUMED_BYTES)
}

/// Reads a group's limit. The word `max` means no limit.
fn of_group(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// Reads the line `MemTotal:  16384 kB`.
fn of_machine(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_files_are_read() {
        assert_eq!(of_group("268435456\n"), Some(268_435_456));
        assert_eq!(of_group("max\n"), None);
        let text = "MemTotal:       16384256 kB\nMemFree:         1 kB\n";
        assert_eq!(of_machine(text), Some(16_384_256 * 1024));
        assert_eq!(of_machine("MemFree: 1 kB"), None);
        assert!(machine_bytes() > 0);
    }
}
