//! Figures about a process from the kernel: CPU time, memory, open files, processors.

use std::fs;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::BenchError;

/// Open files that are not connections.
const OTHER_FILES: u64 = 64;

/// A process on this machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process(u32);

impl Process {
    /// Refers to a process; reads nothing.
    pub(crate) fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// Returns the nanoseconds for which its threads have run, in user and kernel mode.
    ///
    /// Threads that ended are not counted. `/proc/PID/task/TID/schedstat`, first field.
    ///
    /// # Errors
    ///
    /// [`BenchError::Process`] if there is no such process.
    pub(crate) fn cpu_ns(self) -> Result<u64, BenchError> {
        let path = format!("/proc/{}/task", self.0);
        let wrong = |source| BenchError::Process {
            path: path.clone(),
            source,
        };
        let mut sum = 0;
        for task in fs::read_dir(&path).map_err(wrong)? {
            let schedstat = task.map_err(wrong)?.path().join("schedstat");
            // A thread may end after it was listed.
            sum += fs::read_to_string(schedstat).map_or(0, |text| first_number(&text));
        }
        Ok(sum)
    }

    /// Returns its resident memory in bytes. `/proc/PID/status`, `VmRSS`.
    ///
    /// # Errors
    ///
    /// [`BenchError::Process`] if there is no such process.
    pub(crate) fn resident_bytes(self) -> Result<u64, BenchError> {
        let path = format!("/proc/{}/status", self.0);
        let text = fs::read_to_string(&path).map_err(|source| BenchError::Process {
            path: path.clone(),
            source,
        })?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap_or_default();
        Ok(first_number(line) * 1024)
    }

    /// Returns the number of its open files and sockets. `/proc/PID/fd`.
    ///
    /// # Errors
    ///
    /// [`BenchError::Process`] if there is no such process, or another user owns it.
    pub(crate) fn open_files(self) -> Result<u64, BenchError> {
        let path = format!("/proc/{}/fd", self.0);
        let files = fs::read_dir(&path).map_err(|source| BenchError::Process { path, source })?;
        Ok(files.count() as u64)
    }

    /// Returns the first processor that it may run on.
    ///
    /// # Errors
    ///
    /// [`BenchError::System`] if there is no such process.
    pub(crate) fn first_processor(self) -> Result<usize, BenchError> {
        let pid = i32::try_from(self.0).ok().and_then(Pid::from_raw);
        first_of(pid)
    }
}

/// Returns the nanoseconds for which the calling thread has run.
pub(crate) fn own_thread_cpu_ns() -> u64 {
    fs::read_to_string("/proc/thread-self/schedstat").map_or(0, |text| first_number(&text))
}

/// Returns the first processor that the calling thread may run on.
///
/// # Errors
///
/// [`BenchError::System`] if the kernel does not report it.
pub(crate) fn own_processor() -> Result<usize, BenchError> {
    first_of(None)
}

/// Binds the calling thread to one processor.
///
/// # Errors
///
/// [`BenchError::System`] if this process may not use that processor.
pub(crate) fn run_on(processor: usize) -> Result<(), BenchError> {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).map_err(BenchError::system("sched_setaffinity"))
}

/// Makes sure that this process may have that many connections, and raises its limit if necessary.
///
/// # Errors
///
/// [`BenchError::OpenFiles`] if the hard limit is lower.
pub(crate) fn allow_connections(connections: usize) -> Result<(), BenchError> {
    let needed = connections as u64 + OTHER_FILES;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    if let Some(limit) = maximum.filter(|maximum| *maximum < needed) {
        return Err(BenchError::OpenFiles { needed, limit });
    }
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(needed),
            maximum,
        },
    )
    .map_err(BenchError::system("setrlimit"))
}

fn first_of(pid: Option<Pid>) -> Result<usize, BenchError> {
    let set = sched_getaffinity(pid).map_err(BenchError::system("sched_getaffinity"))?;
    Ok((0..CpuSet::MAX_CPU)
        .find(|processor| set.is_set(*processor))
        .unwrap_or_default())
}

fn first_number(text: &str) -> u64 {
    text.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}
