//! The records of commands.

use cqrs_core::{
    CommandId, Position, Timestamp, Version,
    store::{Appended, AppendedStream, CommandKey, CommandRecord, StoreError},
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::Pg;
use crate::database::Database;
use crate::database::arguments::arguments;
use crate::database::error::store_error;
use crate::database::names::stream_name;
use crate::database::numbers::unsigned;

pub(crate) async fn find(
    database: &Database,
    id: CommandId,
) -> Result<Option<CommandRecord>, StoreError> {
    let given = arguments![Pg(id)];
    let rows = database.connections.fetch(&database.sql.find_command, given).await?;
    rows.first().map(record).transpose()
}

pub(crate) async fn forget(database: &Database, before: Timestamp) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    loop {
        let given = arguments![Pg(before)];
        let rows = database.connections.fetch(&database.sql.forget_commands, given).await?;
        let count: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(store_error)?;
        if count == 0 {
            return Ok(forgotten);
        }
        forgotten += unsigned(count);
    }
}

/// Reads a row of `commands`.
pub(crate) fn record(row: &PgRow) -> Result<CommandRecord, StoreError> {
    let read = || -> Result<_, sqlx::Error> {
        let (Pg(id), Pg(fingerprint)) = (row.try_get(0)?, row.try_get(1)?);
        let Pg(recorded_at) = row.try_get(2)?;
        let streams: Vec<String> = row.try_get(3)?;
        let versions: Vec<Pg<Version>> = row.try_get(4)?;
        let events: Vec<i64> = row.try_get(5)?;
        let positions: Vec<Pg<Position>> = row.try_get(6)?;
        let numbers = versions.into_iter().zip(events).zip(positions);
        Ok((CommandKey::from_parts(id, fingerprint), recorded_at, streams, numbers))
    };
    let (key, recorded_at, streams, numbers) = read().map_err(store_error)?;
    let streams = streams
        .iter()
        .zip(numbers)
        .map(|(stream, ((Pg(version), events), Pg(position)))| {
            Ok(AppendedStream::new(stream_name(stream)?, version, unsigned(events), position))
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(CommandRecord::new(key, Appended::new(streams, recorded_at)))
}
