//! The signals that a running hub takes. None of them ends it without a drain.
//!
//! | signal | what it asks for |
//! |---|---|
//! | TERM, INT | the end, in good form; a second one ends the drain |
//! | HUP | to read files again, or the end where the terminal is gone ([`Hangup`]) |
//! | USR1, USR2 | nothing; the log says so |
//! | PIPE | nothing: a peer that is gone is seen by its socket |
//!
//! QUIT keeps what the system does with it: the end at once, with a core dump if they are on.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To end in good form.
    Stop,
    /// To read again what can be read again.
    Reload,
}

/// What HUP asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hangup {
    /// To read again what can be read again, as service managers mean it.
    Reloads,
    /// The end: the terminal that the command was started in is closed. Not under `nohup`.
    Stops,
}

/// The signals of the process. Made before anything is started: one that came earlier would end the
/// process without a drain.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
    on_hangup: Wish,
    /// SIGUSR1 and SIGUSR2, which would end the process if nobody took them.
    meaningless: [Signal; 2],
}

impl Signals {
    /// Begins to take signals; to be called inside a runtime. One that comes now is kept for the first
    /// [`next`](Self::next).
    ///
    /// # Errors
    ///
    /// The operating system refused a handler.
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

    /// Waits for one that asks for something.
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
            tracing::info!(signal = name, "this signal has no meaning here");
        }
    }

    /// Waits for one that asks for the end.
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

/// Says whether whoever started the process wants it to ignore a signal, as `nohup` does.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = u32::try_from(kind.as_raw_value() - 1).unwrap_or(u32::MAX);
    ignored.is_some_and(|mask| mask.checked_shr(bit).is_some_and(|mask| mask & 1 == 1))
}
