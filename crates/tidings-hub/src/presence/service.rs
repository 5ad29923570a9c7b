//! Presence in the running server: its thread, from start to stop.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tidings_core::hub_url::HubUrl;
use tokio::sync::watch;

use super::{Channel, Dependencies, Hubs, Options, Presence, RollCall};
use crate::ingest::Ingest;
use crate::metrics::Metrics;

/// The running presence thread. It also runs without presence, to publish the ends that a crash left open.
pub struct Service {
    presence: Presence,
    thread: JoinHandle<()>,
    /// Whether presence is on.
    configured: bool,
    grace: watch::Sender<Duration>,
}

impl Service {
    /// Starts the thread if there are options, which means that presence is on, or if an earlier process left
    /// subscriptions behind that have to end.
    ///
    /// # Errors
    ///
    /// The operating system refused the thread or its resources, or has no random bytes.
    pub fn start(
        options: Option<Options>,
        hub: HubUrl,
        ingest: &Ingest,
        history: &tidings_history::Handle,
        metrics: &Arc<Metrics>,
        (channel, roster): (Channel, Option<(Hubs, RollCall)>),
    ) -> io::Result<Option<Self>> {
        let ghosts = history.take_announced();
        let configured = options.is_some();
        if !configured && ghosts.is_empty() {
            return Ok(None);
        }
        let grace = options
            .as_ref()
            .map_or(Duration::ZERO, |options| options.grace);
        let (grace, in_force) = watch::channel(grace);
        let dependencies = Dependencies {
            hub,
            ingest: ingest.clone(),
            history: history.clone(),
            metrics: Arc::clone(metrics),
            ghosts,
            roster,
            grace: in_force,
        };
        let (presence, commands) = channel.split();
        let options = options.unwrap_or(Options::DEFAULT);
        let thread = super::start(options, dependencies, commands)?;
        Ok(Some(Self {
            presence,
            thread,
            configured,
            grace,
        }))
    }

    /// Changes the grace period, for subscribers that leave from now on.
    pub fn set_grace(&self, grace: Duration) {
        self.grace.send_replace(grace);
    }

    /// Returns the handle for sessions and requests, if presence is on.
    pub fn asked(&self) -> Option<Presence> {
        self.configured.then(|| self.presence.clone())
    }

    /// Stops the clock of the grace period, because the hub is being stopped. Blocks: call it from the control
    /// thread.
    pub fn drain(&self) {
        self.presence.drain();
    }

    /// Ends the thread, after the last events. Blocks: call it from the control thread.
    ///
    /// # Errors
    ///
    /// The payload of its panic.
    pub fn stop(self) -> std::thread::Result<()> {
        self.presence.stop();
        self.thread.join()
    }
}
