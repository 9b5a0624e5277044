//! Snapshots as rows.

use async_trait::async_trait;
use cqrs_core::{
    StreamName,
    event::Payload,
    store::{Snapshot, SnapshotStore, StoreError},
};
use sqlx::Row;

use super::PgStore;
use crate::Pg;
use crate::database::arguments::arguments;
use crate::database::error::store_error;

#[async_trait]
impl SnapshotStore for PgStore {
    async fn load_snapshot(&self, stream: &StreamName) -> Result<Option<Snapshot>, StoreError> {
        let database = self.database();
        let given = arguments![stream.as_str()];
        let rows = database.connections.fetch(&database.sql.load_snapshot, given).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let read = || -> Result<_, sqlx::Error> {
            let (Pg(version), Pg(taken_at)) = (row.try_get(0)?, row.try_get(3)?);
            Ok(Snapshot::new(
                stream.clone(),
                version,
                row.try_get::<String, _>(1)?,
                Payload::from_stored(row.try_get::<String, _>(2)?),
                taken_at,
            ))
        };
        read().map(Some).map_err(store_error)
    }

    async fn save_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let database = self.database();
        let given = arguments![
            snapshot.stream.as_str(),
            Pg(snapshot.version),
            &snapshot.tag,
            snapshot.payload.as_str(),
            Pg(snapshot.taken_at),
        ];
        // May be executed twice.
        database.connections.fetch(&database.sql.save_snapshot, given).await?;
        Ok(())
    }

    async fn delete_snapshot(&self, stream: &StreamName) -> Result<(), StoreError> {
        let database = self.database();
        let given = arguments![stream.as_str()];
        database.connections.fetch(&database.sql.delete_snapshot, given).await?;
        Ok(())
    }
}
