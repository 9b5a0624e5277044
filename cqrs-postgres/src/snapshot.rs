//! Snapshots as rows.

use async_trait::async_trait;
use cqrs_core::{
    StreamName, Version,
    event::Payload,
    store::{Snapshot, SnapshotStore, StoreError},
};
use sqlx::Row;

use crate::PgStore;
use crate::connections::arguments;
use crate::error::store_error;
use crate::moment::Moment;
use crate::numbers::{signed, unsigned};

pub(crate) const LOAD: &str =
    "select version, tag, payload::text, taken_at from cqrs.snapshots where stream = $1";

pub(crate) const SAVE: &str = "
insert into cqrs.snapshots (stream, version, tag, payload, taken_at)
values ($1, $2, $3, $4::text::json, $5)
on conflict (stream) do update
  set version = excluded.version, tag = excluded.tag, payload = excluded.payload,
      taken_at = excluded.taken_at";

pub(crate) const DELETE: &str = "delete from cqrs.snapshots where stream = $1";

#[async_trait]
impl SnapshotStore for PgStore {
    async fn load_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        let shared = &self.shared;
        let given = arguments![stream.as_str()];
        let rows = shared.connections.fetch(&shared.sql.load_snapshot, given).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let read = || -> Result<_, sqlx::Error> {
            Ok(Snapshot::new(
                stream.clone(),
                Version::new(unsigned(row.try_get(0)?)),
                row.try_get::<String, _>(1)?,
                Payload::from_stored(row.try_get::<String, _>(2)?),
                row.try_get::<Moment, _>(3)?.0,
            ))
        };
        read().map(Some).map_err(store_error)
    }

    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let shared = &self.shared;
        let given = arguments![
            snapshot.stream.as_str(),
            signed(snapshot.version.get()),
            &snapshot.tag,
            snapshot.payload.as_str(),
            Moment(snapshot.taken_at),
        ];
        // Doing it twice does no harm.
        shared.connections.fetch(&shared.sql.save_snapshot, given).await?;
        Ok(())
    }

    async fn delete_snapshot(&self, stream: &StreamName) -> Result<(), StoreError> {
        let shared = &self.shared;
        let given = arguments![stream.as_str()];
        shared.connections.fetch(&shared.sql.delete_snapshot, given).await?;
        Ok(())
    }
}
