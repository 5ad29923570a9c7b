//! The signals that a running hub handles. None of them ends it without a drain.
//!
//! | signal | effect |
//! |---|---|
//! | TERM, INT | stops the hub with a drain; a second one ends the drain |
//! | HUP | reloads files, or stops the hub if its terminal was closed ([`Hangup`]) |
//! | USR1, USR2 | nothing but a log line |
//! | PIPE | nothing: the socket tells that its peer is gone |
//!
//! QUIT keeps the system's default: the process ends at once, with a core dump if those are enabled.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Stop with a drain.
    Stop,
    /// Reload the files that a running hub can reload.
    Reload,
}

/// What HUP requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// A reload, as service managers use it.
    Reloads,
    /// A stop: the terminal in which the command was started was closed. Ignored under `nohup`.
    Stops,
}

/// The signals of the process. Made before anything is started, because an earlier signal would end the process
/// without a drain.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
    on_hangup: Wish,
    /// SIGUSR1 and SIGUSR2, which would end the process if nothing handled them.
    meaningless: [Signal; 2],
}

impl Signals {
    /// Begins to handle signals. Call it inside a runtime. A signal that arrives from now on waits for the first
    /// [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// The operating system refuses a handler.
    pub(crate) fn listen(hangup: Hangup) -> io::Result<Self> {
        let (wanted, on_hangup) = match hangup {
            Hangup::Reloads => (true, Wish::Reload),
            Hangup::Stops => (!is_ignored(SignalKind::hangup()), Wish::Stop),
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: wanted.then(|| signal(SignalKind::hangup())).transpose()?,
            on_hangup,
            meaningless: [
                signal(SignalKind::user_defined1())?,
                signal(SignalKind::user_defined2())?,
            ],
        })
    }

    /// Waits for a signal that requests something, and logs others.
    pub(crate) async fn next(&mut self) -> Wish {
        let [first, second] = &mut self.meaningless;
        loop {
            let name = tokio::select! {
                _ = self.terminate.recv() => return Wish::Stop,
                _ = self.interrupt.recv() => return Wish::Stop,
                () = received(&mut self.hangup) => return self.on_hangup,
                _ = first.recv() => "SIGUSR1",
                _ = second.recv() => "SIGUSR2",
            };
            tracing::info!(signal = name, "signal ignored: it has no meaning here");
        }
    }

    /// Waits for a signal that requests the stop.
    pub(crate) async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Returns whether the process was started with a signal ignored, as `nohup` does.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(u32::MAX);
    ignored.is_some_and(|mask| mask.checked_shr(bit).is_some_and(|mask| mask & 1 == 1))
}
