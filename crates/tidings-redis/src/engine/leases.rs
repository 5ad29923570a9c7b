//! Leases, by the server's own clock.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tidings_cluster::engine::{
    Claimed, EngineError, Lease, LeaseName, Leased, NodeLease, Note, Path, Sender,
};
use tidings_cluster::safety::Holders;

use super::Redis;
use crate::answer::{self, Answer};
use crate::error::foreign;
use crate::keys::holder;
use crate::script::{self, Run};

/// How long it is known that a node was claimed, so that one that was paused learns of it.
const CLAIMED_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl Redis {
    pub(super) async fn take_lease(&self, lease: Lease) -> Result<Leased, EngineError> {
        let me = holder(lease.holder);
        let (held_by, note) = match &lease.name {
            LeaseName::Node => (self.take_own(&me, &lease).await?, None),
            LeaseName::Named(name) => self.take_named(&me, name, &lease).await?,
        };
        if held_by == me {
            return Ok(Leased::Held(note));
        }
        let by = answer::sender(&held_by);
        by.map(|by| Leased::HeldBy(by, note))
            .ok_or_else(|| foreign("a lease whose holder cannot be read"))
    }

    /// Returns who has the node: itself, or who claimed it.
    async fn take_own(&self, me: &str, lease: &Lease) -> Result<String, EngineError> {
        let mut run = Run::new(&script::LEASE);
        run.key(self.keys.leases.as_str());
        run.key(self.keys.record(me)).key(self.keys.claimed(me));
        run.arg(me).arg(lease.ttl_ms);
        let record = lease.record.as_deref();
        run.arg(u8::from(record.is_some()));
        run.arg(record.unwrap_or_default());
        let mut answer = Answer::read(self.run(Path::Control, &run).await?)?;
        match answer.kind() {
            "held" => Ok(me.to_owned()),
            "claimed" => answer.text(),
            _ => Err(answer.unknown()),
        }
    }

    /// Returns who holds the name, and what its holders left.
    async fn take_named(
        &self,
        me: &str,
        name: &str,
        lease: &Lease,
    ) -> Result<(String, Note), EngineError> {
        let mut run = Run::new(&script::HOLD);
        run.key(self.keys.named(name)).key(self.keys.note(name));
        run.arg(me).arg(lease.ttl_ms);
        let note = lease.record.as_deref();
        run.arg(u8::from(note.is_some()));
        run.arg(note.unwrap_or_default());
        let mut answer = Answer::read(self.run(Path::Control, &run).await?)?;
        if answer.kind() != "holder" {
            return Err(answer.unknown());
        }
        let (by, note) = (answer.text()?, answer.bytes()?);
        Ok((by, (!note.is_empty()).then(|| note.into())))
    }

    /// Returns who holds named leases now.
    pub(crate) async fn holders_of(&self, names: &[Arc<str>]) -> Result<Holders, EngineError> {
        let mut holders = Vec::with_capacity(names.len());
        for name in names {
            let mut get = redis::cmd("GET");
            get.arg(self.keys.named(name));
            let within = self.options.timeouts.answer;
            let held_by = self.send(Path::Control, &get, within).await?;
            let held_by = answer::texts(held_by).and_then(|texts| texts.into_iter().next());
            let held_by = held_by.and_then(|held_by| answer::sender(&held_by));
            holders.push((Arc::clone(name), held_by));
        }
        Ok(holders)
    }

    pub(super) async fn node_leases(&self) -> Result<Vec<NodeLease>, EngineError> {
        let mut run = Run::new(&script::LEASES);
        run.key(self.keys.leases.as_str());
        let words = answer::words(self.run(Path::Control, &run).await?)?;
        let mut leases = Vec::with_capacity(words.len() / 2);
        for pair in words.chunks_exact(2) {
            let [name, alive] = pair else { continue };
            let holder = answer::sender(name);
            leases.push(NodeLease {
                holder: holder.ok_or_else(|| foreign("a lease of a node that has no name"))?,
                record: self.record_of(name).await?.into(),
                alive: alive == "1",
            });
        }
        Ok(leases)
    }

    /// One at a time: a record may be large, and the server serves others in between.
    async fn record_of(&self, name: &str) -> Result<Vec<u8>, EngineError> {
        let mut get = redis::cmd("GET");
        get.arg(self.keys.record(name));
        let within = self.options.timeouts.answer;
        let record = self.send(Path::Control, &get, within).await?;
        if record == Value::Nil {
            return Ok(Vec::new());
        }
        let Value::BulkString(record) = record else {
            return Err(foreign("a record that is no text"));
        };
        Ok(record)
    }

    pub(super) async fn claim_node(
        &self,
        dead: Sender,
        by: Sender,
    ) -> Result<Claimed, EngineError> {
        let name = holder(dead);
        let mut run = Run::new(&script::CLAIM);
        run.key(self.keys.leases.as_str());
        run.key(self.keys.record(&name))
            .key(self.keys.claimed(&name));
        run.arg(&name).arg(holder(by));
        run.arg(CLAIMED_TTL.as_secs() * 1000);
        let mut answer = Answer::read(self.run(Path::Control, &run).await?)?;
        match answer.kind() {
            "won" => Ok(Claimed::Won(answer.bytes()?.into())),
            "alive" => Ok(Claimed::Alive),
            "gone" => Ok(Claimed::Gone),
            _ => Err(answer.unknown()),
        }
    }
}
