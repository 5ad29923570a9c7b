//! The state of the hub, its live rates, its topics by rate; reload and drain.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use super::Asked;
use super::desk::Sample;
use crate::http::health;
use crate::http::problem::Problem;
use tidings_cluster::Health;
use tidings_history::Kind;
use tidings_hub::clock::{unix_ms, unix_secs};
use tidings_hub::metrics::Totals;

/// Topics in one answer.
const TOPICS_MAX: usize = 100;

/// Returns what the hub is and how it does.
pub(super) fn state(asked: &Asked<'_>) -> Value {
    let (site, config) = (asked.site, asked.site.config());
    let unready = health::unready(site);
    let totals = site.metrics().totals();
    let sessions = site.metrics().sessions_by_transport();
    let sessions: serde_json::Map<String, Value> = sessions
        .map(|(transport, open)| (transport.name().to_owned(), open.into()))
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "hub": config.hub.as_str(),
        "time_ms": unix_ms(),
        "uptime_secs": site.age().as_secs(),
        "ready": unready.is_none(),
        "reason": unready,
        "stopping": site.is_stopping(),
        "shards": config.server.shards,
        "connections": site.account().connections(),
        "connections_max": config.limits.connections_max,
        "subscribers": totals.subscribers,
        "subscribers_by_transport": sessions,
        "totals": figures(&totals),
        "history": history(asked),
        "relay": relay(asked),
        "peer_memory_bytes": site.account().held(),
        "peer_memory_bytes_max": config.limits.peer_memory_bytes_max,
        "presence": config.presence.is_some(),
        "revoked_tokens": site.authority().revocations().list(unix_secs()).len(),
        "drain_secs": config.server.drain.as_secs(),
    })
}

/// Returns how the hub does in its cluster, if it is in one.
fn relay(asked: &Asked<'_>) -> Value {
    let (relay, config) = (asked.site.relay(), asked.site.config());
    let reason = match relay.health() {
        Health::Ok => None,
        Health::Unavailable { reason } => Some(reason),
    };
    let figures = relay.figures();
    let node = config.cluster.as_ref().map(|cluster| cluster.node.as_str());
    let cluster = figures.cluster.map(|cluster| {
        let standing = cluster.standing.name();
        json!({"node": node, "standing": standing, "behind": cluster.behind})
    });
    json!({
        "ready": reason.is_none(),
        "reason": reason,
        "queued_updates": figures.waiting,
        "cluster": cluster,
    })
}

fn history(asked: &Asked<'_>) -> Value {
    let history = asked.site.history();
    let (bounds, stats) = (history.bounds(), history.stats());
    let config = asked.site.config();
    json!({
        "kind": match &config.history.kind {
            Kind::File { .. } => "file",
            Kind::Memory => "memory",
            Kind::None => "none",
        },
        "oldest_position": bounds.oldest.get(),
        "last_position": bounds.last.get(),
        "stored_updates": stats.stored_updates,
        "stored_bytes": stats.stored_bytes,
        "removed": stats.trimmed,
        "purged": stats.purged,
        "last_ms": stats.last_ms,
    })
}

fn figures(totals: &Totals) -> Value {
    json!({
        "published": totals.published,
        "delivered": totals.delivered,
        "delivered_bytes": totals.delivered_bytes,
        "replayed": totals.replayed,
        "lags": totals.lags,
        "gaps": totals.gaps,
        "refused": totals.refused,
    })
}

/// Returns the rates of the last minutes: for each pair of neighbouring samples what happened between them.
pub(super) async fn rates(asked: &Asked<'_>) -> Result<Value, Problem> {
    let samples = asked.desk.rates().await?;
    let seconds: Vec<Value> = samples
        .windows(2)
        .filter_map(|pair| match pair {
            [before, after] => Some(second(before, after)),
            _ => None,
        })
        .collect();
    Ok(json!({"samples": seconds}))
}

fn second(before: &Sample, after: &Sample) -> Value {
    let millis = after.time_ms.saturating_sub(before.time_ms).max(1);
    let per_second = |from: u64, to: u64| to.saturating_sub(from).saturating_mul(1000) / millis;
    let (from, to) = (&before.totals, &after.totals);
    json!({
        "time_ms": after.time_ms,
        "published": per_second(from.published, to.published),
        "delivered": per_second(from.delivered, to.delivered),
        "delivered_bytes": per_second(from.delivered_bytes, to.delivered_bytes),
        "replayed": per_second(from.replayed, to.replayed),
        "refused": per_second(from.refused, to.refused),
        "lags": per_second(from.lags, to.lags),
        "subscribers": to.subscribers,
        "connections": after.connections,
    })
}

/// Returns the topics that are published most.
pub(super) async fn topics(asked: &Asked<'_>) -> Result<Value, Problem> {
    let limit = asked.query.limit(TOPICS_MAX, TOPICS_MAX)?;
    let rates = asked.site.shared().router.topics().await;
    let rates = rates.unwrap_or_default();
    let over = rates.over.max(Duration::from_secs(1)).as_secs_f64();
    let topics = rates.topics.iter().take(limit).map(|rate| {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = rate.updates as f64 / over;
        json!({
            "topic": rate.topic,
            "per_second": (per_second * 10.0).round() / 10.0,
            "updates": rate.updates,
            "error": rate.error,
            "bytes": rate.bytes,
        })
    });
    let topics: Vec<Value> = topics.collect();
    Ok(json!({"over_secs": rates.over.as_secs_f64(), "topics": topics}))
}

/// Reads the configuration again, as `tidings reload` does, and returns the difference.
pub(super) async fn reload(asked: &Asked<'_>) -> Result<Value, Problem> {
    tracing::info!(peer = %asked.info.peer, "an operator has the configuration read again");
    asked.desk.reload().await?.map_err(|errors| {
        let errors = errors.join("; ");
        let detail = format!("the configuration is not usable, so nothing was changed: {errors}");
        let (status, title) = (StatusCode::UNPROCESSABLE_ENTITY, "Configuration not usable");
        Problem::new(status, "config-invalid", title, detail)
    })
}

/// Ends the hub, as SIGTERM does.
pub(super) fn drain(asked: &Asked<'_>) -> Result<Value, Problem> {
    asked.desk.drain()?;
    tracing::info!(peer = %asked.info.peer, "an operator stops the hub");
    let within = asked.site.config().server.drain;
    Ok(json!({"draining": true, "within_secs": within.as_secs_f64()}))
}
