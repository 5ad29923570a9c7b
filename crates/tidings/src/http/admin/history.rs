//! The browser of the history, newest first, and the purge of a topic.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, invalid};
use crate::http::problem::Problem;
use tidings_core::position::Position;
use tidings_core::target::Target;
use tidings_core::topic::Topic;
use tidings_core::update::{Update, Visibility};
use tidings_history::{PAGE_POSITIONS, ReadError, Resolved};
use tidings_hub::refusal::Refusal;
use tidings_hub::steering::{Done, Verb};
use tokio::sync::oneshot;

/// Updates on a page, unless it is asked for another number.
const PAGE: usize = 20;
/// Updates on a page at most.
const PAGE_MAX: usize = 200;
/// Pages of the history that one request reads. The next request goes on.
const READS_MAX: usize = 16;
/// Bytes of an update's data that are shown.
const DATA_BYTES_MAX: usize = 4096;
/// Bytes of data on a page. It ends with the update that reaches them.
const PAGE_BYTES_MAX: usize = 256 * 1024;

/// Returns updates, newest first.
pub(super) async fn browse(asked: &Asked<'_>) -> Result<Value, Problem> {
    let limit = asked.query.limit(PAGE, PAGE_MAX)?;
    let topic = asked.query.text("topic");
    let bounds = asked.site.history().bounds();
    let id = asked.query.text("id");
    let at: Option<u64> = asked.query.value("position", "a whole number")?;
    let before: Option<u64> = asked.query.value("before", "a whole number")?;
    let only = match (id, at) {
        (Some(id), _) => Some(position_of(asked, id).await?),
        (None, at) => at.map(Position::new),
    };
    let (mut end, lowest) = match only {
        Some(position) => (position, position),
        None => {
            let before = before.unwrap_or(u64::MAX).saturating_sub(1);
            (bounds.last.min(Position::new(before)), bounds.oldest)
        }
    };
    let mut found: Vec<Arc<Update>> = Vec::new();
    let mut bytes = 0;
    let full = |found: &Vec<Arc<Update>>, bytes| found.len() >= limit || bytes >= PAGE_BYTES_MAX;
    for _ in 0..READS_MAX {
        if end < lowest || end == Position::ZERO || full(&found, bytes) {
            break;
        }
        let (begin, updates) = read_up_to(asked, end, lowest).await?;
        end = begin;
        for update in updates.into_iter().rev() {
            if full(&found, bytes) {
                end = update.position;
                break;
            }
            let of_topic = |topic: &str| update.topics.iter().any(|one| one.as_str() == topic);
            if topic.is_none_or(of_topic) {
                bytes += update.data.len().min(DATA_BYTES_MAX);
                found.push(update);
            }
        }
    }
    let more = end >= lowest && end > Position::ZERO;
    let updates: Vec<Value> = found.iter().map(|update| shown(update)).collect();
    Ok(json!({
        "updates": updates,
        "next": more.then(|| end.get().saturating_add(1)),
        "oldest_position": bounds.oldest.get(),
        "last_position": bounds.last.get(),
    }))
}

/// Reads a stretch that ends with `end` and begins with `lowest` at the earliest. Returns the position before
/// it, and its updates, oldest first.
async fn read_up_to(
    asked: &Asked<'_>,
    end: Position,
    lowest: Position,
) -> Result<(Position, Vec<Arc<Update>>), Problem> {
    // Where the page of the history begins, so that subscribers and operators read the same pages.
    let index = end.get().saturating_sub(1) / PAGE_POSITIONS;
    let first = Position::new(index * PAGE_POSITIONS + 1).max(lowest);
    let before = Position::new(first.get().saturating_sub(1));
    let mut updates = Vec::new();
    let mut after = before;
    while after < end {
        let page = match asked.site.page_after(after).await {
            Ok(page) => page,
            // Retention was faster: what is left comes after it.
            Err(ReadError::Trimmed { oldest }) if oldest <= end && oldest > after.next() => {
                after = Position::new(oldest.get().saturating_sub(1));
                continue;
            }
            Err(ReadError::Trimmed { .. }) => break,
            Err(error) => {
                let detail = format!("the history cannot be read now: {error}");
                let title = "History not readable";
                return Err(Refusal::unavailable("history-unreadable", title, detail).into());
            }
        };
        let fresh = page.after(after).iter();
        updates.extend(fresh.filter(|update| update.position <= end).cloned());
        if page.next <= after {
            break;
        }
        after = page.next;
    }
    Ok((before, updates))
}

/// Returns the position of an update by its id.
async fn position_of(asked: &Asked<'_>, id: &str) -> Result<Position, Problem> {
    let (reply, resolved) = oneshot::channel();
    let reply = Box::new(move |result| drop(reply.send(result)));
    asked.site.history().resolve(Arc::from(id), |_| None, reply);
    match resolved.await {
        Ok(Ok(Resolved::After(position))) => Ok(position),
        Ok(Ok(Resolved::Unknown { .. })) => {
            let detail = format!("the history has no update with the id {id:?}");
            Err(Refusal::not_found("update-unknown", "Not found", detail).into())
        }
        Ok(Err(_)) | Err(_) => Err(Refusal::history_unreadable().into()),
    }
}

fn shown(update: &Update) -> Value {
    let topics: Vec<&str> = update.topics.iter().map(Topic::as_str).collect();
    let targets: Option<Vec<&str>> = match &update.visibility {
        Visibility::Targeted(targets) => Some(targets.iter().map(Target::as_str).collect()),
        Visibility::Public | Visibility::Private | Visibility::Hubs | Visibility::Withdrawn => None,
    };
    let data = beginning(&update.data);
    json!({
        "position": update.position.get(),
        "time_ms": update.published_ms,
        "id": update.id.as_str(),
        "topics": topics,
        "type": update.event_type.as_ref().map(|name| name.as_str()),
        "retry": update.retry_ms,
        "private": !update.visibility.is_public(),
        "targets": targets,
        "presence": update.presence.is_some(),
        "withdrawn": update.visibility == Visibility::Withdrawn,
        "data": data,
        "data_bytes": update.data.len(),
        "truncated": data.len() < update.data.len(),
    })
}

/// Returns at most [`DATA_BYTES_MAX`] bytes, cut between two characters.
fn beginning(data: &str) -> &str {
    data.get(..data.floor_char_boundary(DATA_BYTES_MAX))
        .unwrap_or(data)
}

/// Which topic.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Purge {
    topic: String,
}

/// Withdraws everything that the history has of a topic.
pub(super) async fn purge(asked: &Asked<'_>) -> Result<Value, Problem> {
    let Purge { topic } = asked.command()?;
    let topic = Topic::parse(&topic)
        .map_err(|error| invalid("topic-invalid", format!("topic {topic:?}: {error}")))?;
    if asked.site.hub().reserves(&topic) {
        let detail = format!(
            "topic {topic:?} is the hub's own: what it publishes there has its own retention"
        );
        return Err(invalid("topic-invalid", detail));
    }
    let purge = Verb::Purge {
        topic: topic.clone(),
        through: None,
    };
    let (done, scope) = asked.desk.steer(purge).await?;
    let purged = match done {
        Done::Purged(purged) => purged,
        Done::Disconnected(_) | Done::Revoked(_) | Done::Reinstated(_) => 0,
    };
    tracing::info!(peer = %asked.info.peer, %topic, purged, "an operator purged a topic");
    Ok(json!({"purged": purged, "scope": scope.name()}))
}
