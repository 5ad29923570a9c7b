//! What changes the line, and what says where it ends.

use redis::Value;
use tidings_cluster::engine::{
    Again, Append, Appended, Changed, EngineError, EpochId, Init, Key, LineEnd, Path, Proposal,
    Refusal, Restore, State,
};

use super::Redis;
use crate::answer::{self, Answer};
use crate::error::{CallError, foreign, unreachable};
use crate::options::Acknowledge;
use crate::script::{self, Run};

impl Redis {
    /// Reads the line, or makes it if a secret is proposed.
    pub(crate) async fn init_on(
        &self,
        path: Path,
        proposal: Proposal,
    ) -> Result<Init, EngineError> {
        let secret = proposal.secret.map(|secret| answer::hex(&secret.secret()));
        let mut run = self.script_on_line(&script::INIT);
        run.arg(proposal.epoch.to_string());
        run.arg(secret.unwrap_or_default());
        answer::init(self.run(path, &run).await?)
    }

    /// Looks the primary up anew and asks it. Connections to another server are closed: their next
    /// calls fail, so that the hub notices.
    pub(super) async fn probe(&self) -> Result<State, EngineError> {
        let primary = self.topology.primary(&self.options).await;
        let primary = primary.map_err(unreachable)?;
        self.publish.close_others(&primary);
        self.tail.close_others(&primary);
        if self.control.is_elsewhere(&primary) {
            self.control.close();
        }
        let run = self.script_on_line(&script::STATE);
        answer::state(self.run(Path::Control, &run).await?)
    }

    pub(super) async fn append_batch(&self, append: Append) -> Result<Appended, EngineError> {
        let run = self.append_script(&append);
        let mut answer = Answer::read(self.run(Path::Publish, &run).await?)?;
        let why = match answer.kind() {
            kind @ ("ok" | "again") => {
                let again = if kind == "ok" { Again::No } else { Again::Yes };
                let last = answer.position()?;
                let places = answer.places()?;
                if places.len() != append.items.len() {
                    return Err(foreign("a remembered batch of another length"));
                }
                self.wait_for_replicas().await?;
                return Ok(Appended::Taken {
                    places,
                    last,
                    again,
                });
            }
            "none" => Refusal::None,
            "epoch" => Refusal::OtherEpoch,
            "rewound" => Refusal::Rewound,
            "forked" => Refusal::Forked,
            "behind" => Refusal::Behind,
            "repair" => Refusal::Repair,
            "full" => Refusal::Full,
            _ => return Err(answer.unknown()),
        };
        let last = answer.position()?;
        Ok(Appended::Refused { why, last })
    }

    fn append_script(&self, append: &Append) -> Run {
        let mut run = self.script_on_line(&script::APPEND);
        run.key(self.keys.marks.as_str());
        run.key(self.keys.answers(append.sender));
        let print = append.seen.print.map(|print| answer::hex(&print.bytes()));
        run.arg(append.epoch.to_string());
        run.arg(append.seen.position.get());
        run.arg(print.unwrap_or_default());
        run.arg(append.sender.boot.to_string());
        run.arg(append.batch).arg(self.options.window_bytes);
        for item in append.items.iter() {
            let ttl_ms = self.key_of(&mut run, item.key.as_ref());
            run.arg(ttl_ms).arg(answer::hex(&item.digest.bytes()));
            run.arg(answer::origin(item.origin)).arg(&*item.bytes);
        }
        run
    }

