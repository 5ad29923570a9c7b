//! Leases, by the server's own clock.

use std::sync::Arc;
use std::time::Duration;

use tidings_cluster::engine::{
    BootId, Claimed, EngineError, Lease, LeaseName, Leased, NodeId, NodeLease, Note, Path, Sender,
};
use tidings_cluster::safety::Holders;
use tokio_postgres::types::Type;

use super::Postgresql;
use super::line::{count, get, one, unknown};
use crate::error::foreign;

/// How long it is known that a node was claimed, so that one that was paused learns of it.
const CLAIMED_TTL: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl Postgresql {
    pub(super) async fn take_lease(&self, lease: Lease) -> Result<Leased, EngineError> {
        let me = name(lease.holder);
        let (held_by, note) = match &lease.name {
            LeaseName::Node => (self.renew(&me, &lease).await?, None),
            LeaseName::Named(name) => self.hold(&me, name, &lease).await?,
        };
        if held_by == me {
            return Ok(Leased::Held(note));
        }
        Ok(Leased::HeldBy(sender(&held_by)?, note))
    }

    /// Returns who has the node: itself, or who claimed it.
    async fn renew(&self, me: &str, lease: &Lease) -> Result<String, EngineError> {
        let parameters = [
            (&me as _, Type::TEXT),
            (&count(lease.ttl_ms) as _, Type::INT8),
            (&lease.record.as_deref() as _, Type::BYTEA),
        ];
        let call = "renew($1, $2, $3)";
        let rows = self.request(Path::Control, call, &parameters).await?;
        let claimed: Option<String> = get(one(&rows)?, "by_holder")?;
        Ok(claimed.unwrap_or_else(|| me.to_owned()))
    }

    /// Returns who holds the name, and what its holders left.
    async fn hold(
        &self,
        me: &str,
        name: &str,
        lease: &Lease,
    ) -> Result<(String, Note), EngineError> {
        let parameters = [
            (&name as _, Type::TEXT),
            (&me as _, Type::TEXT),
            (&count(lease.ttl_ms) as _, Type::INT8),
            (&lease.record.as_deref() as _, Type::BYTEA),
        ];
        let call = "hold($1, $2, $3, $4)";
        let rows = self.request(Path::Control, call, &parameters).await?;
        let row = one(&rows)?;
        let note: Option<&[u8]> = get(row, "note")?;
        Ok((get(row, "holder")?, note.map(Arc::from)))
    }

    /// Returns who holds named leases now.
    pub(crate) async fn holders_of(&self, names: &[Arc<str>]) -> Result<Holders, EngineError> {
        let texts: Vec<&str> = names.iter().map(|name| &**name).collect();
        let parameters = [(&texts as _, Type::TEXT_ARRAY)];
        let rows = self
            .request(Path::Control, "holders($1)", &parameters)
            .await?;
        let mut holders: Holders = names.iter().map(|name| (Arc::clone(name), None)).collect();
        for row in &rows {
            let name: &str = get(row, "name")?;
            let held = holders.iter_mut().find(|(held, _)| **held == *name);
            if let Some((_, holder)) = held {
                *holder = Some(sender(get(row, "holder")?)?);
            }
        }
        Ok(holders)
    }

    pub(super) async fn node_leases(&self) -> Result<Vec<NodeLease>, EngineError> {
        let rows = self.request(Path::Control, "leases()", &[]).await?;
        let mut leases = Vec::with_capacity(rows.len());
        for row in &rows {
            let name: &str = get(row, "holder")?;
            leases.push(NodeLease {
                holder: sender(name)?,
                record: self.record_of(name).await?,
                alive: get(row, "alive")?,
            });
        }
        Ok(leases)
    }

    /// One at a time: a record may be large.
    async fn record_of(&self, name: &str) -> Result<Arc<[u8]>, EngineError> {
        let parameters = [(&name as _, Type::TEXT)];
        let call = "record_of($1)";
        let rows = self.request(Path::Control, call, &parameters).await?;
        let record: Option<&[u8]> = get(one(&rows)?, "record_of")?;
        Ok(record.unwrap_or_default().into())
    }

    pub(super) async fn claim_node(
        &self,
        dead: Sender,
        by: Sender,
    ) -> Result<Claimed, EngineError> {
        let trace_ms = i64::try_from(CLAIMED_TTL.as_millis()).unwrap_or(i64::MAX);
        let parameters = [
            (&name(dead) as _, Type::TEXT),
            (&name(by) as _, Type::TEXT),
            (&trace_ms as _, Type::INT8),
        ];
        let call = "claim($1, $2, $3)";
        let rows = self.request(Path::Control, call, &parameters).await?;
        let row = one(&rows)?;
        match get(row, "answer")? {
            "won" => Ok(Claimed::Won(get::<&[u8]>(row, "record")?.into())),
            "alive" => Ok(Claimed::Alive),
            "gone" => Ok(Claimed::Gone),
            other => Err(unknown(other)),
        }
    }
}

/// A sender in the tables: `NODE.BOOT`.
fn name(sender: Sender) -> String {
    format!("{}.{}", sender.node, sender.boot)
}

fn sender(name: &str) -> Result<Sender, EngineError> {
    let parse = |name: &str| {
        let (node, boot) = name.split_once('.')?;
        Some(Sender {
            node: NodeId::parse(node)?,
            boot: BootId::parse(boot)?,
        })
    };
    parse(name).ok_or_else(|| foreign("a holder that cannot be read"))
}
