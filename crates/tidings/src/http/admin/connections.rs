//! The list of connections, and their end.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, identity, invalid};
use crate::http::problem::Problem;
use tidings_core::dialect::Dialect;
use tidings_hub::metrics::Transport;
use tidings_hub::refusal::Refusal;
use tidings_hub::shard::looking::{Described, Filter};
use tidings_hub::steering::{Connections, Done, Place, Verb, Who};

/// Connections on a page, unless it is asked for another number.
const PAGE: usize = 50;
/// Connections on a page at most.
const PAGE_MAX: usize = 500;

/// Returns a page of the connections that the parameters select.
pub(super) async fn list(asked: &Asked<'_>) -> Result<Value, Problem> {
    let filter = Arc::new(filter(asked)?);
    let limit = asked.query.limit(PAGE, PAGE_MAX)?;
    let place = asked.query.text("after").map(place).transpose()?;
    let shared = asked.site.shared();
    let page = shared.connections(&filter, place.unwrap_or_default(), limit);
    let Connections { found, next } = page.await.unwrap_or_default();
    let connections: Vec<Value> = found.iter().map(connection).collect();
    let next = next.map(|Place { shard, slot }| format!("{shard}-{slot}"));
    Ok(json!({
        "connections": connections,
        "next": next,
        "total": asked.site.metrics().totals().subscribers,
    }))
}

fn filter(asked: &Asked<'_>) -> Result<Filter, Problem> {
    let query = &asked.query;
    let transport = query.text("transport").map(|name| {
        let mut transports = Transport::ALL.into_iter();
        let found = transports.find(|one| one.name() == name);
        let wrong = || format!("transport is {name:?}; write sse, websocket, sockjs or long_poll");
        found.ok_or_else(|| invalid("parameter-invalid", wrong()))
    });
    let dialect = query.text("dialect").map(|name| {
        let mut dialects = [Dialect::V1, Dialect::V0, Dialect::V2019].into_iter();
        let found = dialects.find(|one| one.name() == name);
        let wrong = || format!("dialect is {name:?}; write 1.0, 0.x or 2019");
        found.ok_or_else(|| invalid("parameter-invalid", wrong()))
    });
    Ok(Filter {
        id: query.value("id", "the id of a connection, such as 0-12-345")?,
        subject: query.text("subject").map(str::to_owned),
        token_id: query.text("token_id").map(Arc::from),
        topic: query.text("topic").map(str::to_owned),
        transport: transport.transpose()?,
        dialect: dialect.transpose()?,
        address: query.value("address", "an IP address")?,
        behind: query.value("behind", "a number of updates")?,
    })
}

fn place(text: &str) -> Result<Place, Problem> {
    let parsed = text.split_once('-').and_then(|(shard, slot)| {
        Some(Place {
            shard: shard.parse().ok()?,
            slot: slot.parse().ok()?,
        })
    });
    let detail = || format!("after is {text:?}; write the `next` of the page before");
    parsed.ok_or_else(|| invalid("parameter-invalid", detail()))
}

/// Returns a connection as the API shows it.
pub(super) fn connection(described: &Described) -> Value {
    let matchers: Vec<Value> = described
        .matchers
        .iter()
        .map(|matcher| json!({"type": matcher.kind().name(), "pattern": matcher.pattern()}))
        .collect();
    json!({
        "id": described.id.to_string(),
        "address": described.address.to_string(),
        "transport": described.transport.name(),
        "dialect": described.dialect.name(),
        "token": identity(described.identity.as_ref()),
        "connected_secs": described.age.as_secs(),
        "phase": described.phase,
        "behind": described.behind,
        "matchers": matchers,
        "matchers_count": described.matchers_count,
    })
}

/// Whose connections end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disconnect {
    connection: Option<String>,
    subject: Option<String>,
}

/// Ends a connection, or all of a subject.
pub(super) async fn disconnect(asked: &Asked<'_>) -> Result<Value, Problem> {
    let command: Disconnect = asked.command()?;
    let who = match (&command.connection, &command.subject) {
        (Some(text), None) => {
            let wrong = |error| invalid("body-invalid", format!("connection {text:?}: {error}"));
            Who::Connection(text.parse().map_err(wrong)?)
        }
        (None, Some(subject)) => Who::Subject(subject.clone()),
        (Some(_), Some(_)) | (None, None) => {
            let detail = "name either a connection or a subject";
            return Err(invalid("body-invalid", detail));
        }
    };
    let one = matches!(who, Who::Connection(_));
    let (done, scope) = asked.desk.steer(Verb::Disconnect(who)).await?;
    let Done::Disconnected(ended) = done else {
        return Ok(Value::Null);
    };
    if one && ended == 0 {
        let detail = "there is no such connection, or it has ended already";
        return Err(Refusal::not_found("connection-unknown", "Not found", detail).into());
    }
    tracing::info!(
        peer = %asked.info.peer,
        connection = command.connection,
        subject = command.subject,
        ended,
        "an operator disconnected subscribers"
    );
    Ok(json!({"disconnected": ended, "scope": scope.name()}))
}