    /// Waits until enough replicas have what was written on the publish path.
    async fn wait_for_replicas(&self) -> Result<(), EngineError> {
        let Acknowledge::Replicated { replicas } = self.options.acknowledge else {
            return Ok(());
        };
        let timeouts = self.options.timeouts;
        let mut wait = redis::cmd("WAIT");
        let wait_ms = u64::try_from(timeouts.replicas.as_millis()).unwrap_or(u64::MAX);
        wait.arg(replicas).arg(wait_ms);
        let within = timeouts.replicas + timeouts.answer;
        // The batch was taken whatever becomes of the wait: each failure leaves doubt.
        match self.send(Path::Publish, &wait, within).await {
            Ok(Value::Int(have)) if have >= i64::from(replicas) => Ok(()),
            Ok(Value::Int(have)) => Err(CallError::Replicas { have, replicas }.into_engine()),
            Ok(_other) => Err(CallError::Unconfirmed { source: None }.into_engine()),
            Err(error) => Err(CallError::Unconfirmed {
                source: Some(Box::new(error)),
            }
            .into_engine()),
        }
    }

    pub(super) async fn put_back(&self, restore: Restore) -> Result<Changed, EngineError> {
        let Some(first) = restore.entries.first() else {
            return Err(foreign("a restore without entries"));
        };
        let mut run = self.script_on_line(&script::RESTORE);
        run.key(self.keys.marks.as_str());
        let expected = restore.expected_last.map(|last| last.get().to_string());
        run.arg(restore.epoch.to_string());
        run.arg(answer::hex(&restore.secret.secret()));
        run.arg(expected.unwrap_or_default());
        let print = restore
            .expected_print
            .map(|print| answer::hex(&print.bytes()));
        run.arg(print.unwrap_or_default());
        run.arg(first.entry.position.get());
        run.arg(self.options.window_bytes);
        for restored in &restore.entries {
            let entry = &restored.entry;
            let Some(print) = entry.print else {
                return Err(foreign("a restore of an entry without its print"));
            };
            let ttl_ms = self.key_of(&mut run, restored.key.as_ref());
            run.arg(ttl_ms).arg(answer::hex(&print.bytes()));
            run.arg(entry.published_ms);
            run.arg(answer::origin(entry.origin)).arg(&*entry.bytes);
        }
        self.change(&run).await
    }

    pub(super) async fn take_over_the_rest(
        &self,
        expected: LineEnd,
    ) -> Result<Changed, EngineError> {
        let mut run = self.script_on_line(&script::REPAIR);
        run.key(self.keys.marks.as_str());
        run.arg(expected.epoch.to_string()).arg(expected.last.get());
        self.change(&run).await
    }

    pub(super) async fn change_epoch(
        &self,
        expected: LineEnd,
        new: EpochId,
    ) -> Result<Changed, EngineError> {
        let mut run = self.script_on_line(&script::BUMP);
        run.arg(expected.epoch.to_string()).arg(expected.last.get());
        run.arg(new.to_string());
        self.change(&run).await
    }

    /// Runs a script that is a compare-and-set.
    async fn change(&self, run: &Run) -> Result<Changed, EngineError> {
        let mut answer = Answer::read(self.run(Path::Publish, run).await?)?;
        match answer.kind() {
            "done" => Ok(Changed::Done {
                last: answer.position()?,
            }),
            "moved" => Ok(Changed::Moved(answer.state()?)),
            "repair" => Ok(Changed::Repair {
                last: answer.position()?,
            }),
            "full" => Ok(Changed::Full),
            "hole" => Err(foreign("entries that do not follow the line's last one")),
            _ => Err(answer.unknown()),
        }
    }

    /// Names the key of an item, or the log, which means none. Returns its life in milliseconds.
    fn key_of(&self, run: &mut Run, key: Option<&(Key, u64)>) -> u64 {
        match key {
            Some((key, ttl_ms)) => {
                run.key(self.keys.taken(key));
                (*ttl_ms).max(1)
            }
            None => {
                run.key(self.keys.log.as_str());
                0
            }
        }
    }

    /// Begins the call of a script whose first keys are head and log.
    fn script_on_line(&self, script: &'static script::Script) -> Run {
        let mut run = Run::new(script);
        run.key(self.keys.head.as_str()).key(self.keys.log.as_str());
        run
    }
}
