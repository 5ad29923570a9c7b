//! An update as a row of the table `updates`, and back.

use rusqlite::types::{FromSqlError, ValueRef};
use rusqlite::{Row, Statement, params};
use tidings_core::{
    EventId, EventType, Holder, IdSource, Position, Presence, Print, Target, Targets, Topic,
    TopicError, Topics, TraceContext, Update, Visibility,
};

use crate::storage::{Announced, Mark, StorageError};

use super::failure::read_failure;

/// Inserts a row. The order of its parameters is that of [`insert`].
pub(super) const INSERT: &str = "INSERT INTO updates \
    (position, published_ms, id, own_id, topics, type, retry_ms, private, data, bytes_through, \
    presence, presence_through, print, trace) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

/// Selects rows for [`read`]. Whether an id is the first of its kind is computed here and not stored, since
/// retention may remove the first row.
pub(super) const SELECT: &str = "SELECT position, published_ms, id, own_id, topics, type, \
    retry_ms, private, data, presence, print, trace FROM updates \
    WHERE position >= ?1 AND position <= ?2 ORDER BY position";

/// The same for a file that no hub of this version has opened yet.
pub(super) const SELECT_WITHOUT_TRACES: &str = "SELECT position, published_ms, id, own_id, topics, type, \
    retry_ms, private, data, presence, print, NULL FROM updates \
    WHERE position >= ?1 AND position <= ?2 ORDER BY position";

pub(super) fn insert(
    statement: &mut Statement<'_>,
    update: &Update,
    mark: Mark,
) -> rusqlite::Result<()> {
    let (readers, names) = names(update);
    let position = update.position.get();
    statement.execute(params![
        position.cast_signed(),
        mark.published_ms.cast_signed(),
        update.id.as_str(),
        update.id_source == IdSource::Publisher,
        names,
        update.event_type.as_ref().map(EventType::as_str),
        update.retry_ms.map(u64::cast_signed),
        readers,
        &*update.data,
        mark.bytes_through.cast_signed(),
        update
            .presence
            .map(|presence| matches!(presence, Presence::Begins(_))),
        position.saturating_sub(mark.updates_through).cast_signed(),
        update.print.map(Print::bytes),
        update.trace.map(TraceContext::to_bytes),
    ])?;
    Ok(())
}

/// Reads a row of [`SELECT`].
pub(super) fn read(row: &Row<'_>) -> Result<Update, StorageError> {
    let id = EventId::parse_stored(text(row, 2)?).map_err(damaged)?;
    let (topics, visibility) = topics_and_visibility(text(row, 4)?, number(row, 7)?)?;
    Ok(Update {
        // Bytes that a later version wrote are none.
        trace: row
            .get_ref(11)
            .map_err(read_failure)?
            .as_blob_or_null()
            .map_err(damaged)?
            .and_then(TraceContext::of_bytes),
        position: Position::new(number(row, 0)?),
        print: row
            .get::<_, Option<[u8; 16]>>(10)
            .map_err(read_failure)?
            .map(Print::new),
        id,
        id_source: if flag(row, 3)? {
            IdSource::Publisher
        } else {
            IdSource::Hub
        },
        published_ms: number(row, 1)?,
        topics,
        data: text(row, 8)?.into(),
        visibility,
        event_type: match row.get_ref(5).map_err(read_failure)? {
            ValueRef::Null => None,
            ValueRef::Text(_) => Some(event_type(text(row, 5)?)?),
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => {
                return Err(damaged(FromSqlError::InvalidType));
            }
        },
        retry_ms: row
            .get::<_, Option<i64>>(6)
            .map_err(read_failure)?
            .map(i64::cast_unsigned),
        presence: match row.get::<_, Option<bool>>(9).map_err(read_failure)? {
            None => None,
            Some(true) => Some(Presence::Begins(None)),
            Some(false) => Some(Presence::Ends),
        },
        note: None,
    })
}

