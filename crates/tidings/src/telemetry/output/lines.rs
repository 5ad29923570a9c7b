//! Lines on their way to an output that may accept them late or never.
//!
//! ```text
//!   push ──► queue (bounded) ──► thread ──► write(2)
//!              │ full                          │ fails
//!              └───────► counted as lost ◄─────┘ ── told once a write succeeds again
//! ```
//!
//! A push never waits: the lock is held to append and to swap, never during a write.

use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tidings_wire::redact;
use tracing_subscriber::fmt::MakeWriter;

use super::log_file::LogFile;
use tidings_hub::metrics::{ByReason, count_many};

/// Maximum size of the waiting lines in bytes. As many bytes again may be on their way into the output.
pub(crate) const WAITING_BYTES_MAX: usize = 1024 * 1024;
/// Maximum number of waiting lines.
pub(crate) const WAITING_LINES_MAX: usize = 8192;

/// Where lines go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stream {
    /// The standard error.
    Error,
    /// The standard output.
    Output,
    /// The file of the access log.
    File(&'static LogFile),
}

/// The sending end of the queue.
#[derive(Debug)]
pub(crate) struct Lines {
    shared: Arc<Shared>,
    /// The queue's own thread, whose lines are always accepted: its line about lost lines must not be lost too.
    thread: ThreadId,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    written: Condvar,
    dropped: ByReason,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    lines: usize,
    /// Whether the thread has lines that it has not written yet.
    writing: bool,
    /// Lines lost since the last report.
    untold: u64,
}

impl Lines {
    /// Starts the thread that writes to `stream`.
    ///
    /// Calls `on_resumed` with the number of lost lines, on that thread, when a write succeeds again.
    ///
    /// # Errors
    ///
    /// The system has no thread for it.
    pub(crate) fn start(
        stream: Stream,
        dropped: ByReason,
        on_resumed: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            written: Condvar::new(),
            dropped,
        });
        let its = Arc::clone(&shared);
        let handle = thread::Builder::new()
            .name(stream.name().to_owned())
            .spawn(move || its.run(stream, on_resumed))?;
        let thread = handle.thread().id();
        Ok(Self { shared, thread })
    }

    /// Appends whole lines, or counts them as lost if there is no room.
    pub(crate) fn push(&self, lines: &[u8]) {
        let own = thread::current().id() == self.thread;
        self.shared.push(lines, own);
    }

    /// Waits until everything is written or lost, or the deadline is over.
    pub(crate) fn flush(&self, deadline: Instant) {
        let mut queue = self.shared.lock();
        while queue.writing || !queue.bytes.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.shared.written.wait_timeout(queue, left);
            (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No operation under the lock can leave it inconsistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, lines: &[u8], own: bool) {
        let number = line_breaks(lines);
        let mut queue = self.lock();
        let full = queue.bytes.len() + lines.len() > WAITING_BYTES_MAX
            || queue.lines + number > WAITING_LINES_MAX;
        if full && !own {
            self.lose(&mut queue, number, "full");
            return;
        }
        let idle = queue.bytes.is_empty();
        queue.bytes.extend_from_slice(lines);
        queue.lines += number;
        drop(queue);
        if idle {
            self.filled.notify_one();
        }
    }

    fn lose(&self, queue: &mut Queue, lines: usize, reason: &'static str) {
        let lines = u64::try_from(lines).unwrap_or(u64::MAX);
        queue.untold = queue.untold.saturating_add(lines);
        count_many(&self.dropped, reason, lines);
    }

    /// Writes lines, as long as the process lives.
    fn run(&self, stream: Stream, on_resumed: impl Fn(u64)) {
        let mut batch = Vec::new();
        // A partly written line must not run into the next one.
        let mut torn = false;
        loop {
            batch.clear();
            if torn {
                batch.push(b'\n');
            }
            self.take(&mut batch);
            let unwritten = stream.write(&batch);
            let written = batch.get(..batch.len() - unwritten.len());
            torn = !unwritten.is_empty()
                && written
                    .and_then(<[u8]>::last)
                    .map_or(torn, |&last| last != b'\n');
            let untold = self.on_written(unwritten);
            if untold > 0 {
                on_resumed(untold);
            }
        }
    }

    /// Waits for lines and moves all of them to the end of `batch`.
    fn take(&self, batch: &mut Vec<u8>) {
        let mut queue = self.lock();
        while queue.bytes.is_empty() {
            let waited = self.filled.wait(queue);
            queue = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if batch.is_empty() {
            std::mem::swap(batch, &mut queue.bytes);
        } else {
            batch.append(&mut queue.bytes);
        }
        queue.lines = 0;
        queue.writing = true;
    }

    /// Notes the end of a write. If it succeeded, returns how many lost lines to report.
    fn on_written(&self, unwritten: &[u8]) -> u64 {
        let mut queue = self.lock();
        queue.writing = false;
        let untold = if unwritten.is_empty() {
            std::mem::take(&mut queue.untold)
        } else {
            self.lose(&mut queue, line_breaks(unwritten), "failed");
            0
        };
        drop(queue);
        self.written.notify_all();
        untold
    }
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "stderr",
            Self::Output => "stdout",
            Self::File(_) => "access-log",
        }
    }

    /// Writes all of `bytes`, and returns what could not be written. May block forever.
    fn write(self, bytes: &[u8]) -> &[u8] {
        // Without the locks of the standard library, which would be held all the time.
        match self {
            Self::Error => write_all(io::stderr().as_fd(), bytes),
            Self::Output => write_all(io::stdout().as_fd(), bytes),
            Self::File(file) => file.write(bytes),
        }
    }
}

pub(super) fn write_all<'a>(output: BorrowedFd<'_>, bytes: &'a [u8]) -> &'a [u8] {
    let mut rest = bytes;
    while !rest.is_empty() {
        match rustix::io::write(output, rest) {
            Ok(0) => return rest,
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Another program that shares the pipe or terminal may have made it non-blocking.
            Err(Errno::AGAIN) => {
                let mut polled = [PollFd::new(&output, PollFlags::OUT)];
                if let Err(error) = poll(&mut polled, None)
                    && error != Errno::INTR
                {
                    return rest;
                }
            }
            Err(_) => return rest,
        }
    }
    rest
}

fn line_breaks(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// Collects one log event as one line.
#[derive(Debug)]
pub(crate) struct LineWriter<'a>(&'a Lines);

impl<'a> MakeWriter<'a> for &'static Lines {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        LineWriter(self)
    }
}

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(&redact::bytes(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
