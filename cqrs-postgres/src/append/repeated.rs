//! Looking up the first outcome of a repeated append.
//!
//! The log only grows, so what is found is final. What is not found was not stored when the append
//! was rejected, whatever is stored afterwards.

use std::collections::HashMap;
use std::sync::Arc;

use cqrs_core::event::Uuid;
use cqrs_core::{
    EventId, Position, StreamName, Timestamp, Version,
    store::{Append, AppendError, Appended, AppendedStream, StoreError},
};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};

use crate::Pg;
use crate::commands;
use crate::database::arguments::{Arguments, arguments};
use crate::database::connections::Connections;
use crate::database::error::store_error;
use crate::database::names::stream_name;
use crate::database::numbers::unsigned;
use crate::database::sql::Sql;

/// Where to look.
pub(crate) enum Source<'a> {
    Connections(&'a Connections),
    /// In a transaction that holds the lock of the log.
    Transaction(&'a mut PgConnection),
}

impl Source<'_> {
    async fn fetch(
        &mut self,
        sql: &Arc<str>,
        arguments: Arguments,
    ) -> Result<Vec<PgRow>, AppendError> {
        match self {
            // A part of the append is stored, so an error must not claim that nothing is.
            Source::Connections(connections) => {
                connections.fetch(sql, arguments).await.map_err(AppendError::OutcomeUnknown)
            }
            Source::Transaction(connection) => {
                let given = arguments.map_err(|e| store_error(sqlx::Error::Encode(e)))?;
                let query = sqlx::query_with(AssertSqlSafe(Arc::clone(sql)), given);
                Ok(query.fetch_all(&mut **connection).await.map_err(store_error)?)
            }
        }
    }
}

/// Returns the first outcome, marked as repeated; `None` if no part of the append is stored.
pub(crate) async fn find(
    source: &mut Source<'_>,
    sql: &Sql,
    append: &Append,
) -> Result<Option<Appended>, AppendError> {
    // The contract of the store demands this order: command, then events.
    if let Some(key) = append.command {
        let rows = source.fetch(&sql.find_command, arguments![Pg(key.id)]).await?;
        if let Some(row) = rows.first() {
            let record = commands::record(row)?;
            if record.key != key {
                return Err(AppendError::CommandIdReused { id: key.id });
            }
            return Ok(Some(record.appended.again()));
        }
    }
    let wanted: Vec<(&StreamName, Uuid)> = append
        .streams
        .iter()
        .flat_map(|part| part.events.iter().map(|event| (&part.stream, event.id.as_uuid())))
        .collect();
    let Some(stored) = stored_as_one(source, sql, &wanted).await? else { return Ok(None) };
    let Some(first) = stored.first() else { return Ok(None) };
    let mut rest = stored.iter();
    let mut streams = Vec::with_capacity(append.streams.len());
    for part in &append.streams {
        let events = part.events.len();
        let last = events.checked_sub(1).and_then(|before_last| rest.nth(before_last));
        let (version, position) = match last {
            Some(event) => (event.version, event.position),
            // No event was appended to it, so its version is that of then.
            None => {
                let given = arguments![part.stream.as_str(), first.position];
                let rows = source.fetch(&sql.version_before, given).await?;
                let row = rows.first();
                let version = row.map(|row| row.try_get(0)).transpose().map_err(store_error)?;
                (version.unwrap_or(0), 0)
            }
        };
        streams.push(AppendedStream::new(
            part.stream.clone(),
            Version::new(unsigned(version)),
            events as u64,
            Position::new(unsigned(position)),
        ));
    }
    Ok(Some(Appended::new(streams, first.stored_at).again()))
}

/// Returns the position of the last of these events if all are stored, in this order.
pub(crate) async fn find_all(
    source: &mut Source<'_>,
    sql: &Sql,
    wanted: &[(&StreamName, Uuid)],
) -> Result<Option<Position>, AppendError> {
    let stored = stored_as_one(source, sql, wanted).await?;
    let last = stored.as_deref().and_then(<[Stored]>::last);
    Ok(last.map(|event| Position::new(unsigned(event.position))))
}

/// Returns the stored events if all of them are stored, in these streams, in this order and at
/// consecutive positions. If only some are, or in another way, the first one is a duplicate.
async fn stored_as_one(
    source: &mut Source<'_>,
    sql: &Sql,
    wanted: &[(&StreamName, Uuid)],
) -> Result<Option<Vec<Stored>>, AppendError> {
    if wanted.is_empty() {
        return Ok(None);
    }
    let ids: Vec<Pg<Uuid>> = wanted.iter().map(|(_, id)| Pg(*id)).collect();
    let rows = source.fetch(&sql.known_events, arguments![&ids]).await?;
    let stored = rows.iter().map(Stored::read).collect::<Result<Vec<_>, _>>()?;
    let Some(first) = stored.first() else { return Ok(None) };
    let are_the_same = stored.len() == wanted.len()
        && wanted.iter().zip(&stored).zip(first.position..).all(|(((stream, id), event), at)| {
            event.id == *id && event.stream == **stream && event.position == at
        });
    if are_the_same {
        return Ok(Some(stored));
    }
    let by_id: HashMap<Uuid, &Stored> = stored.iter().map(|event| (event.id, event)).collect();
    let known = ids.iter().find_map(|Pg(id)| by_id.get(id)).unwrap_or(&first);
    Err(AppendError::DuplicateEvent { id: EventId::new(known.id), stream: known.stream.clone() })
}

struct Stored {
    position: i64,
    id: Uuid,
    version: i64,
    stream: StreamName,
    stored_at: Timestamp,
}

impl Stored {
    fn read(row: &PgRow) -> Result<Self, StoreError> {
        let read = || -> Result<_, sqlx::Error> {
            Ok((
                row.try_get(0)?,
                row.try_get(1)?,
                row.try_get(2)?,
                row.try_get(3)?,
                row.try_get(4)?,
            ))
        };
        let (position, Pg(id), version, name, Pg(stored_at)) = read().map_err(store_error)?;
        let stream = stream_name(name)?;
        Ok(Self { position, id, version, stream, stored_at })
    }
}