/// Returns the columns `private` and `topics`: the topics joined by line feeds and, if there are
/// targets, those after an empty line. No topic is empty.
fn names(update: &Update) -> (i64, String) {
    let topics = joined(&update.topics);
    match &update.visibility {
        Visibility::Public => (PUBLIC, topics),
        Visibility::Private => (PRIVATE, topics),
        Visibility::Withdrawn => (WITHDRAWN, topics),
        Visibility::Targeted(targets) => {
            let targets: Vec<&str> = targets.iter().map(Target::as_str).collect();
            (TARGETED, format!("{topics}\n\n{}", targets.join("\n")))
        }
        Visibility::Hubs => (HUBS, topics),
    }
}

/// Parses the output of [`names`].
fn topics_and_visibility(names: &str, readers: u64) -> Result<(Topics, Visibility), StorageError> {
    let (topics, visibility) = match readers.cast_signed() {
        PUBLIC => (names, Visibility::Public),
        HUBS => (names, Visibility::Hubs),
        WITHDRAWN => (names, Visibility::Withdrawn),
        TARGETED => {
            let (topics, targets) = names.split_once("\n\n").unwrap_or((names, ""));
            let targets: Result<Vec<Target>, _> = targets.split('\n').map(Target::parse).collect();
            let targets = Targets::new(targets.map_err(damaged)?).map_err(damaged)?;
            // A row without targets lets nobody read.
            (
                topics,
                targets.map_or(Visibility::Private, Visibility::Targeted),
            )
        }
        _ => (names, Visibility::Private),
    };
    Ok((self::topics(topics)?, visibility))
}

/// Values of the column `private`.
const PUBLIC: i64 = 0;
const PRIVATE: i64 = 1;
const TARGETED: i64 = 2;
pub(super) const HUBS: i64 = 3;
pub(super) const WITHDRAWN: i64 = 4;

/// Reads a row of the table `subscriptions`.
pub(super) fn read_noted(row: &Row<'_>) -> Result<Announced, StorageError> {
    Ok(Announced {
        topics: topics(text(row, 0)?)?,
        data: text(row, 1)?.into(),
        holder: row
            .get::<_, Option<[u8; 16]>>(2)
            .map_err(read_failure)?
            .map(Holder::new),
        note: row
            .get::<_, Option<Vec<u8>>>(3)
            .map_err(read_failure)?
            .map(Into::into),
        position: row
            .get::<_, Option<i64>>(4)
            .map_err(read_failure)?
            .map(|position| Position::new(position.cast_unsigned())),
    })
}

/// Reads a row of position and topics: a presence event.
pub(super) fn read_place(row: &Row<'_>) -> Result<(Position, Topics), StorageError> {
    Ok((Position::new(number(row, 0)?), topics(text(row, 1)?)?))
}

/// Returns the topics as one text, which [`topics`] parses.
pub(super) fn joined(topics: &Topics) -> String {
    let topics: Vec<&str> = topics.iter().map(Topic::as_str).collect();
    topics.join("\n")
}

fn topics(joined: &str) -> Result<Topics, StorageError> {
    let read = |text| match Topic::parse(text) {
        // The hub's own topics may be longer than those of publishers.
        Err(TopicError::TooLong { .. }) => Ok(Topic::of_hub(text)),
        read => read,
    };
    let topics: Result<Vec<Topic>, _> = joined.split('\n').map(read).collect();
    Topics::new(topics.map_err(damaged)?).map_err(damaged)
}

fn event_type(name: &str) -> Result<EventType, StorageError> {
    // Only the hub may use this name. Its own updates are stored like any other.
    let reserved = EventType::mercure();
    if name == reserved.as_str() {
        return Ok(reserved);
    }
    EventType::parse(name).map_err(damaged)
}

fn text<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row str, StorageError> {
    let value = row.get_ref(column).map_err(read_failure)?;
    value.as_str().map_err(|error: FromSqlError| damaged(error))
}

fn number(row: &Row<'_>, column: usize) -> Result<u64, StorageError> {
    row.get::<_, i64>(column)
        .map(i64::cast_unsigned)
        .map_err(read_failure)
}

fn flag(row: &Row<'_>, column: usize) -> Result<bool, StorageError> {
    row.get(column).map_err(read_failure)
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> StorageError {
    StorageError::Damaged(Box::new(error))
}
