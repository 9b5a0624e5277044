//! What is remembered of commands.

use cqrs_core::{
    CommandId, Position, Timestamp, Version,
    store::{Appended, AppendedStream, CommandKey, CommandRecord, StoreError},
};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::connections::arguments;
use crate::error::store_error;
use crate::moment::Moment;
use crate::names::stream_name;
use crate::numbers::unsigned;
use crate::store::Shared;

pub(crate) const FIND: &str = "
select id, fingerprint, recorded_at, streams, versions, event_counts, positions
  from cqrs.commands where id = $1";

/// In pieces, so that no statement runs long and no row is locked for long.
pub(crate) const FORGET: &str = "
with old as (
  select id from cqrs.commands where recorded_at < $1 order by recorded_at limit 10000
  for update skip locked
), gone as (
  delete from cqrs.commands c using old where c.id = old.id returning 1
)
select count(*) from gone";

pub(crate) async fn find(
    shared: &Shared,
    id: CommandId,
) -> Result<Option<CommandRecord>, StoreError> {
    let given = arguments![id.as_uuid()];
    let rows = shared.connections.fetch(&shared.sql.find_command, given).await?;
    rows.first().map(record).transpose()
}

pub(crate) async fn forget(shared: &Shared, before: Timestamp) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    loop {
        let given = arguments![Moment(before)];
        let rows = shared.connections.fetch(&shared.sql.forget_commands, given).await?;
        let piece: i64 = rows.first().map_or(Ok(0), |row| row.try_get(0)).map_err(store_error)?;
        if piece == 0 {
            return Ok(forgotten);
        }
        forgotten += unsigned(piece);
    }
}

/// A row of `commands`.
pub(crate) fn record(row: &PgRow) -> Result<CommandRecord, StoreError> {
    let read = || -> Result<_, sqlx::Error> {
        let key = CommandKey::from_parts(CommandId::new(row.try_get(0)?), row.try_get(1)?);
        let recorded_at = row.try_get::<Moment, _>(2)?.0;
        let streams: Vec<String> = row.try_get(3)?;
        let versions: Vec<i64> = row.try_get(4)?;
        let events: Vec<i64> = row.try_get(5)?;
        let positions: Vec<i64> = row.try_get(6)?;
        Ok((key, recorded_at, streams, versions.into_iter().zip(events).zip(positions)))
    };
    let (key, recorded_at, streams, numbers) = read().map_err(store_error)?;
    let streams = streams
        .iter()
        .zip(numbers)
        .map(|(stream, ((version, events), position))| {
            Ok(AppendedStream::new(
                stream_name(stream)?,
                Version::new(unsigned(version)),
                unsigned(events),
                Position::new(unsigned(position)),
            ))
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(CommandRecord::new(key, Appended::new(streams, recorded_at)))
}
