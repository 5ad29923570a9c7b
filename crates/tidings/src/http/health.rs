//! Probes and metrics for operators: alive, ready, metrics.

use http::{Response, StatusCode};
use serde_json::json;
use tidings_cluster::Health as RelayHealth;
use tidings_history::Health;

use super::problem::Problem;
use super::{Body, respond};
use crate::certificate::Tls;
use crate::certificate::acme::Acme;
use crate::config::Config;
use crate::http::Site;
use tidings_hub::account::Kind;
use tidings_hub::metrics::Limits;

const JSON: &str = "application/json";
/// OpenMetrics 1.0, "Content-Type".
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers that the process is alive.
pub(crate) fn live() -> Response<Body> {
    respond(StatusCode::OK, JSON, "{\"status\":\"ok\"}")
}

/// Answers whether the hub accepts updates and subscribers. 503 while the history refuses updates or cannot be
/// read, the relay cannot order updates, a key set was never read, or the hub is being stopped.
pub(crate) fn ready(site: &Site) -> Response<Body> {
    let Some(reason) = unready(site) else {
        return usable(site);
    };
    let body = json!({"status": "unready", "reason": reason});
    respond(StatusCode::SERVICE_UNAVAILABLE, JSON, body.to_string())
}

/// Returns why the hub is not ready, if it is not.
pub(crate) fn unready(site: &Site) -> Option<String> {
    match site.history().health() {
        Health::Ok if site.is_stopping() => Some("the hub is being stopped".to_owned()),
        Health::Ok => out_of_order(site).or_else(|| unread_key_set(site)),
        Health::Unreadable { reason } => Some(format!("the history cannot be read: {reason}")),
        Health::Refusing { reason } | Health::Damaged { reason } | Health::Poisoned { reason } => {
            Some(format!("the history takes no updates: {reason}"))
        }
    }
}

/// Answers that the hub is ready, with what an operator should know nevertheless.
///
/// A hub without a certificate is ready: an orchestrator that kept requests away from it would keep the
/// authority away too, whose check of the names needs them.
fn usable(site: &Site) -> Response<Body> {
    let complaint = site.tls().and_then(Tls::acme).and_then(Acme::complaint);
    let body = match complaint {
        None => json!({"status": "ok"}),
        Some(complaint) => json!({"status": "ok", "warnings": [complaint]}),
    };
    respond(StatusCode::OK, JSON, body.to_string())
}

/// Proves to a certificate authority that the hub answers for a name; RFC 8555, 8.3.
///
/// # Errors
///
/// 404: no order with this token is under way.
pub(crate) fn proof(site: &Site, token: &str) -> Result<Response<Body>, Problem> {
    let acme = site.tls().and_then(Tls::acme);
    let document = acme.and_then(|acme| acme.document(token));
    let document = document.ok_or_else(Problem::not_found)?;
    Ok(respond(
        StatusCode::OK,
        "application/octet-stream",
        document,
    ))
}

/// Returns why the relay cannot order updates, if it cannot.
fn out_of_order(site: &Site) -> Option<String> {
    match site.relay().health() {
        RelayHealth::Ok => None,
        RelayHealth::Unavailable { reason } => {
            Some(format!("the relay cannot order updates: {reason}"))
        }
    }
}

/// Returns which key set was never read, if there is one. All tokens of its issuer are refused.
fn unread_key_set(site: &Site) -> Option<String> {
    let sets = site.authority().key_sets();
    sets.iter().find_map(|set| set.unread())
}

/// Copies the limits that are in force.
fn limits(config: &Config, metrics: &Limits) {
    let (limits, retention) = (&config.limits, &config.history.retention);
    let set = |key, value: usize| metrics.set(key, value as u64);
    set("limits.connections_max", limits.connections_max);
    let per_address = limits.connections_per_address_max;
    set("limits.connections_per_address_max", per_address);
    set("limits.peer_memory_bytes_max", limits.peer_memory_bytes_max);
    let patterns = limits.unindexed_patterns_max;
    set("limits.unindexed_patterns_max", patterns);
    for (key, max) in [
        (
            "limits.publishes_per_second_per_subject_max",
            limits.publishes_per_second_per_subject_max,
        ),
        (
            "limits.publishes_per_second_per_address_max",
            limits.publishes_per_second_per_address_max,
        ),
        (
            "limits.published_bytes_per_second_per_subject_max",
            limits.published_bytes_per_second_per_subject_max,
        ),
        (
            "limits.published_bytes_per_second_per_address_max",
            limits.published_bytes_per_second_per_address_max,
        ),
        (
            "limits.subscribes_per_second_per_subject_max",
            limits.subscribes_per_second_per_subject_max,
        ),
        (
            "limits.subscribes_per_second_per_address_max",
            limits.subscribes_per_second_per_address_max,
        ),
    ] {
        metrics.set(key, max.map_or(0, u64::from));
    }
    set("sockjs.sessions_max", config.sockjs.sessions_max);
    let presence = config.presence.as_ref();
    let subscriptions = presence.map_or(0, |presence| presence.subscriptions_max);
    set("presence.subscriptions_max", subscriptions);
    let zeromq = config.zeromq.as_ref();
    let peers = zeromq.map_or(0, |zeromq| zeromq.limits.peers_max);
    set("zeromq.peers_max", peers);
    metrics.set("history.retain_bytes", retention.bytes_max.unwrap_or(0));
    metrics.set("history.retain_updates", retention.updates_max.unwrap_or(0));
}

/// Returns the metrics.
pub(crate) fn metrics(site: &Site) -> Response<Body> {
    let metrics = site.metrics();
    let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let history = site.history();
    let bounds = history.bounds();
    metrics
        .connections
        .set(gauge(site.account().connections() as u64));
    metrics
        .sockjs
        .waiting_bytes
        .set(gauge(site.account().held_of(Kind::SockJs) as u64));
    site.account().report(&metrics.peer_memory);
    metrics
        .history_ready
        .set(i64::from(history.health() == Health::Ok));
    metrics.relay.observe(site.relay().figures());
    metrics.history_oldest.set(gauge(bounds.oldest.get()));
    metrics.history_last.set(gauge(bounds.last.get()));
    metrics.observe_history(&history.stats());
    limits(site.config(), &metrics.limits);
    respond(StatusCode::OK, OPEN_METRICS, metrics.render())
}
