//! Stops a hub: its streams, then its threads, then its history.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::runtime::Runtime;

use super::{Hub, LOOK_EVERY};
use crate::broker;
use crate::signals::Signals;
use tidings_hub::shard::Delivery;
use tidings_hub::shard::stopping::{Arrivals, Drain};

/// Longest wait for the streams to end, beyond the time that they were spread over.
const DRAIN_SLACK: Duration = Duration::from_millis(500);
/// How long idle connections may still send a request. Its answer tells the peer to use another connection next
/// time.
const IDLE_MAX: Duration = Duration::from_secs(1);

impl Hub {
    /// Ends the streams, then the threads, then the history. `arrivals` says who takes in what arrives
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// A thread ended in a panic.
    pub(super) fn stop(
        mut self,
        control: &Runtime,
        signals: &mut Signals,
        arrivals: Arrivals,
    ) -> anyhow::Result<()> {
        let within = self.live.load().server.drain;
        tracing::info!(within_secs = within.as_secs_f64(), "stopping");
        self.notifier
            .stopping(&format!("draining: {}", self.status()));
        // Before the first stream ends.
        if let Some(presence) = &self.presence {
            presence.drain();
        }
        // ZeroMQ cannot resume, so its peers go to the next process at once.
        if arrivals == Arrivals::Elsewhere
            && let Some(broker) = self.broker.take()
        {
            stop_broker(broker)?;
        }
        let drain = Drain {
            within,
            arrivals,
            streams: self.streams(),
        };
        self.tell(|| Delivery::Drain(drain));
        control.block_on(async {
            // A second signal means now.
            tokio::select! {
                () = self.drained(within) => {}
                () = signals.stop() => {}
            }
        });
        self.tell(|| Delivery::Stop);
        for shard in self.shards {
            if shard.join().is_err() {
                bail!("a shard ended in a panic");
            }
        }
        // After the shards, so that their last updates are sent; before the history, so that messages
        // from peers are stored.
        if let Some(broker) = self.broker {
            stop_broker(broker)?;
        }
        // Before the relay gives up its lease, so that what was stored is removed.
        if let Some(inbox) = self.inbox
            && inbox.stop().is_err()
        {
            bail!("the reader of the inbox ended in a panic");
        }
        if let Some(presence) = self.presence
            && presence.stop().is_err()
        {
            bail!("presence ended in a panic");
        }
        self.shared.relay.stop();
        self.shared.history.clone().close();
        self.shared.router.stop();
        if self.router.join().is_err() {
            bail!("the router ended in a panic");
        }
        if let Some(exporter) = self.exporter {
            exporter.stop();
        }
        Ok(())
    }

    fn tell(&self, delivery: impl Fn() -> Delivery) {
        for inbox in &self.shared.inboxes {
            inbox.blocking_send(vec![delivery()]);
        }
    }

    pub(super) fn streams(&self) -> usize {
        let loads = self.shared.loads.iter();
        loads.map(|load| load.load(Ordering::Relaxed)).sum()
    }

    /// Waits until the streams have ended, then until their connections have.
    async fn drained(&self, within: Duration) {
        let began = Instant::now();
        let idle_until = began + IDLE_MAX.min(within);
        let ends = began + within;
        let connected = || self.shared.account.connections() > 0;
        while connected() {
            let now = Instant::now();
            let over = self.streams() == 0 && now >= idle_until;
            if over || now >= ends {
                break;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.tell_closing().await;
        let deadline = Instant::now() + DRAIN_SLACK;
        while connected() && Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn tell_closing(&self) {
        for inbox in &self.shared.inboxes {
            inbox.send(vec![Delivery::Close]).await;
        }
    }
}

fn stop_broker(broker: broker::Handle) -> anyhow::Result<()> {
    if broker.stop().is_err() {
        bail!("the broker ended in a panic");
    }
    Ok(())
}
