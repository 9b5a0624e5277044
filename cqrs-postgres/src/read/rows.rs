//! Rows of the log as events.

use std::collections::BTreeSet;
use std::sync::Arc;

use cqrs_core::{
    Metadata, Recorded, StreamName,
    event::{EventName, Payload, RawEvent, RecordedEvent},
    store::{ReadError, StoreError},
};
use sqlx::postgres::PgRow;
use sqlx::{Row, ValueRef};

use crate::Pg;
use crate::database::Database;
use crate::database::arguments::arguments;
use crate::database::error::{corrupt, store_error};
use crate::database::names::stream_name;

/// Decodes rows.
pub(super) async fn events(
    rows: &[PgRow],
    database: &Database,
) -> Result<Vec<RecordedEvent>, StoreError> {
    let named = names_of(rows, database).await?;
    let mut last: Option<(&[u8], Arc<Metadata>)> = None;
    let mut events = Vec::with_capacity(rows.len());
    for (row, (stream, name)) in rows.iter().zip(named) {
        events.push(event(row, stream, name, &mut last).map_err(unreadable)?);
    }
    Ok(events)
}

fn event<'r>(
    row: &'r PgRow,
    stream: StreamName,
    name: EventName,
    last: &mut Option<(&'r [u8], Arc<Metadata>)>,
) -> Result<RecordedEvent, sqlx::Error> {
    let schema_version = u32::try_from(row.try_get::<i32, _>(4)?).unwrap_or(0);
    let data = bytes(row, 7)?.unwrap_or_default();
    let payload = Payload::from_stored(bytes::Bytes::copy_from_slice(data));
    let (Pg(position), Pg(version)) = (row.try_get(0)?, row.try_get(2)?);
    let (Pg(id), Pg(recorded_at)) = (row.try_get(5)?, row.try_get(6)?);
    Ok(Recorded::new(
        stream,
        version,
        position,
        id,
        recorded_at,
        metadata(bytes(row, 8)?, last)?,
        RawEvent::new(name, schema_version, payload),
    ))
}

/// The text of a `json` column, which is transferred unchanged.
fn bytes(row: &PgRow, column: usize) -> Result<Option<&[u8]>, sqlx::Error> {
    let value = row.try_get_raw(column)?;
    if value.is_null() {
        return Ok(None);
    }
    value.as_bytes().map(Some).map_err(sqlx::Error::Decode)
}

/// Events of one command are adjacent and have the same metadata, which is then decoded once.
fn metadata<'r>(
    text: Option<&'r [u8]>,
    last: &mut Option<(&'r [u8], Arc<Metadata>)>,
) -> Result<Arc<Metadata>, sqlx::Error> {
    let text = text.unwrap_or_default();
    if let Some((_, metadata)) = last.as_ref().filter(|(last, _)| *last == text) {
        return Ok(Arc::clone(metadata));
    }
    let metadata: Arc<Metadata> = if text.is_empty() {
        Arc::default()
    } else {
        Arc::new(serde_json::from_slice(text).map_err(|e| sqlx::Error::Decode(e.into()))?)
    };
    *last = Some((text, Arc::clone(&metadata)));
    Ok(metadata)
}

/// The stream and the type of each row. Those that are not cached are read together.
async fn names_of(
    rows: &[PgRow],
    database: &Database,
) -> Result<Vec<(StreamName, EventName)>, StoreError> {
    let ids = rows
        .iter()
        .map(|row| Ok((row.try_get::<i64, _>(1)?, row.try_get::<i32, _>(3)?)))
        .collect::<Result<Vec<_>, sqlx::Error>>()
        .map_err(store_error)?;
    let mut named = Vec::with_capacity(ids.len());
    let (mut streams, mut types) = (BTreeSet::new(), BTreeSet::new());
    {
        let mut cache = database.names.cache();
        // Adjacent rows often belong to the same stream.
        let mut last: Option<(i64, StreamName)> = None;
        for (stream, kind) in &ids {
            let stream_name = match &last {
                Some((id, name)) if id == stream => Some(name.clone()),
                _ => cache.stream(*stream),
            };
            match &stream_name {
                Some(name) => last = Some((*stream, name.clone())),
                None => {
                    streams.insert(*stream);
                }
            }
            let event_type = cache.event_type(*kind);
            if event_type.is_none() {
                types.insert(*kind);
            }
            named.push((stream_name, event_type));
        }
    }
    let streams = stream_names(streams.into_iter().collect(), database).await?;
    let types = type_names(types.into_iter().collect(), database).await?;
    let missing = || corrupt("an event refers to a stream or an event type that does not exist");
    named
        .into_iter()
        .zip(ids)
        .map(|((stream, kind), (stream_id, type_id))| {
            let stream = stream.or_else(|| found(&streams, stream_id)).ok_or_else(missing)?;
            let kind = kind.or_else(|| found(&types, type_id)).ok_or_else(missing)?;
            Ok((stream, kind))
        })
        .collect()
}

fn found<Id: Ord + Copy, Name: Clone>(names: &[(Id, Name)], id: Id) -> Option<Name> {
    let at = names.binary_search_by_key(&id, |(id, _)| *id).ok()?;
    names.get(at).map(|(_, name)| name.clone())
}

async fn stream_names(
    ids: Vec<i64>,
    database: &Database,
) -> Result<Vec<(i64, StreamName)>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = database.connections.fetch(&database.sql.stream_names, arguments![ids]).await?;
    let mut names = Vec::with_capacity(rows.len());
    for row in &rows {
        let name = stream_name(row.try_get(1).map_err(store_error)?)?;
        names.push((row.try_get(0).map_err(store_error)?, name));
    }
    names.sort_unstable_by_key(|(id, _)| *id);
    let mut cache = database.names.cache();
    names.iter().for_each(|(id, name)| cache.add_stream(*id, name));
    Ok(names)
}

async fn type_names(
    ids: Vec<i32>,
    database: &Database,
) -> Result<Vec<(i32, EventName)>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = database.connections.fetch(&database.sql.type_names, arguments![ids]).await?;
    let mut names = Vec::with_capacity(rows.len());
    for row in &rows {
        let name = EventName::new(row.try_get::<&str, _>(1).map_err(store_error)?)
            .map_err(|e| corrupt("the database contains an invalid event name").with_source(e))?;
        names.push((row.try_get(0).map_err(store_error)?, name));
    }
    names.sort_unstable_by_key(|(id, _)| *id);
    let mut cache = database.names.cache();
    names.iter().for_each(|(id, name)| cache.add_type(*id, name));
    Ok(names)
}

fn unreadable(error: sqlx::Error) -> StoreError {
    corrupt("a row of the log cannot be decoded").with_source(error)
}

/// Without a filter positions are consecutive: a free proof, page by page, that no event is
/// missing.
pub(super) fn check_dense(events: &[RecordedEvent]) -> Result<(), ReadError> {
    let are_dense =
        events.windows(2).all(|two| matches!(two, [a, b] if a.position.next() == b.position));
    if are_dense { Ok(()) } else { Err(gap().into()) }
}

pub(super) fn gap() -> StoreError {
    corrupt("the log has a gap: a position before the head is missing")
}
